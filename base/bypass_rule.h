// What may cross a gateway without being sealed: one named rule per kind of traffic and direction, everything else is
// dropped. Plain values that configuration and data plane share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/limits.h"
#include "base/result.h"

namespace sealcast {

// Kinds with a form of their own, which the data plane checks; and the two general ones, which pass whatever fits.
enum class BypassProtocol : std::uint8_t {
  igmp_report,  // IGMPv1/v2/v3 reports and leaves (RFC 1112, 2236, 3376)
  igmp_query,   // IGMP queries; from version 2 on with Router Alert
  mld_report,   // MLDv1/v2 reports and dones (RFC 2710, 3810)
  mld_query,    // MLD queries
  pim,          // PIM to all PIM routers, TTL 1 (RFC 7761)
  arp,          // ARP requests and replies for IPv4 over Ethernet (RFC 826)
  nd,           // Neighbour Discovery, hop limit 255 (RFC 4861)
  ospf,         // OSPF, TTL 1 (RFC 2328, 5340)
  vrrp,         // VRRP to its group, TTL 255 (RFC 5798)
  stp,          // spanning tree bridges' messages (IEEE 802.1D)
  ethertype,    // any frame of one EtherType
  ip,           // any IP packet of one protocol to the given destination
};
// "igmp-report", ...; the general kinds have none.
std::string_view name(BypassProtocol protocol);
// Of a name, igmp_report to stp.
std::optional<BypassProtocol> bypass_protocol(std::string_view name);

enum class BypassDirection : std::uint8_t { red_to_black = 1, black_to_red = 2, both = 3 };
std::string_view name(BypassDirection direction);  // "red-to-black", "black-to-red", "both"

struct BypassRule {
  std::string name;  // 1..max_name_bytes bytes, distinct
  BypassDirection direction = BypassDirection::both;
  BypassProtocol protocol = BypassProtocol::arp;
  std::uint16_t ethertype = 0;        // with BypassProtocol::ethertype
  std::uint8_t ip_protocol = 0;       // with BypassProtocol::ip
  std::optional<Prefix> destination;  // required with ip; ARP: of the target's protocol address
  std::optional<Prefix> source;       // ARP: of the sender's
  std::optional<PortRange> ports;     // destination ports; ip with UDP (17) or TCP (6)
  // Frames a second, per worker and direction; one longer than 64 bytes counts for several, so that rate * 64 bytes (or
  // one frame) a second is the most that can cross. As many may come at once. 0: nothing passes.
  std::uint32_t rate = 256;

  bool operator==(const BypassRule&) const = default;
};

inline constexpr std::size_t max_bypass_rules = 64;
inline constexpr std::uint32_t max_bypass_rate = 10'000'000;

// Refuses what the data plane could not tell apart from protected or sealed traffic: IP by its EtherType, tags and
// tunnels below IP, ESP and AH, IGMP by number, a rule without the fields its kind needs or with those it has not.
Result<void> validate(const BypassRule& rule);

// True if some packet of the selector fits the rule: such a rule is refused (H10). Reports and queries of IGMP and MLD
// never are what a selector protects, even where they are addressed to the group.
bool overlap(const BypassRule& rule, const Selector& selector);

// What passes without being configured: IGMP and MLD reports from red, queries from black.
std::vector<BypassRule> default_bypass_rules();

// The rules in force: the given ones and those of the default whose protocol none of them names in that direction.
std::vector<BypassRule> with_defaults(std::vector<BypassRule> rules);

}  // namespace sealcast
