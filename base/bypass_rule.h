// What may cross a gateway unsealed: one named rule per kind of traffic and direction; all else is dropped. Plain
// values that configuration and data plane share.
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

// Kinds with a form of their own, which the data plane checks, and two general ones, which pass all that fits.
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
// The kind with this name, igmp_report to stp.
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
  // Frames a second, per worker and direction. A frame longer than 64 bytes counts as several, so that at most rate *
  // 64 bytes (or one frame) cross in a second. As many may come at once. 0: nothing passes.
  std::uint32_t rate = 256;

  bool operator==(const BypassRule&) const = default;
};

inline constexpr std::size_t max_bypass_rules = 64;
inline constexpr std::uint32_t max_bypass_rate = 10'000'000;

// Refuses rules that the data plane could not tell from protected or sealed traffic: IP by its EtherType, tags and
// tunnels below IP, ESP and AH, IGMP by number; and rules that lack a field of their kind or have one that is not.
Result<void> validate(const BypassRule& rule);

// True if some packet of the selector fits the rule: such a rule is refused (H10). Selectors never protect reports and
// queries of IGMP and MLD, even those sent to the group's address.
bool overlap(const BypassRule& rule, const Selector& selector);

// What passes unless configured otherwise: IGMP and MLD reports from red, queries from black.
std::vector<BypassRule> default_bypass_rules();

// The rules in force: the given ones, and each default rule with a protocol and direction that no given rule names.
std::vector<BypassRule> with_defaults(std::vector<BypassRule> rules);

}  // namespace sealcast
