#include "dataplane/policy/selector_index.h"

#include <set>

#include "dataplane/policy/policy.h"

namespace sealcast::dataplane {
namespace {

// The first or the last address of a prefix of this length around the address.
IpAddress edge(IpAddress address, std::uint8_t length, bool last) {
  for (unsigned bit = length; bit < address.size() * 8; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    std::uint8_t& byte = address.bytes[bit / 8];
    byte = static_cast<std::uint8_t>(last ? byte | mask : byte & ~mask);
  }
  return address;
}

}  // namespace

const SelectorIndex::Entry* SelectorIndex::overlapping_at(const Place& place, const Selector& selector) const {
  const auto found = entries_.find(place);
  if (found == entries_.end()) return nullptr;
  for (const Entry& entry : found->second)
    if (overlap(selector, entry.selector)) return &entry;
  return nullptr;
}

const SelectorIndex::Entry* SelectorIndex::overlapping(const Selector& selector) const {
  const IpAddress& address = selector.destination.address;
  const std::uint8_t length = selector.destination.length;
  // Prefixes that contain the new one or equal it.
  for (auto it = lengths_.lower_bound({address.family, 0});
       it != lengths_.end() && it->first.first == address.family && it->first.second <= length; ++it)
    if (const Entry* met = overlapping_at({edge(address, it->first.second, false), it->first.second}, selector))
      return met;
  // Prefixes within it.
  const IpAddress last = edge(address, length, true);
  for (auto it = entries_.lower_bound({address, 0}); it != entries_.end() && it->first.first <= last; ++it) {
    if (it->first.second <= length) continue;
    for (const Entry& entry : it->second)
      if (overlap(selector, entry.selector)) return &entry;
  }
  return nullptr;
}

std::vector<std::string> SelectorIndex::groups_of(const IpAddress& address) const {
  std::set<std::string> out;
  for (auto it = lengths_.lower_bound({address.family, 0}); it != lengths_.end() && it->first.first == address.family;
       ++it) {
    const auto found = entries_.find({edge(address, it->first.second, false), it->first.second});
    if (found == entries_.end()) continue;
    for (const Entry& entry : found->second)
      out.insert(entry.group_id);
  }
  return {out.begin(), out.end()};
}

void SelectorIndex::remove(const Selector& selector, const std::string& group_id) {
  const Prefix& destination = selector.destination;
  const auto found = entries_.find({destination.address, destination.length});
  if (found == entries_.end()) return;
  std::erase_if(found->second,
                [&](const Entry& entry) { return entry.group_id == group_id && entry.selector == selector; });
  if (!found->second.empty()) return;
  entries_.erase(found);
  const auto length = lengths_.find({destination.address.family, destination.length});
  if (--length->second == 0) lengths_.erase(length);
}

void SelectorIndex::add(const Selector& selector, const std::string& group_id) {
  const Prefix& destination = selector.destination;
  auto& here = entries_[{destination.address, destination.length}];
  if (here.empty()) ++lengths_[{destination.address.family, destination.length}];
  here.push_back({selector, group_id});
}

}  // namespace sealcast::dataplane
