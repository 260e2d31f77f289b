#include "handshake/keytree/member_path.h"

namespace sealcast::handshake {

bool valid_path(const TreePath& path) {
  return !path.levels.empty() && path.levels.size() <= std::size_t{max_tree_depth} + 1 && path.levels[0] &&
         (path.position >> (path.levels.size() - 1)) == 0;
}

Outcome<Secret<48>> MemberPath::apply(const TreeUpdate& update) {
  const auto not_for_us = [&](const std::string& what) {
    return refuse(Reason::key_material_refused, "rekey datagram: " + what);
  };
  if (update.depth + std::size_t{1} < path_.levels.size() || update.depth > max_tree_depth)
    return not_for_us("expected a tree of depth " + std::to_string(path_.levels.size() - 1) + " to " +
                      std::to_string(max_tree_depth) + ", got " + std::to_string(update.depth));
  std::vector<std::optional<NodeKey>> next;
  for (const auto& known : path_.levels)
    next.push_back(known ? std::optional(known->clone()) : std::nullopt);
  next.resize(update.depth + std::size_t{1});
  std::vector<bool> renewed(next.size());

  for (const NodeUpdate& node : update.nodes) {
    if (node.level == 0 || node.level > update.depth || node.index != path_.position >> node.level) continue;
    const std::size_t below = node.level - std::size_t{1};
    const std::string place = "level " + std::to_string(node.level) + " of the tree";
    std::optional<NodeKey>& child = next[below];
    NodeKey made;
    if (const auto& wrapped = node.for_child[(path_.position >> below) & 1]) {
      if (!child || !keys_.catch_up(*child, wrapped->step))
        return not_for_us(place + " is wrapped under a key this member does not have");
      if (!keys_.unwrap(child->seed, wrapped->bytes, made.seed.span()))
        return not_for_us(place + " does not unwrap under this member's key");
    } else {
      if (!renewed[below]) return not_for_us(place + " was renewed without this member");
      made.seed = keys_.parent(child->seed);
    }
    next[node.level] = std::move(made);
    renewed[node.level] = true;
  }

  std::optional<NodeKey>& root = next.back();
  if (!root || !keys_.catch_up(*root, update.root_step))
    return not_for_us("the new secret is wrapped under a root key this member does not have");
  Secret<48> premaster;
  if (!keys_.unwrap(root->seed, update.premaster, premaster.span()))
    return not_for_us("the new secret does not unwrap under this member's root key");
  path_.levels = std::move(next);
  return premaster;
}

}  // namespace sealcast::handshake
