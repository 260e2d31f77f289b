// The time in packets' numbers (docs/dataplane.md, "Numbers"): milliseconds since the epoch's zero, in the high half.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

namespace sealcast::dataplane {

// A sender's clock may be ahead of the group's by so much.
inline constexpr std::chrono::milliseconds longest_sender_error{400};

constexpr std::uint32_t time_of(std::uint64_t number) {
  return static_cast<std::uint32_t>(number >> 32);
}

__extension__ typedef unsigned __int128 Uint128;

// The number, or the same sequence with a later time.
constexpr std::uint64_t not_before(std::uint32_t time, std::uint64_t number) {
  return time_of(number) < time ? (std::uint64_t{time} << 32) | static_cast<std::uint32_t>(number) : number;
}

// From the ticks of the bursts' clock to milliseconds, modulo 2^32.
class TickScale {
 public:
  explicit TickScale(std::uint64_t tsc_hz)
      : factor_(tsc_hz == 0 ? 0 : static_cast<std::uint64_t>((static_cast<Uint128>(1000) << 64) / tsc_hz)) {}
  std::uint32_t milliseconds(std::uint64_t tsc) const noexcept {
    return static_cast<std::uint32_t>((static_cast<Uint128>(tsc) * factor_) >> 64);
  }

 private:
  std::uint64_t factor_;
};

// Which times are fresh: from earliest(now) on, span milliseconds long. The control thread moves it; one word, so that
// a worker never sees half of a change.
class FreshTimes {
 public:
  // What is fresh, for a worker: its own clock, in milliseconds, at the moment when time 0 becomes the earliest fresh
  // one; and the span.
  struct Bounds {
    std::uint32_t zero = 0;
    std::uint32_t span = all;

    std::uint32_t earliest(std::uint32_t now_ms) const noexcept { return span == all ? 0 : now_ms - zero; }
    bool has(std::uint32_t time, std::uint32_t now_ms) const noexcept { return time - earliest(now_ms) <= span; }
    // Milliseconds, below 0: older than any fresh time; else ahead of every fresh time. Only for a time it has not.
    std::int32_t distance(std::uint32_t time, std::uint32_t now_ms) const noexcept {
      // Right after an epoch's zero the earliest time lies before it; times do not wrap otherwise.
      const std::uint32_t from = earliest(now_ms) > all - (all >> 4) ? 0 : earliest(now_ms);
      constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
      const std::int64_t ahead = std::int64_t{time} - std::int64_t{from} - std::int64_t{span};
      const std::int64_t behind = std::int64_t{from} - std::int64_t{time};
      return static_cast<std::int32_t>(ahead > 0 ? std::min(ahead, most) : -std::min(behind, most));
    }
  };
  static constexpr std::uint32_t all = 0xffff'ffff;  // span: every time is fresh

  Bounds get() const noexcept {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
  }
  void set(Bounds to) noexcept { word_.store((std::uint64_t{to.span} << 32) | to.zero, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> word_{std::uint64_t{all} << 32};
};

}  // namespace sealcast::dataplane
