// Which frames a port must let through to the gateway: what the policy, the bypass rules and the gateway's own
// membership need. Pure functions. The owner of the device brings it about by a list of multicast addresses, else by
// all multicast, else by promiscuous mode.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bypass_rule.h"

namespace sealcast::dataplane {

using MacAddress = std::array<std::uint8_t, 6>;

// Longer lists than this become all_multicast: few NICs hold more, and a prefix may name millions.
inline constexpr std::size_t max_multicast_macs = 256;

struct PortFilter {
  std::vector<MacAddress> multicast;  // ascending, no duplicates; empty with all_multicast
  bool all_multicast = false;         // more than max_multicast_macs, or addresses that cannot be listed
  bool promiscuous = false;           // unicast frames to other addresses cross the gateway, too

  bool operator==(const PortFilter&) const = default;
};

// The Ethernet address of a multicast IP address (RFC 1112 §6.4, RFC 2464 §7).
MacAddress multicast_mac(const IpAddress& group);

// What a port must receive: destinations (multicast prefixes: on red those of all selectors; on black those of the
// sealed packets) and what the rules let pass that comes in on this side. side is the direction of traffic that enters
// by this port: red_to_black for red, black_to_red for black. rules as with_defaults() made them.
PortFilter port_filter(const std::vector<Prefix>& destinations, const std::vector<BypassRule>& rules,
                       BypassDirection side);

std::string text(const MacAddress& address);  // "01:00:5e:00:00:01"

}  // namespace sealcast::dataplane
