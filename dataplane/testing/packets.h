// Frames as byte strings, for tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace sealcast::dataplane::testing {

// The text must be an address; the test ends otherwise.
inline IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

struct Ipv4Fields {
  std::string source = "10.0.0.1";
  std::string destination = "239.1.1.5";
  std::uint8_t protocol = 17;
  std::uint8_t ttl = 16;
  std::uint8_t tos = 0;
  std::uint16_t id = 0x1234;
  std::uint16_t fragment = 0x4000;  // DF
  Bytes options = {};               // multiple of 4 bytes
};

// DF is not set.
inline Ipv4Fields may_be_cut() {
  Ipv4Fields fields;
  fields.fragment = 0;
  return fields;
}

// IPv4 packet with a right header checksum.
Bytes ipv4(const Ipv4Fields& fields, const Bytes& payload);
struct Ipv6Fields {
  std::string source = "fd00::1";
  std::string destination = "ff1e::1:5";
  std::uint8_t next_header = 17;  // of the fixed header
  std::uint8_t hop_limit = 16;
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;
  Bytes extensions = {};                                       // behind the fixed header; part of the payload length
  std::optional<std::uint16_t> payload_length = std::nullopt;  // else the right one
};
Bytes ipv6(const Ipv6Fields& fields, const Bytes& payload);
// An extension header of 8 bytes and as many more as body needs, which begins behind the first two bytes.
Bytes extension(std::uint8_t next_header, const Bytes& body = {1, 4, 0, 0, 0, 0});
// A fragment header; offset in bytes.
Bytes fragment_header(std::uint8_t next_header, std::uint16_t offset, bool more, std::uint32_t id = 0x01020304);

// UDP header (checksum as given) and payload.
Bytes udp(std::uint16_t source_port, std::uint16_t destination_port, const Bytes& payload, std::uint16_t checksum = 0);
// Ethernet frame with the multicast MAC of the packet's destination (type 0x86dd: an IPv6 packet's); tags: VLAN ids,
// outermost first (the first of two is 802.1ad).
Bytes ethernet(const Bytes& packet, const std::vector<std::uint16_t>& vlans = {}, std::uint16_t type = 0x0800);

// The bytes behind the Ethernet header of a frame without tags.
Bytes packet_of(const Bytes& frame);

// 239.1.1.5:5000 by default, payload_bytes of a pattern.
Bytes udp_frame(std::size_t payload_bytes, const Ipv4Fields& fields = {}, std::uint16_t port = 5000);
// The same for [ff1e::1:5]:5000, with a UDP checksum that is not zero (nor right).
Bytes udp6_frame(std::size_t payload_bytes, const Ipv6Fields& fields = {}, std::uint16_t port = 5000);

// Recomputes the IPv4 header checksum of a frame without VLAN tags.
void mend_checksum(Bytes& frame, std::size_t ip_offset = 14);

Bytes pattern(std::size_t bytes, std::uint8_t seed = 0);
Bytes operator+(Bytes a, const Bytes& b);

// IGMP messages with right checksums.
Bytes igmp(std::uint8_t type, std::uint8_t code, const std::string& group, const Bytes& rest = {});
inline const Bytes router_alert = {148, 4, 0, 0};
// An IGMPv3 report of count records, which may be another number than records holds.
Bytes report4(std::uint8_t count, const Bytes& records);

}  // namespace sealcast::dataplane::testing
