// Anti-replay over the 64-bit number of an SPI (RFC 4303 §3.4.3, widened to the whole IV): a bitmap ring of exactly
// `size` numbers up to the highest one seen. A number that leaves the ring unmarked was lost, so that the same bits
// give the estimates of docs/dataplane.md, "What the numbers tell about a sender".
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// One writer, the worker of the SPI; read by statistics. Estimates cost nothing for a number that arrives in order.
class ReplayWindow {
 public:
  // size: power of two, at least 64. Numbers below floor are refused; number 0 always is.
  ReplayWindow(std::uint32_t size, std::uint64_t floor)
      : size_(size), floor_(floor == 0 ? 1 : floor), lines_((size / 64 + words_per_line - 1) / words_per_line) {}

  // Could number be accepted now? Changes nothing; for use before decryption.
  bool check(std::uint64_t number) const noexcept {
    const std::uint64_t highest = highest_.get();
    if (number < floor_) return false;
    if (number > highest) return true;
    return highest - number < size_ && (word(number).get() & bit(number)) == 0;
  }

  // Checks again and marks number as seen, after its tag was verified. False: it became a replay meanwhile.
  bool commit(std::uint64_t number) noexcept {
    Counter& place = word(number);
    // The place is that of number - size. If that one was seen, its mark stays and now means the new number.
    if (number == highest_.get() + 1 && number >= floor_ && (place.get() & bit(number)) != 0) [[likely]] {
      highest_.set(number);
      return true;
    }
    return commit_odd(number);
  }

  // Prefetches what commit() of number will write.
  void prefetch(std::uint64_t number) const noexcept { __builtin_prefetch(&word(number), 1); }

  // Counts a number that check() or commit() refused, as duplicate or as too late.
  void count_refused(std::uint64_t number) noexcept;

  // 0 before the first packet.
  std::uint64_t highest() const noexcept { return highest_.get(); }
  std::uint64_t floor() const noexcept { return floor_; }
  std::uint32_t size() const noexcept { return size_; }

  // Estimates; any thread. lowest: the lowest number accepted, 0 before the first packet.
  std::uint64_t lowest() const noexcept { return lowest_.get(); }
  std::uint64_t lost() const noexcept { return lost_.get(); }            // left the window unseen, from lowest on
  std::uint64_t reordered() const noexcept { return reordered_.get(); }  // accepted below the highest (RFC 4737 §3.3)
  std::uint64_t reorder_sum() const noexcept { return reorder_sum_.get(); }  // of highest - number over those
  std::uint64_t reorder_max() const noexcept { return reorder_max_.get(); }
  std::uint64_t duplicates() const noexcept { return duplicates_.get(); }  // within the window, seen before
  std::uint64_t late() const noexcept { return late_.get(); }              // left of the window or below the floor

  // Copies the window for a dry run, from any thread while the worker goes on: exact but for the few numbers being
  // committed.
  void copy_from(const ReplayWindow& other) noexcept;

  // Address and size of the bits: for tests of the layout.
  std::pair<const void*, std::size_t> bits() const noexcept { return {lines_.data(), lines_.size() * sizeof(Line)}; }

  // Goes back by so many numbers, all before them seen, as a long stream would leave the window. Only for benchmarks
  // that read one recording again and again.
  void rewind_for_benchmark(std::uint64_t numbers) noexcept;

 private:
  static constexpr std::size_t words_per_line = cache_line / sizeof(Counter);
  // Whole cache lines: the neighbouring window in the heap may be another worker's.
  struct alignas(cache_line) Line {
    std::array<Counter, words_per_line> words;
  };
  static constexpr std::uint64_t bit(std::uint64_t number) noexcept { return std::uint64_t{1} << (number & 63); }
  const Counter& word(std::uint64_t number) const noexcept { return at((number & (size_ - 1)) / 64); }
  Counter& word(std::uint64_t number) noexcept { return at((number & (size_ - 1)) / 64); }
  const Counter& at(std::uint64_t i) const noexcept { return lines_[i / words_per_line].words[i % words_per_line]; }
  Counter& at(std::uint64_t i) noexcept { return lines_[i / words_per_line].words[i % words_per_line]; }
  // Clears the places of highest + 1 .. number, which still hold older numbers, and counts those never seen.
  void advance(std::uint64_t highest, std::uint64_t number) noexcept;
  [[gnu::cold]] bool commit_odd(std::uint64_t number) noexcept;
  // number takes the place of number - size, which was not seen: lost, unless it lies before the first packet.
  void count_left_unseen(std::uint64_t number) noexcept {
    if (lowest_.get() == 0) {
      lowest_.set(number);
    } else if (number - lowest_.get() >= size_) {
      lost_.add(1);
    }
  }
  void count_reordered(std::uint64_t highest, std::uint64_t number) noexcept;

  std::uint32_t size_;
  std::uint64_t floor_;
  Counter highest_;
  std::vector<Line> lines_;
  // Touched only by numbers out of order.
  Counter lowest_, lost_, reordered_, reorder_sum_, reorder_max_, duplicates_, late_;
};

}  // namespace sealcast::dataplane
