// The packet in which a rekey datagram travels: ESP of the epoch that all its readers hold (docs/protocol.md "Rekeying
// by datagram").
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "base/dataplane_control.h"

namespace sealcast::keyserver {

// Bytes of datagram. In ESP and a tunnel of IPv6 it then fits into every network of 1500 bytes.
inline constexpr std::size_t max_announcement = 1280;

// RFC 4303 with AES-GCM (RFC 4106), from SPI to tag, next header group_datagram_next_header. number: from
// 1, another one for every packet under this key (H9).
Bytes seal_announcement(const SaKey& key, std::uint64_t number, ByteView datagram);

}  // namespace sealcast::keyserver
