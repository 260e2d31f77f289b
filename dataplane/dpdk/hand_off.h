// Frames on their way from the worker that received them to the one that owns them, gathered so that each worker's ring
// is touched once a burst. Internal to this folder; has DPDK types.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/limits.h"
#include "dataplane/dpdk/lane.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// Belongs to one worker, for frames of one side.
class HandOff {
 public:
  // rings: each worker's inbox; null: it takes none.
  explicit HandOff(std::vector<rte_ring*> rings) : rings_(std::move(rings)) {}

  // Takes the buffer over; false: there is no such worker. At most lane_burst frames between two flushes.
  bool add(std::uint32_t target, void* buffer) noexcept {
    if (target >= rings_.size() || rings_[target] == nullptr) return false;
    Gathered& to = to_[target];
    to.frames[to.count++] = buffer;
    waiting_ |= 1U << target;
    return true;
  }
  // Frees and counts frames that a full ring refuses.
  void flush() noexcept {
    while (waiting_ != 0) {
      const auto target = static_cast<std::uint32_t>(std::countr_zero(waiting_));
      waiting_ &= waiting_ - 1;
      Gathered& to = to_[target];
      const unsigned taken = rte_ring_enqueue_burst(rings_[target], to.frames.data(), to.count, nullptr);
      for (unsigned i = taken; i < to.count; ++i)
        rte_pktmbuf_free(static_cast<rte_mbuf*>(to.frames[i]));
      if (taken != to.count) full_[target].add(to.count - taken);
      to.count = 0;
    }
  }
  // Frames for target that were dropped because its ring was full.
  std::uint64_t full(std::uint32_t target) const noexcept { return full_[target].get(); }

 private:
  struct Gathered {
    std::array<void*, lane_burst> frames{};
    unsigned count = 0;
  };
  std::vector<rte_ring*> rings_;
  std::array<Gathered, worker_limits.most> to_;
  std::uint32_t waiting_ = 0;  // bit n: to_[n] has frames
  std::array<Counter, worker_limits.most> full_;
};

}  // namespace sealcast::dataplane
