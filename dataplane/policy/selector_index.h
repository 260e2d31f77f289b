// Which protected selectors a new one meets (H16): a packet must belong to one group only. Asked for every selector of
// every group at start, so it looks only at those whose destination holds the new one's or lies in it.
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
  // One of a group's. As add(), it ends what overlapping() gave.
  void remove(const Selector& selector, const std::string& group_id);
  // Groups with a selector whose destination holds this address, each once.
  std::vector<std::string> groups_of(const IpAddress& address) const;

 private:
  using Place = std::pair<IpAddress, std::uint8_t>;  // a destination prefix: address, length

  const Entry* overlapping_at(const Place& place, const Selector& selector) const;

  std::map<Place, std::vector<Entry>> entries_;
  // Family and prefix length of destinations in use, and how many of entries_ are such.
  std::map<std::pair<std::uint8_t, std::uint8_t>, std::size_t> lengths_;
};

}  // namespace sealcast::dataplane
