// Two snapshots that take turns. Workers read one; the other gets the changes and then takes its place. When no worker
// uses the former one any more, it gets the same changes. So a rekey costs what changed in its group, however many
// groups there are, and workers read one flat picture.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "base/address.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// A group's part of the snapshot.
struct GroupPicture {
  std::uint32_t group = 0;                // its index
  std::vector<SpiTable::Entry> spis;      // of all its epochs
  std::vector<SpiRange> ranges;           // of all its epochs
  std::vector<SealingSa*> outbound = {};  // one a worker, or none
};

// Control thread only. No object that a picture points at may end before the publish() after its replacement has
// returned.
class SnapshotPair {
 public:
  explicit SnapshotPair(std::uint32_t workers);

  // Replaces the group's former picture.
  void set(GroupPicture picture);
  // Selectors of a group; call it once a group.
  void protect(const std::vector<Selector>& selectors, std::uint32_t group);
  // Removes these groups; left: the selectors of all others.
  void unprotect(std::vector<std::uint32_t> groups, std::vector<std::pair<Selector, std::uint32_t>> left);
  // Changes anything else in the snapshots; calls how twice, once for each.
  void change(std::function<void(Snapshot&)> how);

  // swap_in(next) must make next the snapshot that workers use, and return when none uses the former.
  template <typename SwapIn>
  void publish(SwapIn&& swap_in) {
    const std::uint32_t next = 1 - current_;
    sides_[next].snapshot.version = sides_[current_].snapshot.version + 1;
    swap_in(&sides_[next].snapshot);
    current_ = next;
    catch_up();
  }

  // The one that workers use.
  const Snapshot& current() const { return sides_[current_].snapshot; }

 private:
  struct Side {
    Snapshot snapshot;
    std::shared_ptr<Policy> policy;                            // the snapshot's own
    std::vector<std::shared_ptr<const GroupPicture>> applied;  // by group index
  };
  using Change = std::function<void(Side&)>;

  void apply(Change change);
  // Applies the changes since the last publish() to the side that lacks them.
  void catch_up();
  static void put(Side& side, const std::shared_ptr<const GroupPicture>& picture);

  std::array<Side, 2> sides_;
  std::uint32_t current_ = 0;
  std::vector<Change> pending_;
};

}  // namespace sealcast::dataplane
