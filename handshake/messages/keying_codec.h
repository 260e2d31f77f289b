// GroupKeying on the wire: the common content of ServerMasterKeyExchange and GroupUpdate, with the checks that need no
// configuration (selectors no group may have, SPI arithmetic, sizes). docs/protocol.md "Group keying" has the layout.
#pragma once

#include "handshake/group_keying.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

inline constexpr std::size_t kMaxIdLength = 64;  // key server, group and member ids
inline constexpr std::size_t kMaxSelectors = 64;
inline constexpr std::uint8_t kMaxSlotBits = 16;
inline constexpr std::uint32_t kFirstUsableSpi = 256;  // RFC 4303 §2.1 reserves 0-255
inline constexpr std::uint32_t kMinReplayWindow = 1024;
inline constexpr std::uint32_t kMaxReplayWindow = 1u << 20;

// Writes key_server_id … key_material.
void write_keying(Writer& out, const GroupKeying& keying);
// Reads the same; failures are left in reader.
GroupKeying read_keying(Reader& reader);

// What read_keying refuses, for the sending side too: the first violation, or nothing.
Outcome<void> check_keying(const GroupKeying& keying);

}  // namespace sealcast::handshake
