// The datagram that carries the next epoch to a whole group at once: signed by the key server, sent inside the current
// epoch's ESP to the group itself, a few times. And the path that a member gets over its own connection.
//
//   version 2 u8
//   key_server_id<1..64>, group_id<1..64>
//   from_epoch u64, to_epoch u64      members of from_epoch alone can use it
//   sequence u64                      rises with every datagram of the group; copies repeat it
//   not_after u64                     unix seconds: refused afterwards
//   remaining_ms u64, zero_clock_id u64, zero_ms u64, spi_prefix u32, spi_slot_bits u8
//                                     of the new epoch; all else stays the same
//   depth u8
//   nodes<0..2^16-1>                  ascending by level, then index:
//     head u8                         level 1..24 in the low five bits; 0x20, 0x40: a seed for the left, right child's
//                                     members follows; 0x80: an ancestor of the node before, its index is not sent
//     index u32                       unless 0x80
//     step varint, seed[40]           for each child so marked
//   root_step varint, premaster[56]
//   scheme u16, signature<1..1024>    over 64 x 0x20 || "multicast rekey datagram" || 0x00 || everything before scheme
//
// varint: seven bits a byte, least significant first, 0x80 on all but the last; the shortest form only.
#pragma once

#include <cstdint>
#include <string>

#include "handshake/crypto/signature.h"
#include "handshake/group_keying.h"
#include "handshake/keytree/tree_key.h"
#include "handshake/wire/sensitive.h"

namespace sealcast::handshake {

inline constexpr std::size_t max_rekey_datagram = 65507;  // of a UDP datagram over IPv4

struct RekeyDatagram {
  std::string key_server_id;
  std::string group_id;
  std::uint64_t from_epoch = 0, to_epoch = 0;  // to_epoch is larger
  std::uint64_t sequence = 0;
  std::uint64_t not_after = 0;
  std::uint64_t remaining_ms = 0;
  EpochZero zero;
  std::uint32_t spi_prefix = 0;
  std::uint8_t spi_slot_bits = 0;
  TreeUpdate update;
};

Outcome<Bytes> encode_rekey_datagram(const RekeyDatagram& datagram, EVP_PKEY* key, SignatureScheme scheme);

// Decoded but not verified: refers to the bytes it was read from.
struct ReceivedRekeyDatagram {
  RekeyDatagram datagram;
  ByteView signed_part;
  std::uint16_t scheme = 0;
  ByteView signature;

  // Whether the key server with this public key signed it. The caller limits how often this runs.
  Outcome<void> verify(EVP_PKEY* key) const;
  // The same with the key in its certificate: DER; ignores bytes after it.
  Outcome<void> verify_with(ByteView certificate) const;
};
Outcome<ReceivedRekeyDatagram> decode_rekey_datagram(ByteView bytes);

// position u32, levels<1..25> of { present u8 (0 or 1); if present: step u32, seed[32] }.
SensitiveBytes encode_tree_path(const TreePath& path);
Outcome<TreePath> decode_tree_path(ByteView bytes);

}  // namespace sealcast::handshake
