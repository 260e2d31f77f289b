#include "dataplane/policy/policy.h"

#include <algorithm>
#include <type_traits>

#include "base/bytes.h"

namespace sealcast::dataplane {
namespace {

template <typename Address>
Address mask_of(std::uint8_t length) {
  if constexpr (std::is_same_v<Address, Address4>) {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  } else {
    const std::uint64_t ones = ~std::uint64_t{0};
    if (length > 64) return {ones, ones << (128 - length)};
    return {length == 0 ? 0 : ones << (64 - length), 0};
  }
}

template <typename Address>
Address address_of(const IpAddress& address) {
  if constexpr (std::is_same_v<Address, Address4>) {
    return address4(address);
  } else {
    return address6(address);
  }
}

bool overlap(const Prefix& a, const Prefix& b) {
  return a.contains(b) || b.contains(a);
}

}  // namespace

Address4 address4(const IpAddress& address) {
  return load_be<std::uint32_t>(address.bytes.data());
}
Address6 address6(const IpAddress& address) {
  return {load_be<std::uint64_t>(address.bytes.data()), load_be<std::uint64_t>(address.bytes.data() + 8)};
}

template <typename Address>
RuleOf<Address> compile_for(const Selector& selector, std::uint32_t group) {
  RuleOf<Address> rule;
  rule.group = group;
  rule.destination = address_of<Address>(selector.destination.address);
  rule.destination_mask = mask_of<Address>(selector.destination.length);
  if (selector.source) {
    rule.source = address_of<Address>(selector.source->address);
    rule.source_mask = mask_of<Address>(selector.source->length);
  }
  if (selector.protocol) {
    rule.protocol = *selector.protocol;
    rule.protocol_mask = 0xff;
  }
  if (selector.ports) {
    rule.ports = true;
    rule.first_port = selector.ports->first;
    rule.last_port = selector.ports->last;
  }
  return rule;
}
template RuleOf<Address4> compile_for(const Selector&, std::uint32_t);
template RuleOf<Address6> compile_for(const Selector&, std::uint32_t);

bool overlap(const Selector& a, const Selector& b) {
  if (!overlap(a.destination, b.destination)) return false;
  if (a.source && b.source && !overlap(*a.source, *b.source)) return false;
  if (a.protocol && b.protocol && *a.protocol != *b.protocol) return false;
  if (a.ports && b.ports && (a.ports->first > b.ports->last || b.ports->first > a.ports->last)) return false;
  return true;
}

template <typename Address>
void PolicyTable<Address>::place(const RuleOf<Address>& rule) {
  std::uint64_t i = index(rule.destination, rule.source);
  while (used(rules_[i]))
    i = (i + 1) & (rules_.size() - 1);
  rules_[i] = rule;
}

template <typename Address>
void PolicyTable<Address>::add(const RuleOf<Address>& rule) {
  if (2 * (size_ + 1) > rules_.size()) {
    std::vector<RuleOf<Address>> former(rules_.size() * 2);
    former.swap(rules_);
    shift_ = 64 - std::countr_zero(rules_.size());
    for (const auto& one : former)
      if (used(one)) place(one);
  }
  place(rule);
  ++size_;
  const Shape shape{rule.destination_mask, rule.source_mask};
  if (std::find(shapes_.begin(), shapes_.end(), shape) == shapes_.end()) shapes_.push_back(shape);
}

template class PolicyTable<Address4>;
template class PolicyTable<Address6>;

Policy::Policy(const std::vector<Rule>& rules) {
  for (const Rule& rule : rules)
    add(rule);
}

void Policy::add(const Selector& selector, std::uint32_t group) {
  if (selector.destination.address.family == 4) {
    add(compile_for<Address4>(selector, group));
  } else {
    add(compile_for<Address6>(selector, group));
  }
}

}  // namespace sealcast::dataplane
