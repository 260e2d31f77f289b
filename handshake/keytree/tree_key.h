// The keys of the tree. Members are its leaves; a member has the keys of exactly the nodes from its leaf up to the
// root. A node's key is a seed of 32 bytes with a step: each join below the node takes it one step through a one-way
// function, so that a newcomer cannot read what was wrapped before it came, and the others need no message.
//
// When members leave, every node above them gets a new seed. On the way up from a leaver, another one-way function
// derives a node's new seed from its child's. So only the other child's members need it wrapped: log2(N) wrapped keys
// for one leaver among N, half of what RFC 2627 §5.4 needs.
//
//   key_encryption_key(seed) = PRF(seed, "multicast tree wrap", "")[16 or 32]   wraps seeds for the node's members
//   parent(seed)             = PRF(seed, "multicast tree parent", "")[32]
//   joined(seed)             = PRF(seed, "multicast tree join", "")[32]
//
// PRF and the wrapping key's size are those of the group's suite.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/secret.h"
#include "handshake/crypto/key_wrap.h"
#include "handshake/group_keying.h"

namespace sealcast::handshake {

inline constexpr std::size_t seed_size = 32;
inline constexpr std::size_t wrapped_seed_size = seed_size + key_wrap_overhead;
inline constexpr std::size_t wrapped_premaster_size = 48 + key_wrap_overhead;
// 2^24 leaves: more members than an epoch has slots for.
inline constexpr std::uint8_t max_tree_depth = 24;
// The most steps a member catches up with; beyond them, it asks for its path again. Bounds the cost of one datagram.
inline constexpr std::uint32_t max_steps_behind = 65536;

using Seed = Secret<seed_size>;

struct NodeKey {
  Seed seed;
  std::uint32_t step = 0;
  NodeKey clone() const;
};

// A member's leaf, 0 for the leftmost. The member's node at level l is number position >> l of that level.
using LeafPosition = std::uint32_t;

// The derivations above for one suite.
class TreeKeys {
 public:
  explicit TreeKeys(CipherSuite suite) : suite_(suite) {}

  Seed parent(const Seed& seed) const;
  void join(NodeKey& key) const;  // one step on
  // False: key is ahead of step already, or further behind than max_steps_behind.
  [[nodiscard]] bool catch_up(NodeKey& key, std::uint32_t step) const;

  void wrap(const Seed& under, ByteView secret, ByteSpan wrapped) const;
  [[nodiscard]] bool unwrap(const Seed& under, ByteView wrapped, ByteSpan secret) const;

 private:
  template <typename Use>
  auto with_wrapping_key(const Seed& seed, Use use) const;
  CipherSuite suite_;
};

// What a joining member gets: the keys from its leaf (level 0) up to the root. A level without a key is one that no
// member can use until the next update renews it.
struct TreePath {
  LeafPosition position = 0;
  std::vector<std::optional<NodeKey>> levels;  // depth + 1 entries, the first one always set
};

struct WrappedSeed {
  std::uint32_t step = 0;  // of the child's key it is wrapped under
  std::array<std::uint8_t, wrapped_seed_size> bytes{};
};

// A node with a new seed. Members below a child without a wrapped seed derive it from the child's new one.
struct NodeUpdate {
  std::uint8_t level = 1;  // 1 .. depth
  std::uint32_t index = 0;
  std::array<std::optional<WrappedSeed>, 2> for_child;  // left, right
};

// A new premaster for all members of the tree, and the nodes renewed for it: by level, then by index, ascending.
struct TreeUpdate {
  std::uint8_t depth = 0;
  std::vector<NodeUpdate> nodes;
  std::uint32_t root_step = 0;
  std::array<std::uint8_t, wrapped_premaster_size> premaster{};  // under the root's key
  std::size_t wrapped_keys() const;                              // the premaster counted
};

}  // namespace sealcast::handshake
