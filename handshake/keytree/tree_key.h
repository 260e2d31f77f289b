// The keys of the tree. Members are its leaves; every member holds the keys of the nodes from its leaf up to the root,
// and nobody else's. A node's key is a seed of 32 bytes with a step: each join below the node takes it one step through
// a one-way function, so that a newcomer cannot read what was wrapped before it came, and nobody has to be told.
//
// When members leave, every node above them gets a new seed. Going up from a leaver, a node's new seed is made from the
// new seed of the child on that way by another one-way function; so only the other child's members need it wrapped:
// log2(N) wrapped keys for one leaver among N, half of what RFC 2627 §5.4 needs.
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

inline constexpr std::size_t kSeedSize = 32;
inline constexpr std::size_t kWrappedSeedSize = kSeedSize + kKeyWrapOverhead;
inline constexpr std::size_t kWrappedPremasterSize = 48 + kKeyWrapOverhead;
// 2^24 leaves: more members than an epoch has slots for.
inline constexpr std::uint8_t kMaxTreeDepth = 24;
// Steps a member catches up with at most; beyond, it asks for its path again. Bounds what one datagram can cost.
inline constexpr std::uint32_t kMaxStepsBehind = 65536;

using Seed = Secret<kSeedSize>;

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
  // False: key is ahead of step already, or further behind than kMaxStepsBehind.
  [[nodiscard]] bool catch_up(NodeKey& key, std::uint32_t step) const;

  void wrap(const Seed& under, ByteView secret, ByteSpan wrapped) const;
  [[nodiscard]] bool unwrap(const Seed& under, ByteView wrapped, ByteSpan secret) const;

 private:
  template <typename Use>
  auto with_wrapping_key(const Seed& seed, Use use) const;
  CipherSuite suite_;
};

// What a member is told when it joins: from its leaf (level 0) up to the root. A level without a key is one that no
// member can use until the next update renews it.
struct TreePath {
  LeafPosition position = 0;
  std::vector<std::optional<NodeKey>> levels;  // depth + 1 entries, the first one always set
};

struct WrappedSeed {
  std::uint32_t step = 0;  // of the child's key it is wrapped under
  std::array<std::uint8_t, kWrappedSeedSize> bytes{};
};

// A node with a new seed. The members under a child without a wrapped seed make it from the child's new one.
struct NodeUpdate {
  std::uint8_t level = 1;  // 1 .. depth
  std::uint32_t index = 0;
  std::array<std::optional<WrappedSeed>, 2> for_child;  // left, right
};

// A new premaster for everybody in the tree, and the nodes renewed for it: by level, then by index, ascending.
struct TreeUpdate {
  std::uint8_t depth = 0;
  std::vector<NodeUpdate> nodes;
  std::uint32_t root_step = 0;
  std::array<std::uint8_t, kWrappedPremasterSize> premaster{};  // under the root's key
  std::size_t wrapped_keys() const;                             // the premaster counted
};

}  // namespace sealcast::handshake
