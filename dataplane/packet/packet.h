// Reads an Ethernet frame with an IP packet, every length checked. What passes may be read up to its announced sizes.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/packet/frame.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/membership_types.h"
#include "dataplane/policy/policy.h"

namespace sealcast::dataplane {

// An IP packet; its header was read and found right. Host byte order. It is not initialised, for zeroing it took a
// third of the path's time. The parsers set all members but: the addresses of the other family; of a whole IPv6 packet,
// the details of a fragment; ip_offset and ether_type, which parse_link() sets.
struct Packet {
  std::uint8_t family;             // 4 or 6; 0: not IP (only ip_offset and ether_type are set)
  std::uint8_t protocol;           // of the upper layer: IPv6 extension headers are walked over
  std::uint8_t ttl;                // hop limit
  std::uint8_t traffic_class;      // DSCP in the upper six bits, ECN in the lower two
  bool fragment;                   // any part of a fragmented packet
  bool later_fragment;             // offset > 0: no transport header inside
  bool more_fragments;             // ... and not the last one
  bool router_alert;               // IPv6: among the hop-by-hop options
  std::uint8_t fragment_protocol;  // what the fragment header (IPv4: the header) names
  std::uint16_t ether_type;        // behind the VLAN tags
  std::uint32_t ip_offset;         // from the start of the Ethernet frame: 14, 18 or 22
  std::uint32_t header_bytes;      // IPv4: 20..60; IPv6: the fixed header and the extension headers walked
  std::uint32_t total_bytes;       // of the IP packet; >= header_bytes
  std::uint32_t fragment_id;       // of a fragment
  std::uint32_t fragment_offset;   // bytes
  // Offsets from the IP header: of the byte that names protocol; of the place where ESP stands in transport mode
  // (RFC 4303 §3.1.1) and of the byte that names what stands there.
  std::uint32_t protocol_field;
  std::uint32_t esp_place;
  std::uint32_t esp_field;
  std::uint32_t source;  // IPv4
  std::uint32_t destination;
  Address6 source6;  // IPv6
  Address6 destination6;
};
static_assert(std::is_trivially_default_constructible_v<Packet>);

// Network byte order at any alignment, as single loads and stores. GCC 12 at -O2 keeps the loops of base/bytes.h, which
// took a third of the path's time.
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
// Folds a sum to 16 bits with end-around carry. The word and its rotated self are added: the upper half then holds the
// sum of both halves with the carry of the lower half.
inline std::uint16_t fold16(std::uint64_t sum) noexcept {
  sum += std::rotl(sum, 32);
  auto half = static_cast<std::uint32_t>(sum >> 32);
  half += std::rotl(half, 16);
  return static_cast<std::uint16_t>(half >> 16);
}
// Of a 20-byte IPv4 header: no loop.
inline std::uint64_t sum_ipv4_header(const std::uint8_t* p) noexcept {
  std::uint32_t word[5];
  std::memcpy(word, p, sizeof word);
  return std::uint64_t{word[0]} + word[1] + word[2] + word[3] + word[4];
}

// Writes the checksum of the IPv4 header at ip.
inline void put_ipv4_checksum(std::uint8_t* ip, std::uint32_t header_bytes) noexcept {
  std::memset(ip + ipv4::checksum, 0, 2);
  const auto checksum = static_cast<std::uint16_t>(~fold16(sum_words(ip, header_bytes)));
  std::memcpy(ip + ipv4::checksum, &checksum, 2);  // the sum is of words as they lie in memory
}

// Checks the IPv4 header at p, of which available bytes may be read, and fills packet (ip_offset excepted).
// none, or short_frame, truncated, bad_ip_header.
inline DropReason parse_ipv4(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept {
  if (available < min_ipv4_bytes) return DropReason::short_frame;
  packet.header_bytes = (p[ipv4::version] & 0x0fU) * 4;
  packet.total_bytes = load16(p + ipv4::total_length);
  if ((p[ipv4::version] >> 4) != 4 || packet.header_bytes < min_ipv4_bytes || packet.total_bytes < packet.header_bytes)
    return DropReason::bad_ip_header;
  if (packet.total_bytes > available) return DropReason::truncated;
  if (fold16(packet.header_bytes == min_ipv4_bytes ? sum_ipv4_header(p) : sum_words(p, packet.header_bytes)) != 0xffff)
    return DropReason::bad_ip_header;
  packet.ttl = p[ipv4::ttl];
  // RFC 1122 §3.2.1.3: no host sends from a multicast or broadcast address, or from one of class E.
  if (packet.ttl == 0 || p[ipv4::source] >= 224) return DropReason::bad_ip_header;
  packet.family = 4;
  packet.traffic_class = p[ipv4::tos];
  const std::uint16_t fragment = load16(p + ipv4::fragment);
  packet.fragment = (fragment & (ipv4::more_fragments | ipv4::fragment_offset)) != 0;
  packet.later_fragment = (fragment & ipv4::fragment_offset) != 0;
  packet.more_fragments = (fragment & ipv4::more_fragments) != 0;
  packet.fragment_offset = (fragment & std::uint32_t{ipv4::fragment_offset}) * 8;
  packet.fragment_id = load16(p + ipv4::identification);
  packet.router_alert = false;
  packet.protocol = packet.fragment_protocol = p[ipv4::protocol];
  packet.protocol_field = packet.esp_field = ipv4::protocol;
  packet.esp_place = packet.header_bytes;
  packet.source = load32(p + ipv4::source);
  packet.destination = load32(p + ipv4::destination);
  return DropReason::none;
}

// The most extension headers that are walked over in one packet. No honest sender of multicast needs more, and the walk
// stays short.
inline constexpr std::uint32_t max_extension_headers = 8;
inline constexpr std::uint32_t max_extension_bytes = 512;

// The same for IPv6 (RFC 8200), extension headers walked up to the upper layer, to ESP or AH, or to a later fragment's
// payload. none, or short_frame, truncated, bad_ip_header, ipv6_extension (what cannot be judged: a jumbogram, segments
// left to visit, headers cut off, too many or out of order).
DropReason parse_ipv6(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept;

// Where the network layer's packet begins, behind at most two VLAN tags, and its EtherType. False: the frame is too
// short to say.
inline bool parse_link(const std::uint8_t* frame, std::uint32_t length, std::uint16_t& type,
                       std::uint32_t& offset) noexcept {
  if (length < ethernet_bytes) return false;
  offset = ethernet_bytes;
  type = load16(frame + ethernet::type);
  for (std::uint32_t tags = 0; is_vlan_type(type) && tags < max_vlan_tags; ++tags)
    [[unlikely]] {
      if (length < offset + vlan_tag_bytes) return false;
      type = load16(frame + offset + vlan::type);
      offset += vlan_tag_bytes;
    }
  return true;
}
inline bool parse_link(const Frame& frame, std::uint16_t& type, std::uint32_t& offset) noexcept {
  return parse_link(frame.data, frame.length, type, offset);
}

// Cuts off what follows the IP packet (Ethernet padding).
inline void cut_padding(Frame& frame, std::uint32_t ip_offset, std::uint32_t total_bytes) noexcept {
  const std::uint32_t excess = frame.length - ip_offset - total_bytes;
  frame.length -= excess;
  frame.tailroom += excess;
}
inline void cut_padding(Frame& frame, const Packet& packet) noexcept {
  cut_padding(frame, packet.ip_offset, packet.total_bytes);
}

inline bool is_multicast(const Packet& packet) noexcept {
  return packet.family == 4 ? (packet.destination >> 28) == 0xe : (packet.destination6.high >> 56) == 0xff;
}

// Finds the IP packet in a frame behind at most two VLAN tags, checks it, and cuts off what follows it. none; or not_ip
// (packet.family is 0), not_multicast (packet is filled): what a rule may let pass; or short_frame, truncated,
// bad_ip_header, ipv6_extension: what nothing may.
inline DropReason parse_frame(Frame& frame, Packet& packet) noexcept {
  std::uint16_t type = 0;
  std::uint32_t offset = 0;
  packet.family = 0;
  if (!parse_link(frame, type, offset)) return DropReason::short_frame;
  packet.ether_type = type;
  packet.ip_offset = offset;
  if (type != ether_type_ipv4 && type != ether_type_ipv6) return DropReason::not_ip;
  const DropReason bad = type == ether_type_ipv4 ? parse_ipv4(frame.data + offset, frame.length - offset, packet)
                                                 : parse_ipv6(frame.data + offset, frame.length - offset, packet);
  if (bad != DropReason::none) {
    packet.family = 0;
    return bad;
  }
  cut_padding(frame, packet);
  return is_multicast(packet) ? DropReason::none : DropReason::not_multicast;
}

// What the worker's templates need to know of a family.
struct V4 {
  using Address = Address4;
  static constexpr std::uint8_t family = 4;
  static constexpr std::uint8_t next_header = protocol_ipv4;
  static constexpr std::uint16_t ether_type = ether_type_ipv4;
  static constexpr std::uint32_t header_bytes = min_ipv4_bytes;
  static constexpr std::uint32_t address_offset = ipv4::source;  // source, then destination
  static constexpr std::uint32_t addresses_bytes = ipv4::addresses_bytes;
  static Address source(const Packet& packet) noexcept { return packet.source; }
  static Address destination(const Packet& packet) noexcept { return packet.destination; }
  static DropReason parse(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept {
    return parse_ipv4(p, available, packet);
  }
};
struct V6 {
  using Address = Address6;
  static constexpr std::uint8_t family = 6;
  static constexpr std::uint8_t next_header = protocol_ipv6;
  static constexpr std::uint16_t ether_type = ether_type_ipv6;
  static constexpr std::uint32_t header_bytes = ipv6_header_bytes;
  static constexpr std::uint32_t address_offset = ipv6::source;
  static constexpr std::uint32_t addresses_bytes = ipv6::addresses_bytes;
  static Address source(const Packet& packet) noexcept { return packet.source6; }
  static Address destination(const Packet& packet) noexcept { return packet.destination6; }
  static DropReason parse(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept {
    return parse_ipv6(p, available, packet);
  }
};

// Fills in what selectors look at. ip: the packet's IP header. False: a UDP packet without room for its header.
template <typename Family>
bool packet_key(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<typename Family::Address>& key) noexcept {
  key.destination = Family::destination(packet);
  key.source = Family::source(packet);
  key.protocol = packet.protocol;
  key.has_ports = packet.protocol == protocol_udp && !packet.later_fragment;
  if (!key.has_ports) return true;
  if (packet.total_bytes < packet.header_bytes + udp_header_bytes) return false;
  key.destination_port = load16(ip + packet.header_bytes + udp::destination_port);
  return true;
}

// Whether the UDP checksum is the bare sum of the pseudo-header. Linux leaves it so for a NIC to finish, and here no
// NIC did. True by chance once in 65,536 packets.
template <typename Family>
bool has_partial_checksum(const std::uint8_t* ip, const Packet& packet) noexcept {
  const std::uint8_t* const header = ip + packet.header_bytes;
  const std::uint8_t protocol_word[2] = {0, protocol_udp};
  const std::uint64_t sum = sum_words(ip + Family::address_offset, Family::addresses_bytes) +
                            sum_words(protocol_word, 2) + sum_words(header + udp::length, 2);
  std::uint16_t field;
  std::memcpy(&field, header + udp::checksum, 2);
  return field != 0 && field == fold16(sum);
}

// For a message that may not pass.
template <typename Family>
constexpr DropReason membership_not_allowed =
    Family::family == 4 ? DropReason::igmp_not_allowed : DropReason::mld_not_allowed;
// Whether the packet is a message of IGMP or MLD (RFC 2710, RFC 3810). Whatever group it names, it is for the link and
// no group's traffic.
inline bool is_membership_message(const std::uint8_t* ip, const Packet& packet) noexcept {
  if (packet.family == 4) return packet.protocol == protocol_igmp;
  if (packet.protocol != protocol_icmpv6 || packet.later_fragment || packet.total_bytes == packet.header_bytes)
    return false;
  return is_mld(ip[packet.header_bytes + icmpv6::type]);
}

}  // namespace sealcast::dataplane
