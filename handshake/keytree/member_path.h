// A member's side of the tree: its path, brought up to date by every update that concerns it.
#pragma once

#include "handshake/error.h"
#include "handshake/keytree/tree_key.h"

namespace sealcast::handshake {

class MemberPath {
 public:
  // path as it came from the key server; see valid_path().
  MemberPath(CipherSuite suite, TreePath path) : keys_(suite), path_(std::move(path)) {}

  // Returns the new premaster. Fails with key_material_refused, and changes nothing, when the update is not for this
  // member: it was taken out, it missed an update, or its path is too old. Then it must ask the key server for its
  // path.
  Outcome<Secret<48>> apply(const TreeUpdate& update);

  LeafPosition position() const { return path_.position; }

 private:
  TreeKeys keys_;
  TreePath path_;
};

// Whether a path from the wire has the form of KeyTree's paths: 1 to 25 levels, a key for the leaf, a valid position.
bool valid_path(const TreePath& path);

}  // namespace sealcast::handshake
