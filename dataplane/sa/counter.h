// A statistics counter with one writing thread and any number of readers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace sealcast::dataplane {

// Bytes of a cache line on every CPU this runs on; also the alignment that the AEAD engines need.
inline constexpr std::size_t cache_line = 64;

class Counter {
 public:
  // The owner only: a plain load, add and store, no locked instruction.
  void add(std::uint64_t n) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace sealcast::dataplane
