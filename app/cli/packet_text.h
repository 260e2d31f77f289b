// Makes a frame from an operator's input: its fields, or its bytes as hex.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"

namespace sealcast::cli {

struct PacketFields {
  std::string source, destination;                            // addresses of one family
  std::string protocol = "udp";                               // udp, igmp, icmpv6, esp or a number
  std::uint16_t source_port = 5000, destination_port = 5000;  // UDP
  std::uint32_t ttl = 16;                                     // or hop limit, 0 to 255
  std::uint32_t size = 100;                                   // of the IP packet, bytes
  bool dont_fragment = false;
  std::vector<std::uint16_t> vlans;  // outermost first, at most two
};

// Ethernet header to a multicast destination's MAC (a unicast one's is made up), VLAN tags, IP and UDP headers, zeros.
Result<Bytes> build_frame(const PacketFields& fields);

// "01005e010105…", blanks and colons allowed.
Result<Bytes> parse_hex(const std::string& text);

}  // namespace sealcast::cli
