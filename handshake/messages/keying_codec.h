// GroupKeying on the wire: the common content of ServerMasterKeyExchange and GroupUpdate, with the checks that need no
// configuration (selectors no group may have, SPI arithmetic, sizes). docs/protocol.md "Group keying" has the layout.
#pragma once

#include "handshake/group_keying.h"
#include "handshake/wire/reader.h"
#include "handshake/wire/writer.h"

namespace sealcast::handshake {

inline constexpr std::uint8_t max_slot_bits = 16;
inline constexpr std::size_t max_sealed_keys = 2048;  // RSA of 16384 bits

// Writes key_server_id … key_material: the premaster, or sealed unless that is empty (variant 1's SMKE).
void write_keying(Writer& out, const GroupKeying& keying, ByteView sealed = {});
// Reads the same; failures are left in reader. sealed: takes the key material as it is; the premaster stays zero.
GroupKeying read_keying(Reader& reader, Bytes* sealed = nullptr);
// Skips the same by its lengths alone: finds the signed part before any of it is interpreted.
void skip_keying(Reader& reader);

void write_reading(Writer& out, const ClockReading& reading);
ClockReading read_reading(Reader& reader);

// The same checks as read_keying's, for the sending side: the first violation, or none.
Outcome<void> check_keying(const GroupKeying& keying);

}  // namespace sealcast::handshake
