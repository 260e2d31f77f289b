// GroupKeying on the wire: the common content of ServerMasterKeyExchange and GroupUpdate, with the checks that need no
// configuration (selectors no group may have, SPI arithmetic, sizes). docs/protocol.md "Group keying" has the layout.
#pragma once

#include "base/limits.h"
#include "handshake/group_keying.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

inline constexpr std::size_t kMaxIdLength = max_name_bytes;  // key server, group and member ids
inline constexpr std::uint8_t kMaxSlotBits = 16;
inline constexpr std::size_t kMaxSealedKeys = 2048;  // RSA of 16384 bits

// Writes key_server_id … key_material, which is the premaster, or sealed where that is not empty (variant 1's SMKE).
void write_keying(Writer& out, const GroupKeying& keying, ByteView sealed = {});
// Reads the same; failures are left in reader. sealed: takes the key material as it is, and the premaster stays zero.
GroupKeying read_keying(Reader& reader, Bytes* sealed = nullptr);
// Moves past the same by its lengths alone: what a signature covers is found before anything in it is looked at.
void skip_keying(Reader& reader);

// What read_keying refuses, for the sending side too: the first violation, or nothing.
Outcome<void> check_keying(const GroupKeying& keying);

}  // namespace sealcast::handshake
