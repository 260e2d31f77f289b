#include "handshake/keytree/tree_key.h"

#include "handshake/crypto/prf.h"

namespace sealcast::handshake {

NodeKey NodeKey::clone() const {
  NodeKey copy;
  copy.seed = seed.clone();
  copy.step = step;
  return copy;
}

Seed TreeKeys::parent(const Seed& seed) const {
  Seed made;
  prf(prf_hash(suite_), seed.view(), "multicast tree parent", {}, made.span());
  return made;
}

void TreeKeys::join(NodeKey& key) const {
  Seed next;
  prf(prf_hash(suite_), key.seed.view(), "multicast tree join", {}, next.span());
  key.seed = std::move(next);
  ++key.step;
}

bool TreeKeys::catch_up(NodeKey& key, std::uint32_t step) const {
  if (step < key.step || step - key.step > max_steps_behind) return false;
  while (key.step < step)
    join(key);
  return true;
}

template <typename Use>
auto TreeKeys::with_wrapping_key(const Seed& seed, Use use) const {
  Secret<32> key;
  const auto used = key.span().first(aes_key_size(suite_));
  prf(prf_hash(suite_), seed.view(), "multicast tree wrap", {}, used);
  return use(ByteView(used));
}

void TreeKeys::wrap(const Seed& under, ByteView secret, ByteSpan wrapped) const {
  with_wrapping_key(under, [&](ByteView key) { wrap_key(key, secret, wrapped); });
}

bool TreeKeys::unwrap(const Seed& under, ByteView wrapped, ByteSpan secret) const {
  return with_wrapping_key(under, [&](ByteView key) { return unwrap_key(key, wrapped, secret); });
}

std::size_t TreeUpdate::wrapped_keys() const {
  std::size_t count = 1;
  for (const NodeUpdate& node : nodes)
    count += (node.for_child[0] ? 1U : 0U) + (node.for_child[1] ? 1U : 0U);
  return count;
}

}  // namespace sealcast::handshake
