// Which group a multicast packet belongs to: selectors compiled for lookup per packet, a table for each family.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace sealcast::dataplane {

// Addresses in host byte order, as the path compares them.
using Address4 = std::uint32_t;
struct Address6 {
  std::uint64_t high, low;

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

// The fields of a packet that selectors compare.
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

// One selector with its masks. protocol_mask 0 = any protocol.
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
  needs_ports,  // all matches but the ports, which this packet (a later fragment) does not have
};

// selector must be valid and of the family.
template <typename Address>
RuleOf<Address> compile_for(const Selector& selector, std::uint32_t group);
inline Rule compile(const Selector& selector, std::uint32_t group) {
  return compile_for<Address4>(selector, group);
}
Address4 address4(const IpAddress& address);
Address6 address6(const IpAddress& address);

// Any of rules; linear, for the few selectors of one epoch.
template <typename Address>
Match match_any(const std::vector<RuleOf<Address>>& rules, const PacketKeyOf<Address>& key) noexcept {
  Match best = Match::none;
  for (const auto& rule : rules) {
    if (!rule.matches_but_ports(key)) continue;
    if (rule.ports_match(key)) return Match::found;
    if (!key.has_ports) best = Match::needs_ports;
  }
  return best;
}

// True if some packet matches both.
bool overlap(const Selector& a, const Selector& b);

// The protected selectors of one family. Rules stand in an open hash by their destination and source prefix; a lookup
// costs one probe per pair of prefix lengths in use, however many groups and sources there are.
template <typename Address>
class PolicyTable {
 public:
  // Control thread, while no worker reads this object.
  void add(const RuleOf<Address>& rule);

  // On found, group is set.
  Match find(const PacketKeyOf<Address>& key, std::uint32_t& group) const noexcept {
    Match best = Match::none;
    for (const Shape& shape : shapes_) {
      const std::uint64_t at = index(key.destination & shape.destination_mask, key.source & shape.source_mask);
      for (std::uint64_t i = at; used(rules_[i]); i = (i + 1) & (rules_.size() - 1)) {
        const RuleOf<Address>& rule = rules_[i];
        // Whatever its shape: groups never overlap, so a match is the only group.
        if (!rule.matches_but_ports(key)) continue;
        if (rule.ports_match(key)) {
          group = rule.group;
          return Match::found;
        }
        if (!key.has_ports) best = Match::needs_ports;
      }
    }
    return best;
  }
  // Prefetches what find() of such a packet reads first.
  void prefetch(const Address& destination, const Address& source) const noexcept {
    const auto* place = reinterpret_cast<const char*>(&rules_[first_place(destination, source)]);
    __builtin_prefetch(place);
    __builtin_prefetch(place + sizeof(RuleOf<Address>) - 1);
  }
  // The packet's most likely group: a guess without protocol and ports, for prefetching; 0 if there is none.
  std::uint32_t guess(const Address& destination, const Address& source) const noexcept {
    for (std::uint64_t i = first_place(destination, source); used(rules_[i]); i = (i + 1) & (rules_.size() - 1))
      if (rules_[i].addresses_match(destination, source)) return rules_[i].group;
    return 0;
  }
  std::size_t size() const { return size_; }

 private:
  struct Shape {
    Address destination_mask{}, source_mask{};
    bool operator==(const Shape&) const = default;
  };
  static bool used(const RuleOf<Address>& rule) noexcept { return !is_zero(rule.destination_mask); }
  static std::uint64_t mix(Address4 destination, Address4 source) noexcept {
    return ((std::uint64_t{destination} << 32) | source) * 0x9e3779b97f4a7c15;
  }
  static std::uint64_t mix(const Address6& destination, const Address6& source) noexcept {
    return destination.low * 0x9e3779b97f4a7c15 + destination.high * 0xc2b2ae3d27d4eb4f +
           source.low * 0x165667b19e3779f9 + source.high * 0xd6e8feb86659fd93;
  }
  std::uint64_t index(const Address& destination, const Address& source) const noexcept {
    return mix(destination, source) >> shift_;
  }
  std::uint64_t first_place(const Address& destination, const Address& source) const noexcept {
    if (shapes_.empty()) return 0;
    const Shape& shape = shapes_.front();
    return index(destination & shape.destination_mask, source & shape.source_mask);
  }
  void place(const RuleOf<Address>& rule);

  std::vector<Shape> shapes_;  // distinct pairs of prefix lengths, in order of arrival
  std::vector<RuleOf<Address>> rules_ = std::vector<RuleOf<Address>>(2);  // power of two, at most half full
  std::size_t size_ = 0;
  int shift_ = 63;
};

extern template class PolicyTable<Address4>;
extern template class PolicyTable<Address6>;

// All protected selectors of all groups. Selectors of different groups never overlap (the control side refuses that),
// so the first match is the only group. Not changed while workers read it.
class Policy {
 public:
  Policy() = default;
  explicit Policy(const std::vector<Rule>& rules);

  void add(const Rule& rule) { ipv4_.add(rule); }
  void add(const Rule6& rule) { ipv6_.add(rule); }
  // selector must be valid.
  void add(const Selector& selector, std::uint32_t group);

  Match find(const PacketKey& key, std::uint32_t& group) const noexcept { return ipv4_.find(key, group); }
  Match find(const PacketKey6& key, std::uint32_t& group) const noexcept { return ipv6_.find(key, group); }
  const PolicyTable<Address4>& ipv4() const { return ipv4_; }
  const PolicyTable<Address6>& ipv6() const { return ipv6_; }
  std::size_t size() const { return ipv4_.size() + ipv6_.size(); }

 private:
  PolicyTable<Address4> ipv4_;
  PolicyTable<Address6> ipv6_;
};

}  // namespace sealcast::dataplane
