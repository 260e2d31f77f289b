#include "dataplane/policy.h"

#include <algorithm>
#include <bit>

#include "base/bytes.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t mask_of(std::uint8_t prefix_length) {
  return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_length);
}

std::uint32_t address_of(const Prefix& prefix) {
  return load_be<std::uint32_t>(prefix.address.bytes.data());
}

bool overlap(const Prefix& a, const Prefix& b) {
  return a.contains(b) || b.contains(a);
}

}  // namespace

Rule compile(const Selector& selector, std::uint32_t group) {
  Rule rule;
  rule.group = group;
  rule.destination = address_of(selector.destination);
  rule.destination_mask = mask_of(selector.destination.length);
  if (selector.source) {
    rule.source = address_of(*selector.source);
    rule.source_mask = mask_of(selector.source->length);
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

Match match_any(const std::vector<Rule>& rules, const PacketKey& key) noexcept {
  Match best = Match::none;
  for (const Rule& rule : rules) {
    if (!rule.matches_but_ports(key)) continue;
    if (rule.ports_match(key)) return Match::found;
    if (!key.has_ports) best = Match::needs_ports;
  }
  return best;
}

bool overlap(const Selector& a, const Selector& b) {
  if (!overlap(a.destination, b.destination)) return false;
  if (a.source && b.source && !overlap(*a.source, *b.source)) return false;
  if (a.protocol && b.protocol && *a.protocol != *b.protocol) return false;
  if (a.ports && b.ports && (a.ports->first > b.ports->last || b.ports->first > a.ports->last)) return false;
  return true;
}

Policy::Policy(std::vector<Rule> rules) : rules_(std::move(rules)) {
  // Longest prefix first, then equal prefixes side by side: each run becomes one bucket.
  std::sort(rules_.begin(), rules_.end(), [](const Rule& a, const Rule& b) {
    if (a.destination_mask != b.destination_mask) return a.destination_mask > b.destination_mask;
    return a.destination < b.destination;
  });
  buckets_.resize(std::bit_ceil(2 * rules_.size() + 2));
  bucket_mask_ = static_cast<std::uint32_t>(buckets_.size() - 1);
  for (std::uint32_t begin = 0; begin < rules_.size();) {
    const Rule& first = rules_[begin];
    std::uint32_t end = begin + 1;
    while (end < rules_.size() && rules_[end].destination_mask == first.destination_mask &&
           rules_[end].destination == first.destination)
      ++end;
    std::uint32_t i = hash(first.destination, first.destination_mask) & bucket_mask_;
    while (buckets_[i].end != 0)
      i = (i + 1) & bucket_mask_;
    buckets_[i] = {first.destination, first.destination_mask, begin, end};
    if (masks_.empty() || masks_.back() != first.destination_mask) masks_.push_back(first.destination_mask);
    begin = end;
  }
}

Match Policy::find(const PacketKey& key, std::uint32_t& group) const noexcept {
  Match best = Match::none;
  for (const std::uint32_t mask : masks_) {
    const std::uint32_t destination = key.destination & mask;
    for (std::uint32_t i = hash(destination, mask) & bucket_mask_; buckets_[i].end != 0; i = (i + 1) & bucket_mask_) {
      const Bucket& bucket = buckets_[i];
      if (bucket.destination != destination || bucket.mask != mask) continue;
      for (std::uint32_t r = bucket.begin; r < bucket.end; ++r) {
        const Rule& rule = rules_[r];
        if (!rule.matches_but_ports(key)) continue;
        if (rule.ports_match(key)) {
          group = rule.group;
          return Match::found;
        }
        if (!key.has_ports) best = Match::needs_ports;
      }
      break;
    }
  }
  return best;
}

}  // namespace sealcast::dataplane
