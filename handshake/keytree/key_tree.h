// The key server's side of the tree (H11): places members, renews the keys a leaver knew, and wraps the next premaster
// for the members that stay. Leaves are filled from the left, so that the depth follows the number of members while it
// grows; a member keeps its leaf until it leaves.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <vector>

#include "base/result.h"
#include "handshake/endpoint.h"
#include "handshake/keytree/tree_key.h"

namespace sealcast::handshake {

class KeyTree {
 public:
  // random outlives the tree.
  KeyTree(CipherSuite suite, Random& random) : keys_(suite), random_(random) {}
  KeyTree(KeyTree&&) = default;
  KeyTree& operator=(KeyTree&&) = delete;

  // Places a member. Send its path to it over its own connection only. Fails when 2^24 members are in, or when memory
  // cannot be locked (H14).
  Result<LeafPosition> join();
  // The path of a present member, also for one that lost it or never got it. position must be occupied.
  TreePath path(LeafPosition position) const;

  // Takes members out, so that none of them can read this or a later update. Positions that are not occupied are
  // ignored, repeated ones count once. Without positions: the next premaster for all members. The first update after
  // the tree doubled wraps two more keys for each doubling, for the nodes that growth left without a key. If no member
  // is left, the update is empty and its premaster zeros: there is none to send it to.
  TreeUpdate renew(std::span<const LeafPosition> leaving, const Secret<48>& premaster);

  std::uint32_t members() const { return levels_.empty() ? 0 : levels_.back().occupied[0]; }
  bool occupied(LeafPosition position) const;
  std::uint8_t depth() const { return levels_.empty() ? 0 : static_cast<std::uint8_t>(levels_.size() - 1); }
  // True when the tree is so sparse that its depth costs more than a new one would: then make a new tree and give every
  // member its path in it. At least a quarter of the members have left since the last one was made, so that this is
  // rare.
  bool wants_new_tree() const;

 private:
  // All nodes of one level. Seeds lie in locked memory.
  struct Level {
    LockedArena seeds;
    std::vector<std::uint32_t> step;
    std::vector<std::uint32_t> occupied;  // leaves below
    std::vector<bool> present;            // every member below knows its seed

    std::uint8_t* seed(std::uint32_t index) {
      return static_cast<std::uint8_t*>(seeds.data()) + std::size_t{index} * seed_size;
    }
    const std::uint8_t* seed(std::uint32_t index) const {
      return static_cast<const std::uint8_t*>(seeds.data()) + std::size_t{index} * seed_size;
    }
  };
  struct Renewal;

  static Result<Level> make_level(std::uint32_t nodes);
  Result<void> grow();
  NodeKey key(std::uint8_t level, std::uint32_t index) const;
  void set(std::uint8_t level, std::uint32_t index, const NodeKey& key);
  void forget(std::uint8_t level, std::uint32_t index);
  NodeKey fresh() const;
  void renew_node(Renewal& renewal, std::uint8_t level, std::uint32_t index);

  TreeKeys keys_;
  Random& random_;
  std::vector<Level> levels_;  // 0 = leaves; the last one has one node
  std::uint32_t used_ = 0;     // leaves with lower numbers were occupied once
  std::set<LeafPosition> free_;
};

}  // namespace sealcast::handshake
