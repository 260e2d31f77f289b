// Reading an Ethernet/IPv4 frame with every length checked. What passes here may be indexed up to its announced sizes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "dataplane/frame.h"
#include "dataplane/policy.h"

namespace sealcast::dataplane {

inline constexpr std::uint32_t ethernet_bytes = 14;
inline constexpr std::uint32_t vlan_tag_bytes = 4;
inline constexpr std::uint32_t max_vlan_tags = 2;  // 802.1ad: QinQ
inline constexpr std::uint32_t min_ipv4_bytes = 20;
inline constexpr std::uint32_t udp_header_bytes = 8;

inline constexpr std::uint16_t ether_type_ipv4 = 0x0800;
inline constexpr std::uint16_t ether_type_ipv6 = 0x86dd;

inline constexpr std::uint8_t protocol_igmp = 2;
inline constexpr std::uint8_t protocol_ipv4 = 4;  // as ESP's next header: tunnel mode
inline constexpr std::uint8_t protocol_udp = 17;
inline constexpr std::uint8_t protocol_esp = 50;

// An IP packet whose header was read and found right. Host byte order. A worker's own paths are templates over the
// family and look at the addresses of theirs only.
struct Packet {
  std::uint8_t family = 0;         // 4 or 6; 0: not IP (only ip_offset and ether_type are set)
  std::uint8_t protocol = 0;       // of the upper layer: IPv6 extension headers are walked over
  std::uint8_t ttl = 0;            // hop limit
  std::uint8_t traffic_class = 0;  // DSCP in the upper six bits, ECN in the lower two
  bool fragment = false;           // any part of a fragmented packet
  bool later_fragment = false;     // offset > 0: no transport header inside
  std::uint16_t ether_type = 0;    // behind the VLAN tags
  std::uint32_t ip_offset = 0;     // from the start of the Ethernet frame: 14, 18 or 22
  std::uint32_t header_bytes = 0;  // IPv4: 20..60; IPv6: the fixed header and the extension headers walked
  std::uint32_t total_bytes = 0;   // of the IP packet; >= header_bytes
  std::uint32_t fragment_id = 0;   // of a fragment
  std::uint32_t source = 0;        // IPv4
  std::uint32_t destination = 0;
  Address6 source6;  // IPv6
  Address6 destination6;
};

// Network byte order at any alignment, as single loads and stores: GCC 12 leaves the portable loops of base/bytes.h as
// loops at -O2, which cost a third of the path.
inline std::uint16_t load16(const std::uint8_t* p) noexcept {
  std::uint16_t value;
  std::memcpy(&value, p, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap16(value) : value;
}
inline std::uint32_t load32(const std::uint8_t* p) noexcept {
  std::uint32_t value;
  std::memcpy(&value, p, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}
inline std::uint64_t load64(const std::uint8_t* p) noexcept {
  std::uint64_t value;
  std::memcpy(&value, p, sizeof value);
  return std::endian::native == std::endian::little ? __builtin_bswap64(value) : value;
}
inline void store16(std::uint8_t* p, std::uint16_t value) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap16(value);
  std::memcpy(p, &value, sizeof value);
}
inline void store32(std::uint8_t* p, std::uint32_t value) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap32(value);
  std::memcpy(p, &value, sizeof value);
}
inline void store64(std::uint8_t* p, std::uint64_t value) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = __builtin_bswap64(value);
  std::memcpy(p, &value, sizeof value);
}

// Sum of n bytes (a multiple of 2) as words in memory order, to be folded (RFC 1071: neither the order nor the width of
// the words matters).
inline std::uint64_t sum_words(const std::uint8_t* p, std::uint32_t n) noexcept {
  std::uint64_t sum = 0;
  for (; n >= 4; n -= 4, p += 4) {
    std::uint32_t word;
    std::memcpy(&word, p, 4);
    sum += word;
  }
  if (n != 0) {
    std::uint16_t word;
    std::memcpy(&word, p, 2);
    sum += word;
  }
  return sum;
}
// To 16 bits with end-around carry; sum is below 2^48.
inline std::uint16_t fold16(std::uint64_t sum) noexcept {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}
// Of a 20-byte IPv4 header: no loop.
inline std::uint64_t sum_ipv4_header(const std::uint8_t* p) noexcept {
  std::uint32_t word[5];
  std::memcpy(word, p, sizeof word);
  return std::uint64_t{word[0]} + word[1] + word[2] + word[3] + word[4];
}

// Checks the IPv4 header at p, of which available bytes may be read, and fills packet (ip_offset excepted).
// none, or short_frame, truncated, bad_ip_header.
inline DropReason parse_ipv4(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept {
  if (available < min_ipv4_bytes) return DropReason::short_frame;
  packet.header_bytes = (p[0] & 0x0fU) * 4;
  packet.total_bytes = load16(p + 2);
  if ((p[0] >> 4) != 4 || packet.header_bytes < min_ipv4_bytes || packet.total_bytes < packet.header_bytes)
    return DropReason::bad_ip_header;
  if (packet.total_bytes > available) return DropReason::truncated;
  if (fold16(packet.header_bytes == min_ipv4_bytes ? sum_ipv4_header(p) : sum_words(p, packet.header_bytes)) != 0xffff)
    return DropReason::bad_ip_header;
  packet.ttl = p[8];
  if (packet.ttl == 0) return DropReason::bad_ip_header;
  packet.family = 4;
  packet.traffic_class = p[1];
  const std::uint16_t fragment = load16(p + 6);
  packet.fragment = (fragment & 0x3fff) != 0;  // MF or an offset
  packet.later_fragment = (fragment & 0x1fff) != 0;
  packet.fragment_id = load16(p + 4);
  packet.protocol = p[9];
  packet.source = load32(p + 12);
  packet.destination = load32(p + 16);
  return DropReason::none;
}

// Finds the IP packet in a frame behind at most two VLAN tags, checks it, and cuts off what follows it (Ethernet
// padding). none; or not_ip, ipv6 (packet.family is 0), not_multicast (packet is filled): what a rule may let pass; or
// short_frame, truncated, bad_ip_header: what nothing may.
inline DropReason parse_frame(Frame& frame, Packet& packet) noexcept {
  if (frame.length < ethernet_bytes) return DropReason::short_frame;
  std::uint32_t offset = ethernet_bytes;
  std::uint16_t type = load16(frame.data + 12);
  for (std::uint32_t tags = 0; (type == 0x8100 || type == 0x88a8) && tags < max_vlan_tags; ++tags) {
    if (frame.length < offset + vlan_tag_bytes) return DropReason::short_frame;
    type = load16(frame.data + offset + 2);
    offset += vlan_tag_bytes;
  }
  packet.ether_type = type;
  packet.ip_offset = offset;
  if (type != ether_type_ipv4) return type == ether_type_ipv6 ? DropReason::ipv6 : DropReason::not_ip;
  const DropReason bad = parse_ipv4(frame.data + offset, frame.length - offset, packet);
  if (bad != DropReason::none) return bad;
  const std::uint32_t excess = frame.length - offset - packet.total_bytes;
  frame.length -= excess;
  frame.tailroom += excess;
  return (packet.destination >> 28) != 0xe ? DropReason::not_multicast : DropReason::none;
}

// What selectors look at; ip points at the packet's IP header. False: a UDP packet without room for its header.
inline bool packet_key(const std::uint8_t* ip, const Packet& packet, PacketKey& key) noexcept {
  key.destination = packet.destination;
  key.source = packet.source;
  key.protocol = packet.protocol;
  key.has_ports = packet.protocol == protocol_udp && !packet.later_fragment;
  if (!key.has_ports) return true;
  if (packet.total_bytes < packet.header_bytes + udp_header_bytes) return false;
  key.destination_port = load16(ip + packet.header_bytes + 2);
  return true;
}

// A UDP checksum that equals the bare sum of its pseudo-header: what Linux leaves for a NIC to finish, and what nobody
// finished. True by chance once in 65,536 packets.
inline bool has_partial_checksum(const std::uint8_t* ip, const Packet& packet) noexcept {
  const std::uint8_t* udp = ip + packet.header_bytes;
  const std::uint8_t protocol_word[2] = {0, protocol_udp};
  const std::uint64_t sum = sum_words(ip + 12, 8) + sum_words(protocol_word, 2) + sum_words(udp + 4, 2);
  std::uint16_t field;
  std::memcpy(&field, udp + 6, 2);
  return field != 0 && field == fold16(sum);
}

}  // namespace sealcast::dataplane
