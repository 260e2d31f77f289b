// Reads a frame that is to cross in clear or to be dropped: any EtherType, unicast as well as multicast, options and
// extension headers included. It is slower than packet.h and serves unusual frames only.
#pragma once

#include <cstdint>
#include <cstring>

#include "base/address.h"
#include "dataplane/packet/drop_reason.h"

namespace sealcast::dataplane {

// Points into a frame. Its announced lengths were checked: what they cover may be read.
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

// bytes: how many may be read at data. Returns none, short_frame, truncated or bad_ip_header; the last also for a
// multicast source.
DropReason read_clear(const std::uint8_t* data, std::uint32_t bytes, std::uint16_t ether_type,
                      ClearPacket& packet) noexcept;

// The Internet checksum (RFC 1071) over the bytes at data, added to start. It is 0xffff for a message with a right
// checksum.
std::uint16_t checksum_sum(const std::uint8_t* data, std::uint32_t bytes, std::uint64_t start = 0) noexcept;

// Writes the checksum of `bytes` bytes from data on to the two bytes at field, which may lie among them. Sums are kept
// in memory order, as sum_words reads them.
inline void put_checksum(std::uint8_t* field, const std::uint8_t* data, std::uint32_t bytes,
                         std::uint64_t start = 0) noexcept {
  std::memset(field, 0, 2);
  const auto checksum = static_cast<std::uint16_t>(~checksum_sum(data, bytes, start));
  std::memcpy(field, &checksum, 2);
}

// The address of a family (4 or 6) at p.
inline IpAddress address_at(const std::uint8_t* p, std::uint8_t family) noexcept {
  IpAddress out;
  out.family = family;
  std::memcpy(out.bytes.data(), p, out.size());
  return out;
}

// fe80::/10.
inline bool is_link_local(const IpAddress& address) noexcept {
  return address.family == 6 && address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80;
}

// 224.0.0.last or ff02::last: a group of the link.
bool is_local_group(const IpAddress& address, std::uint8_t last) noexcept;

// The sum of the pseudo-header of an IPv6 packet (RFC 8200 §8.1), to start checksum_sum with.
std::uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint32_t upper_bytes,
                                std::uint8_t protocol) noexcept;

}  // namespace sealcast::dataplane
