// Sizes and types of the headers that the packet path reads and writes, and where their fields stand: bytes from the
// start of each header. Fields of several bytes are in network byte order.
#pragma once

#include <cstdint>

#include "base/esp_overhead.h"

namespace sealcast::dataplane {

inline constexpr std::uint32_t ethernet_bytes = 14;
inline constexpr std::uint32_t ether_type_bytes = 2;  // the last bytes of the link header, tagged or not
inline constexpr std::uint32_t vlan_tag_bytes = 4;
inline constexpr std::uint32_t max_vlan_tags = 2;  // 802.1ad: QinQ
inline constexpr std::uint32_t min_ipv4_bytes = 20;
inline constexpr std::uint32_t ipv6_header_bytes = 40;
inline constexpr std::uint32_t udp_header_bytes = 8;
inline constexpr std::uint32_t min_tcp_bytes = 20;
inline constexpr std::uint32_t esp_header_bytes = 8;
inline constexpr std::uint32_t esp_iv_bytes = 8;
static_assert(esp_header_bytes + esp_iv_bytes == esp_front_bytes);

inline constexpr std::uint16_t ether_type_ipv4 = 0x0800;
inline constexpr std::uint16_t ether_type_ipv6 = 0x86dd;
inline constexpr std::uint16_t ether_type_arp = 0x0806;
// Of VLAN tags (802.1Q, 802.1ad).
constexpr bool is_vlan_type(std::uint16_t ether_type) {
  return ether_type == 0x8100 || ether_type == 0x88a8;
}

inline constexpr std::uint8_t protocol_igmp = 2;
inline constexpr std::uint8_t protocol_ipv4 = 4;  // as ESP's next header: tunnel mode
inline constexpr std::uint8_t protocol_tcp = 6;
inline constexpr std::uint8_t protocol_udp = 17;
inline constexpr std::uint8_t protocol_ipv6 = 41;  // as ESP's next header: tunnel mode
inline constexpr std::uint8_t protocol_esp = 50;
inline constexpr std::uint8_t protocol_ah = 51;
inline constexpr std::uint8_t protocol_icmpv6 = 58;
// IPv6 extension headers (RFC 8200 §4).
inline constexpr std::uint8_t header_hop_by_hop = 0;
inline constexpr std::uint8_t header_routing = 43;
inline constexpr std::uint8_t header_fragment = 44;
inline constexpr std::uint8_t header_destination_options = 60;
inline constexpr std::uint32_t fragment_header_bytes = 8;

inline constexpr std::uint8_t dummy_next_header = 59;  // of ESP: RFC 4303 §2.6

namespace ethernet {
inline constexpr std::uint32_t destination = 0, source = 6, type = 12, address_bytes = 6;
}

// 802.1Q, from behind the tag's own EtherType: what the tag says, then the EtherType of what follows it.
namespace vlan {
inline constexpr std::uint32_t type = 2;
}

// RFC 791 §3.1.
namespace ipv4 {
inline constexpr std::uint32_t version = 0, tos = 1, total_length = 2, identification = 4, fragment = 6, ttl = 8,
                               protocol = 9, checksum = 10, source = 12, destination = 16, addresses_bytes = 8;
inline constexpr std::uint8_t version_plain = 0x45;  // version 4, a header of 20 bytes
// Of the word at fragment; fragment_offset counts 8 bytes.
inline constexpr std::uint16_t dont_fragment = 0x4000, more_fragments = 0x2000, fragment_offset = 0x1fff;
inline constexpr std::uint8_t dont_fragment_byte = dont_fragment >> 8;  // in the byte at fragment
}  // namespace ipv4

// RFC 8200 §3.
namespace ipv6 {
inline constexpr std::uint32_t version = 0, payload_length = 4, next_header = 6, hop_limit = 7, source = 8,
                               destination = 24, addresses_bytes = 32;
}

// IPv6 extension headers (RFC 8200 §4); length counts 8 bytes beyond the first 8.
namespace extension {
inline constexpr std::uint32_t next_header = 0, length = 1, options = 2, routing_type = 2, segments_left = 3;
}
// RFC 8200 §4.5. The word at place: bytes in front of this fragment, which are a multiple of 8, and a flag.
namespace fragment_header {
inline constexpr std::uint32_t next_header = 0, place = 2, identification = 4;
inline constexpr std::uint16_t offset = 0xfff8, more = 1;
}  // namespace fragment_header

// RFC 768. TCP's ports stand at the same places.
namespace udp {
inline constexpr std::uint32_t source_port = 0, destination_port = 2, length = 4, checksum = 6;
}

// RFC 4303 §2, with the IV of RFC 4106.
namespace esp {
inline constexpr std::uint32_t spi = 0, sequence = 4, iv = 8;
}

// RFC 4443 §2.1; of Packet Too Big: mtu (§3.2).
namespace icmpv6 {
inline constexpr std::uint32_t type = 0, code = 1, checksum = 2, mtu = 4;
}

// RFC 826 for IPv4 over Ethernet.
namespace arp {
inline constexpr std::uint32_t operation = 6, sender = 14, target = 24, bytes = 28;
inline constexpr std::uint16_t request = 1, reply = 2;
}  // namespace arp

}  // namespace sealcast::dataplane
