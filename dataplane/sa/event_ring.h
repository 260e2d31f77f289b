// Bounded single-producer single-consumer ring for small events from a worker to the control thread. One ring per kind,
// so that a flood of one kind displaces no other. Full: the event is lost and counted; the next packet of the same kind
// causes another.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

template <typename T, std::size_t Capacity>
class EventRing {
  static_assert((Capacity & (Capacity - 1)) == 0 && std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t capacity = Capacity;

  // Producer only. False: full.
  bool push(const T& event) noexcept {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == Capacity) {
      lost_.add(1);
      return false;
    }
    slots_[head & (Capacity - 1)] = event;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }
  // Producer only: events that still fit.
  std::size_t room() const noexcept {
    return Capacity -
           static_cast<std::size_t>(head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire));
  }
  // Consumer only. False: empty.
  bool pop(T& event) noexcept {
    const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    event = slots_[tail & (Capacity - 1)];
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }
  std::uint64_t lost() const noexcept { return lost_.get(); }

 private:
  alignas(cache_line) std::atomic<std::uint64_t> head_{0};
  Counter lost_;
  alignas(cache_line) std::atomic<std::uint64_t> tail_{0};
  alignas(cache_line) std::array<T, Capacity> slots_{};
};

// SPIs alone: the control thread knows which group and epoch they belong to.
using SpiRing = EventRing<std::uint32_t, 256>;

}  // namespace sealcast::dataplane
