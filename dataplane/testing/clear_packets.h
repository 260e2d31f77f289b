// Frames that cross in clear, as byte strings, for tests: IPv6 with extension headers, ICMPv6, ARP.
#pragma once

#include <string>

#include "dataplane/packet/clear_packet.h"
#include "dataplane/testing/packets.h"

namespace sealcast::dataplane::testing {

struct Header6 {
  std::string source = "fe80::1";
  std::string destination = "ff02::16";
  std::uint8_t next = 58;  // of the fixed header
  std::uint8_t hop_limit = 1;
};

inline const Bytes mld_alert = {58, 0, 5, 2, 0, 0, 1, 0};  // hop-by-hop: Router Alert for MLD, PadN; then ICMPv6

Bytes address_bytes(const std::string& text);
Bytes ip6(const Header6& header, const Bytes& payload);
// With a right checksum for these addresses.
Bytes icmp6(const Header6& header, std::uint8_t type, std::uint8_t code, const Bytes& rest);
// An MLD message behind a hop-by-hop header with Router Alert.
Bytes mld_packet(const Header6& header, std::uint8_t type, const Bytes& rest);
// "::" + group, one of MLDv1's messages after the checksum: delay, reserved, group.
Bytes mld_group(const std::string& group, std::uint16_t delay = 0);

// A frame with the destination's multicast MAC (unicast: 02:00:00:00:00:02).
Bytes frame6(const Bytes& packet);
// ARP between IPv4 addresses; operation 1: request.
Bytes arp_frame(std::uint16_t operation, const std::string& sender, const std::string& target);

// The result of read_clear for a frame without tags; aborts if it refuses the frame.
ClearPacket clear(const Bytes& frame);

}  // namespace sealcast::dataplane::testing
