// Frames as byte strings, for tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace sealcast::dataplane::testing {

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

// IPv4 packet with a right header checksum.
Bytes ipv4(const Ipv4Fields& fields, const Bytes& payload);
// UDP header (checksum as given) and payload.
Bytes udp(std::uint16_t source_port, std::uint16_t destination_port, const Bytes& payload, std::uint16_t checksum = 0);
// Ethernet frame with the multicast MAC of the packet's destination; tags: VLAN ids, outermost first (the first of two
// is 802.1ad).
Bytes ethernet(const Bytes& packet, const std::vector<std::uint16_t>& vlans = {}, std::uint16_t type = 0x0800);

// 239.1.1.5:5000 unless told otherwise, payload_bytes of a pattern.
Bytes udp_frame(std::size_t payload_bytes, const Ipv4Fields& fields = {}, std::uint16_t port = 5000);

// Recomputes the IPv4 header checksum of a frame without VLAN tags.
void mend_checksum(Bytes& frame, std::size_t ip_offset = 14);

Bytes pattern(std::size_t bytes, std::uint8_t seed = 0);
Bytes operator+(Bytes a, const Bytes& b);

// IGMP messages with right checksums.
Bytes igmp(std::uint8_t type, std::uint8_t code, const std::string& group, const Bytes& rest = {});
inline const Bytes router_alert = {148, 4, 0, 0};

}  // namespace sealcast::dataplane::testing
