// Reading a frame that is to cross in clear or to be dropped: any EtherType, unicast as well as multicast, options and
// extension headers looked into. Slower than packet.h and asked for odd frames only.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "dataplane/drop_reason.h"

namespace sealcast::dataplane {

// Points into a frame that was checked as far as its announced lengths go.
struct ClearPacket {
  const std::uint8_t* data = nullptr;  // what follows the Ethernet header and its tags
  std::uint32_t header_bytes = 0;      // IP header with options; IPv6: and the extension headers walked
  std::uint32_t total_bytes = 0;       // IP packet; anything else: all there is, padding included
  std::uint16_t ether_type = 0;        // behind the VLAN tags
  std::uint8_t family = 0;             // 4, 6, 0: not IP
  std::uint8_t protocol = 0;           // of the upper layer
  std::uint8_t hop_limit = 0;          // or TTL
  bool fragment = false;               // any part of a fragmented packet
  bool later_fragment = false;         // offset > 0
  bool router_alert = false;           // RFC 2113, or RFC 2711 with value 0 (MLD)
  bool odd_options = false;            // options or extension headers besides Router Alert and filling
  IpAddress source;
  IpAddress destination;

  const std::uint8_t* payload() const { return data + header_bytes; }
  std::uint32_t payload_bytes() const { return total_bytes - header_bytes; }
};

// bytes: what may be read at data. none, or short_frame, truncated, bad_ip_header (of a multicast source, too).
DropReason read_clear(const std::uint8_t* data, std::uint32_t bytes, std::uint16_t ether_type,
                      ClearPacket& packet) noexcept;

// The Internet checksum (RFC 1071) over bytes at data, one more word given; 0xffff in a message whose checksum is
// right.
std::uint16_t checksum_sum(const std::uint8_t* data, std::uint32_t bytes, std::uint64_t start = 0) noexcept;

// Of the pseudo-header of an IPv6 packet (RFC 8200 §8.1), to start checksum_sum with.
std::uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint32_t upper_bytes,
                                std::uint8_t protocol) noexcept;

}  // namespace sealcast::dataplane
