// Finds the protected selectors that overlap a new one (H16): a packet must belong to one group only. Runs for every
// selector of every group at start, so that it looks only at selectors with a destination that contains the new one's
// or lies in it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"

namespace sealcast::dataplane {

class SelectorIndex {
 public:
  struct Entry {
    Selector selector;
    std::string group_id;
  };

  // Some selector that a packet could match together with this one; null: none. Valid until the next add().
  const Entry* overlapping(const Selector& selector) const;
  void add(const Selector& selector, const std::string& group_id);
  // Removes one of a group's selectors. Like add(), it invalidates what overlapping() returned.
  void remove(const Selector& selector, const std::string& group_id);
  // Groups with a selector for this destination address, each once.
  std::vector<std::string> groups_of(const IpAddress& address) const;

 private:
  using Place = std::pair<IpAddress, std::uint8_t>;  // a destination prefix: address, length

  const Entry* overlapping_at(const Place& place, const Selector& selector) const;

  std::map<Place, std::vector<Entry>> entries_;
  // Family and prefix length of destinations in use, and how many entries_ have them.
  std::map<std::pair<std::uint8_t, std::uint8_t>, std::size_t> lengths_;
};

}  // namespace sealcast::dataplane
