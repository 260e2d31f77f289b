#include "handshake/keytree/key_tree.h"

#include <algorithm>
#include <cstring>

namespace sealcast::handshake {

struct KeyTree::Renewal {
  std::vector<std::set<std::uint32_t>> renewed;  // by level: nodes that got a new seed in this update
  std::vector<NodeUpdate> nodes;
};

Result<KeyTree::Level> KeyTree::make_level(std::uint32_t nodes) {
  SEALCAST_TRY_ASSIGN(auto seeds, LockedArena::create(std::size_t{nodes} * seed_size));
  Level level;
  level.seeds = std::move(seeds);
  level.step.resize(nodes);
  level.occupied.resize(nodes);
  level.present.resize(nodes);
  return level;
}

// Doubles the leaves: every level doubles to the right, and a root is added on top. The present members do not know the
// root's seed, so it has none until the next update.
Result<void> KeyTree::grow() {
  if (levels_.empty()) {
    SEALCAST_TRY_ASSIGN(auto leaf, make_level(1));
    levels_.push_back(std::move(leaf));
    return {};
  }
  std::vector<Level> larger;
  for (const Level& level : levels_) {
    const auto nodes = static_cast<std::uint32_t>(level.step.size());
    SEALCAST_TRY_ASSIGN(auto made, make_level(2 * nodes));
    std::memcpy(made.seed(0), level.seed(0), std::size_t{nodes} * seed_size);
    std::copy(level.step.begin(), level.step.end(), made.step.begin());
    std::copy(level.occupied.begin(), level.occupied.end(), made.occupied.begin());
    std::copy(level.present.begin(), level.present.end(), made.present.begin());
    larger.push_back(std::move(made));
  }
  SEALCAST_TRY_ASSIGN(auto root, make_level(1));
  root.occupied[0] = larger.back().occupied[0];
  larger.push_back(std::move(root));
  levels_ = std::move(larger);
  return {};
}

NodeKey KeyTree::key(std::uint8_t level, std::uint32_t index) const {
  NodeKey key;
  std::memcpy(key.seed.data(), levels_[level].seed(index), seed_size);
  key.step = levels_[level].step[index];
  return key;
}

void KeyTree::set(std::uint8_t level, std::uint32_t index, const NodeKey& key) {
  Level& at = levels_[level];
  std::memcpy(at.seed(index), key.seed.data(), seed_size);
  at.step[index] = key.step;
  at.present[index] = true;
}

void KeyTree::forget(std::uint8_t level, std::uint32_t index) {
  wipe(levels_[level].seed(index), seed_size);
  levels_[level].present[index] = false;
}

NodeKey KeyTree::fresh() const {
  NodeKey made;
  random_.fill(made.seed.span());
  return made;
}

bool KeyTree::occupied(LeafPosition position) const {
  return !levels_.empty() && position < levels_[0].occupied.size() && levels_[0].occupied[position] != 0;
}

Result<LeafPosition> KeyTree::join() {
  LeafPosition position = used_;
  if (!free_.empty()) {
    position = *free_.begin();
  } else if (levels_.empty() || used_ == levels_[0].occupied.size()) {
    if (depth() == max_tree_depth)
      return fail("the key tree is full: expected at most " + std::to_string(1U << max_tree_depth) + " members");
    SEALCAST_TRY(grow());
  }
  free_.erase(position);
  used_ = std::max(used_, position + 1);
  for (std::uint8_t level = 0; level <= depth(); ++level) {
    const std::uint32_t index = position >> level;
    if (levels_[level].occupied[index]++ == 0) {
      set(level, index, fresh());
    } else if (levels_[level].present[index]) {
      NodeKey known = key(level, index);
      keys_.join(known);
      set(level, index, known);
    }
  }
  return position;
}

TreePath KeyTree::path(LeafPosition position) const {
  TreePath path;
  path.position = position;
  for (std::uint8_t level = 0; level <= depth(); ++level) {
    const std::uint32_t index = position >> level;
    path.levels.emplace_back();
    if (levels_[level].present[index]) path.levels.back() = key(level, index);
  }
  return path;
}

// Gives an occupied inner node a new seed, derived from the first renewed child's if there is one, and wraps it for the
// members below the other child.
void KeyTree::renew_node(Renewal& renewal, std::uint8_t level, std::uint32_t index) {
  const auto below = static_cast<std::uint8_t>(level - 1);
  const std::uint32_t children[2] = {2 * index, 2 * index + 1};
  int source = -1;
  for (int side = 1; side >= 0; --side)
    if (renewal.renewed[below].count(children[side]) != 0) source = side;

  NodeKey made = fresh();
  if (source >= 0) made.seed = keys_.parent(key(below, children[source]).seed);
  NodeUpdate update;
  update.level = level;
  update.index = index;
  for (int side = 0; side < 2; ++side) {
    if (side == source || levels_[below].occupied[children[side]] == 0) continue;
    // Growth left this node without a seed: renew it in the same update.
    if (!levels_[below].present[children[side]]) renew_node(renewal, below, children[side]);
    const NodeKey child = key(below, children[side]);
    WrappedSeed wrapped;
    wrapped.step = child.step;
    keys_.wrap(child.seed, made.seed.view(), wrapped.bytes);
    update.for_child[static_cast<std::size_t>(side)] = wrapped;
  }
  set(level, index, made);
  renewal.renewed[level].insert(index);
  renewal.nodes.push_back(std::move(update));
}

TreeUpdate KeyTree::renew(std::span<const LeafPosition> leaving, const Secret<48>& premaster) {
  TreeUpdate update;
  update.depth = depth();
  if (levels_.empty()) return update;
  Renewal renewal;
  renewal.renewed.resize(levels_.size());
  std::set<std::uint32_t> touched;
  for (const LeafPosition position : leaving) {
    if (!occupied(position)) continue;
    touched.insert(position);
    free_.insert(position);
    for (std::uint8_t level = 0; level <= depth(); ++level)
      --levels_[level].occupied[position >> level];
    forget(0, position);
  }
  for (std::uint8_t level = 1; level <= depth(); ++level) {
    std::set<std::uint32_t> above;
    for (const std::uint32_t index : touched)
      above.insert(index / 2);
    touched = std::move(above);
    for (const std::uint32_t index : touched) {
      if (levels_[level].occupied[index] == 0) {
        forget(level, index);
      } else {
        renew_node(renewal, level, index);
      }
    }
  }
  if (members() == 0) return update;
  if (!levels_.back().present[0]) renew_node(renewal, depth(), 0);
  std::sort(renewal.nodes.begin(), renewal.nodes.end(), [](const NodeUpdate& a, const NodeUpdate& b) {
    return a.level != b.level ? a.level < b.level : a.index < b.index;
  });
  update.nodes = std::move(renewal.nodes);
  const NodeKey root = key(depth(), 0);
  update.root_step = root.step;
  keys_.wrap(root.seed, premaster.view(), update.premaster);
  return update;
}

bool KeyTree::wants_new_tree() const {
  return depth() > 0 && std::uint64_t{members()} * 8 <= std::uint64_t{levels_[0].occupied.size()} * 3;
}

}  // namespace sealcast::handshake
