// Drops of one owner, an SA or a group: every reason, one writing worker. Most owners never drop a packet. So their
// counters are made at the first drop, from a stock that the control thread keeps filled: the worker only takes a
// block, it never allocates.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/sa/counter.h"
#include "dataplane/sa/event_ring.h"

namespace sealcast::dataplane {

// By DropReason. Sums over several owners, whole gateways, or a group's life.
using DropTotals = std::array<std::uint64_t, drop_reason_count>;

struct alignas(cache_line) DropBlock {
  std::array<Counter, drop_reason_count> drops;
};

// Blocks on their way from the control thread to one worker.
class DropStock {
 public:
  static constexpr std::size_t capacity = 64;  // owners that may drop for the first time between two refills

  DropStock() = default;
  ~DropStock();
  DropStock(const DropStock&) = delete;
  DropStock& operator=(const DropStock&) = delete;

  // Control thread.
  void refill();
  // Worker. Null: used up; then only the worker and unattributed() count the drop.
  DropBlock* take() noexcept;
  // Drops not counted for any owner.
  std::uint64_t unattributed() const noexcept { return unattributed_.get(); }

 private:
  EventRing<DropBlock*, capacity> ring_;
  Counter unattributed_;
};

// An owner's place for its block: 8 bytes until its first drop. The control thread ends it, after the worker no longer
// uses it.
class DropSlot {
 public:
  DropSlot() = default;
  ~DropSlot() { delete block_.load(std::memory_order_relaxed); }
  DropSlot(const DropSlot&) = delete;
  DropSlot& operator=(const DropSlot&) = delete;

  // Worker; out of line: the good path never calls it.
  void add(DropReason reason, DropStock& stock) noexcept;
  // Any thread.
  std::uint64_t get(DropReason reason) const noexcept {
    const DropBlock* block = block_.load(std::memory_order_acquire);
    return block == nullptr ? 0 : block->drops[static_cast<std::size_t>(reason)].get();
  }
  void add_to(DropTotals& totals) const noexcept;

 private:
  std::atomic<DropBlock*> block_{nullptr};
};

}  // namespace sealcast::dataplane
