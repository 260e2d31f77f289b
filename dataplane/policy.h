// Which group a multicast packet belongs to: selectors compiled for lookup per packet. IPv4; IPv6 rules will stand in
// a second table of the same shape.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace sealcast::dataplane {

// Addresses in host byte order, as the path compares them.
using Address4 = std::uint32_t;
struct Address6 {
  std::uint64_t high = 0, low = 0;

  constexpr Address6 operator&(const Address6& o) const noexcept { return {high & o.high, low & o.low}; }
  constexpr Address6 operator^(const Address6& o) const noexcept { return {high ^ o.high, low ^ o.low}; }
  constexpr bool operator==(const Address6&) const = default;
};
constexpr bool is_zero(Address4 a) noexcept {
  return a == 0;
}
constexpr bool is_zero(const Address6& a) noexcept {
  return (a.high | a.low) == 0;
}

// What a selector looks at.
template <typename Address>
struct PacketKeyOf {
  Address destination{};
  Address source{};
  std::uint8_t protocol = 0;
  bool has_ports = false;  // UDP and not a later fragment
  std::uint16_t destination_port = 0;
};

using PacketKey = PacketKeyOf<Address4>;
using PacketKey6 = PacketKeyOf<Address6>;

// One selector with masks worked out. protocol_mask 0 = any protocol.
template <typename Address>
struct RuleOf {
  Address destination{}, destination_mask{};
  Address source{}, source_mask{};
  std::uint8_t protocol = 0, protocol_mask = 0;
  bool ports = false;
  std::uint16_t first_port = 0, last_port = 65535;
  std::uint32_t group = 0;

  bool addresses_match(const Address& to, const Address& from) const noexcept {
    return is_zero((to ^ destination) & destination_mask) && is_zero((from ^ source) & source_mask);
  }
  bool matches_but_ports(const PacketKeyOf<Address>& key) const noexcept {
    return addresses_match(key.destination, key.source) && ((key.protocol ^ protocol) & protocol_mask) == 0;
  }
  bool ports_match(const PacketKeyOf<Address>& key) const noexcept {
    return !ports || (key.has_ports && key.destination_port >= first_port && key.destination_port <= last_port);
  }
};

using Rule = RuleOf<Address4>;
using Rule6 = RuleOf<Address6>;

enum class Match : std::uint8_t {
  none,
  found,
  needs_ports,  // everything matches but the ports, which this packet (a later fragment) does not show
};

// selector must be IPv4 and valid.
Rule compile(const Selector& selector, std::uint32_t group);

// Any of rules; linear, for the few selectors of one epoch.
Match match_any(const std::vector<Rule>& rules, const PacketKey& key) noexcept;

// True if some packet matches both.
bool overlap(const Selector& a, const Selector& b);

// All protected selectors of all groups. Selectors of different groups never overlap (the control side refuses that),
// so the first match is the only group. Immutable once built.
class Policy {
 public:
  explicit Policy(std::vector<Rule> rules);

  // On found, group is set. One hash probe per distinct destination prefix length in use.
  Match find(const PacketKey& key, std::uint32_t& group) const noexcept;
  std::size_t size() const { return rules_.size(); }

 private:
  struct Bucket {
    std::uint32_t destination = 0;
    std::uint32_t mask = 0;
    std::uint32_t begin = 0, end = 0;  // rules; empty = unused
  };
  static std::uint32_t hash(std::uint32_t destination, std::uint32_t mask) noexcept {
    const std::uint32_t mixed = (destination ^ (mask >> 3)) * 2654435769U;
    return mixed ^ (mixed >> 15);  // the low bits of a product know only the low bits of its factors
  }

  std::vector<Rule> rules_;           // by destination prefix
  std::vector<std::uint32_t> masks_;  // distinct destination masks, longest first
  std::vector<Bucket> buckets_;       // open addressing, power of two, at most half full
  std::uint32_t bucket_mask_ = 0;
};

}  // namespace sealcast::dataplane
