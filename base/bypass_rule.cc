#include "base/bypass_rule.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"

namespace sealcast {
namespace {

constexpr std::array<std::pair<std::string_view, BypassProtocol>, 10> names = {{
    {"igmp-report", BypassProtocol::igmp_report},
    {"igmp-query", BypassProtocol::igmp_query},
    {"mld-report", BypassProtocol::mld_report},
    {"mld-query", BypassProtocol::mld_query},
    {"pim", BypassProtocol::pim},
    {"arp", BypassProtocol::arp},
    {"nd", BypassProtocol::nd},
    {"ospf", BypassProtocol::ospf},
    {"vrrp", BypassProtocol::vrrp},
    {"stp", BypassProtocol::stp},
}};

// EtherTypes of frames that hold another frame or packet, which selectors then do not see (H10): IP itself, tags, MPLS,
// PPPoE, PPP, bridging, provider backbone bridges, service headers. ARP has a rule kind of its own. The gateways'
// beacon must stay on red.
constexpr std::array<std::uint16_t, 19> hiding_ethertypes = {beacon_ether_type,
                                                             0x0800,
                                                             0x0806,
                                                             0x86dd,
                                                             0x8100,
                                                             0x88a8,
                                                             0x9100,
                                                             0x9200,
                                                             0x9300,
                                                             0x8847,
                                                             0x8848,
                                                             0x8863,
                                                             0x8864,
                                                             0x880b,
                                                             0x6558,
                                                             0x88e7,
                                                             0x894f,
                                                             0x8926,
                                                             0x893f};
constexpr std::uint16_t first_ethertype = 0x0600;  // below: lengths of IEEE 802.3 frames

bool overlaps(const Prefix& a, const Prefix& b) {
  return a.contains(b) || b.contains(a);
}

// The address family of a kind; 0: both, or none.
std::uint8_t family_of(BypassProtocol protocol) {
  switch (protocol) {
    case BypassProtocol::igmp_report:
    case BypassProtocol::igmp_query:
    case BypassProtocol::arp:
      return 4;
    case BypassProtocol::mld_report:
    case BypassProtocol::mld_query:
    case BypassProtocol::nd:
      return 6;
    default:
      return 0;
  }
}

std::string hex(std::uint16_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out = "0x";
  for (int shift = 12; shift >= 0; shift -= 4)
    out += digits[(value >> shift) & 15U];
  return out;
}

Result<void> validate_ip(const BypassRule& rule) {
  switch (rule.ip_protocol) {
    case 2:
      return fail("expected \"igmp-report\" or \"igmp-query\" for IGMP, got protocol 2");
    case 50:
    case 51:
      return fail("expected no ESP or AH: what is sealed already never passes as plain traffic, got protocol " +
                  std::to_string(rule.ip_protocol));
    case 0:
    case 43:
    case 44:
    case 60:
      return fail("expected an upper-layer protocol, got the IPv6 extension header " +
                  std::to_string(rule.ip_protocol));
    default:
      break;
  }
  if (!rule.destination) return fail("expected a destination beside a protocol's number, but the key is missing");
  if (rule.ports && rule.ip_protocol != 17 && rule.ip_protocol != 6)
    return fail("expected ports with UDP (17) or TCP (6) only, got protocol " + std::to_string(rule.ip_protocol));
  return {};
}

}  // namespace

std::string_view name(BypassProtocol protocol) {
  const auto found =
      std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.second == protocol; });
  return found == names.end() ? std::string_view() : found->first;
}

std::optional<BypassProtocol> bypass_protocol(std::string_view text) {
  const auto found = std::find_if(names.begin(), names.end(), [&](const auto& entry) { return entry.first == text; });
  if (found == names.end()) return std::nullopt;
  return found->second;
}

std::string_view name(BypassDirection direction) {
  switch (direction) {
    case BypassDirection::red_to_black:
      return "red-to-black";
    case BypassDirection::black_to_red:
      return "black-to-red";
    case BypassDirection::both:
      break;
  }
  return "both";
}

Result<void> validate(const BypassRule& rule) {
  if (rule.name.empty() || rule.name.size() > max_name_bytes)
    return fail("expected a name of 1 to " + std::to_string(max_name_bytes) + " bytes");
  if (rule.rate > max_bypass_rate)
    return fail("expected a rate of 0 to " + std::to_string(max_bypass_rate) + ", got " + std::to_string(rule.rate));
  if (rule.protocol == BypassProtocol::ip) {
    SEALCAST_TRY(validate_ip(rule));
  } else if (rule.ports) {
    return fail("expected ports beside protocol 17 or 6 only");
  }
  if (rule.protocol == BypassProtocol::ethertype) {
    if (rule.ethertype < first_ethertype ||
        std::find(hiding_ethertypes.begin(), hiding_ethertypes.end(), rule.ethertype) != hiding_ethertypes.end())
      return fail(
          "expected an EtherType from 0x0600 on that is not IP, ARP, a tag, a tunnel or the gateways' beacon, got " +
          hex(rule.ethertype));
  }
  const bool addresses = rule.destination || rule.source;
  if (addresses && (rule.protocol == BypassProtocol::ethertype || rule.protocol == BypassProtocol::stp))
    return fail("expected no address: such frames carry none that a rule could look at");
  if (rule.source && rule.source->address.is_multicast())
    return fail("expected a unicast source, got " + rule.source->text());
  if (rule.source && rule.destination && rule.source->address.family != rule.destination->address.family)
    return fail("expected source and destination of one address family, got " + rule.source->text() + " and " +
                rule.destination->text());
  const std::uint8_t family = family_of(rule.protocol);
  for (const auto& prefix : {rule.destination, rule.source})
    if (prefix && family != 0 && prefix->address.family != family)
      return fail("expected an IPv" + std::to_string(family) + " prefix with \"" + std::string(name(rule.protocol)) +
                  "\", got " + prefix->text());
  return {};
}

bool overlap(const BypassRule& rule, const Selector& selector) {
  // The data plane checks that all other kinds are what they claim to be. They go to unicast or link-local addresses,
  // which no selector names.
  if (rule.protocol != BypassProtocol::ip) return false;
  if (rule.destination && !overlaps(*rule.destination, selector.destination)) return false;
  if (rule.source && selector.source && !overlaps(*rule.source, *selector.source)) return false;
  if (selector.protocol && *selector.protocol != rule.ip_protocol) return false;
  if (rule.ports && selector.ports &&
      (rule.ports->first > selector.ports->last || selector.ports->first > rule.ports->last))
    return false;
  return true;
}

std::vector<BypassRule> default_bypass_rules() {
  const auto rule = [](BypassProtocol protocol, BypassDirection direction) {
    BypassRule made;
    made.name = std::string(name(protocol));
    made.direction = direction;
    made.protocol = protocol;
    return made;
  };
  return {rule(BypassProtocol::igmp_report, BypassDirection::red_to_black),
          rule(BypassProtocol::igmp_query, BypassDirection::black_to_red),
          rule(BypassProtocol::mld_report, BypassDirection::red_to_black),
          rule(BypassProtocol::mld_query, BypassDirection::black_to_red)};
}

std::vector<BypassRule> with_defaults(std::vector<BypassRule> rules) {
  const std::size_t given = rules.size();
  for (BypassRule& standard : default_bypass_rules()) {
    const auto bits = static_cast<unsigned>(standard.direction);
    const bool named =
        std::any_of(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(given), [&](const auto& r) {
          return r.protocol == standard.protocol && (static_cast<unsigned>(r.direction) & bits) != 0;
        });
    if (!named) rules.push_back(std::move(standard));
  }
  return rules;
}

}  // namespace sealcast
