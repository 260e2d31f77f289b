#include "dataplane/dpdk/ring_end.h"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace sealcast::dataplane {
namespace {

// Frees no more than each ring held at first: the far end may fill it as fast as this end empties it.
void free_frames(std::vector<rte_ring*>& rings) {
  for (rte_ring* ring : rings) {
    void* frames[64];
    rte_mbuf* mbufs[64];
    for (unsigned left = rte_ring_count(ring); left != 0;) {
      const unsigned n = rte_ring_dequeue_burst(ring, frames, std::min(left, 64U), nullptr);
      if (n == 0) break;
      for (unsigned i = 0; i < n; ++i)
        mbufs[i] = static_cast<rte_mbuf*>(frames[i]);
      rte_pktmbuf_free_bulk(mbufs, n);
      left -= n;
    }
  }
}

std::mutex registry_mutex;

}  // namespace

struct RingEnd::Pair {
  std::vector<rte_ring*> rings[2];
  bool taken[2] = {false, false};
  std::uint32_t descriptors = 0;

  ~Pair() {
    for (auto& side : rings) {
      free_frames(side);
      for (rte_ring* ring : side)
        rte_ring_free(ring);
    }
  }
  // By name; an entry ends with its last end.
  static std::map<std::string, std::weak_ptr<Pair>>& registry() {
    static auto* const instance = new std::map<std::string, std::weak_ptr<Pair>>;
    return *instance;
  }
};

Result<std::unique_ptr<RingEnd>> RingEnd::open(const std::string& name, std::uint16_t queues,
                                               std::uint32_t descriptors) {
  const std::lock_guard lock(registry_mutex);
  std::weak_ptr<Pair>& entry = Pair::registry()[name];
  std::shared_ptr<Pair> pair = entry.lock();
  if (!pair) {
    pair = std::make_shared<Pair>();
    pair->descriptors = descriptors;
    for (int side = 0; side < 2; ++side)
      for (std::uint16_t queue = 0; queue < queues; ++queue) {
        const std::string ring_name = "sc_" + name + (side == 0 ? "_a" : "_b") + std::to_string(queue);
        rte_ring* const ring = rte_ring_create(ring_name.c_str(), descriptors, SOCKET_ID_ANY, 0);
        if (ring == nullptr) return fail(std::string("cannot make the ring (") + rte_strerror(rte_errno) + ")");
        pair->rings[side].push_back(ring);
      }
    entry = pair;
  }
  if (pair->rings[0].size() != queues || pair->descriptors != descriptors)
    return fail("the other end of this ring has " + std::to_string(pair->rings[0].size()) + " queues of " +
                std::to_string(pair->descriptors) + " descriptors; both ends must agree");
  const int side = !pair->taken[0] ? 0 : !pair->taken[1] ? 1 : -1;
  if (side < 0) return fail("both ends of this ring are in use");
  pair->taken[side] = true;
  return std::unique_ptr<RingEnd>(new RingEnd(name, std::move(pair), side));
}

RingEnd::RingEnd(std::string name, std::shared_ptr<Pair> pair, int side)
    : name_(std::move(name)), pair_(std::move(pair)), side_(side) {}

RingEnd::~RingEnd() {
  const std::lock_guard lock(registry_mutex);
  pair_->taken[side_] = false;
  free_frames(pair_->rings[side_]);  // they waited for this end
  if (!pair_->taken[1 - side_]) {
    pair_.reset();
    Pair::registry().erase(name_);
  }
}

std::vector<rte_ring*>& RingEnd::receive() {
  return pair_->rings[side_];
}
std::vector<rte_ring*>& RingEnd::transmit() {
  return pair_->rings[1 - side_];
}

}  // namespace sealcast::dataplane
