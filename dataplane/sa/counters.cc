#include "dataplane/sa/counters.h"

namespace sealcast::dataplane {

DropStock::~DropStock() {
  DropBlock* block = nullptr;
  while (ring_.pop(block))
    delete block;
}

void DropStock::refill() {
  while (ring_.room() != 0)
    ring_.push(new DropBlock);
}

DropBlock* DropStock::take() noexcept {
  DropBlock* block = nullptr;
  if (ring_.pop(block)) return block;
  unattributed_.add(1);
  return nullptr;
}

void DropSlot::add(DropReason reason, DropStock& stock) noexcept {
  DropBlock* block = block_.load(std::memory_order_relaxed);
  if (block == nullptr) {
    block = stock.take();
    if (block == nullptr) return;
    block_.store(block, std::memory_order_release);
  }
  block->drops[static_cast<std::size_t>(reason)].add(1);
}

void DropSlot::add_to(DropTotals& totals) const noexcept {
  const DropBlock* block = block_.load(std::memory_order_acquire);
  if (block == nullptr) return;
  for (std::size_t i = 0; i < totals.size(); ++i)
    totals[i] += block->drops[i].get();
}

}  // namespace sealcast::dataplane
