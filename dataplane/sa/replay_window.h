// Anti-replay over the numbers (IVs) of an SPI. A number is a time in its high half and a sequence in its low half
// (docs/dataplane.md, "Numbers"); a counter and RFC 4303's sequence alone are numbers, too.
//
// Numbers are ordered by the whole number, so that a forged one silences its sender no longer than its time is ahead.
// The sequence, modulo 2^32, says where a number's mark is: a bitmap ring of exactly `size` sequences up to that of the
// highest number. A sequence that leaves the ring unmarked was lost, so that the same bits give the estimates of
// docs/dataplane.md, "What the numbers tell about a sender".
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// One writer, the worker of the SPI; read by statistics. Estimates cost nothing for a number that arrives in order.
// SequenceBits is 32; tests use fewer, so that sequences wrap often.
template <unsigned SequenceBits>
class BasicReplayWindow {
 public:
  // size: power of two, at least 64 and at most an eighth of all sequences. Numbers below floor are refused; number 0
  // always is.
  BasicReplayWindow(std::uint32_t size, std::uint64_t floor)
      : size_(size), floor_(floor == 0 ? 1 : floor), lines_((size / 64 + words_per_line - 1) / words_per_line) {
    highest_.set(floor_ - 1);
    base_.set(floor_ - 1);
    checkpoint_ = floor_ - 1;
  }

  // Could number be accepted now? Changes nothing; for use before decryption.
  bool check(std::uint64_t number) const noexcept {
    const std::uint64_t highest = highest_.get();
    if (number > highest) return true;
    return (highest - number) % sequences - 1 < size_ - 1 && number > base_.get() &&
           (word(number).get() & bit(number)) == 0;
  }

  // Checks again and marks number as seen, after its tag was verified. False: it became a replay meanwhile.
  bool commit(std::uint64_t number) noexcept {
    Counter& place = word(number);
    const std::uint64_t highest = highest_.get();
    // The place is that of the sequence one window before. If that one was seen, its mark stays and now means the new
    // number.
    if ((number - highest) % sequences == 1 && number > highest && (place.get() & bit(number)) != 0 &&
        number % checkpoint_distance != 0) [[likely]] {
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
  std::uint64_t highest() const noexcept { return lowest_.get() == 0 ? 0 : highest_.get(); }
  std::uint64_t floor() const noexcept { return floor_; }
  std::uint32_t size() const noexcept { return size_; }
  // Numbers up to this one are refused: the floor's, then that of an old highest number. It trails the highest by less
  // than half of all sequences, so that a sequence which comes round meets no mark of its predecessor.
  std::uint64_t base() const noexcept { return base_.get(); }

  // Estimates; any thread. lowest: the lowest number accepted, 0 before the first packet.
  std::uint64_t lowest() const noexcept { return lowest_.get(); }
  // Sequences from the first one accepted to the highest one, without those that leaps passed over.
  std::uint64_t expected() const noexcept;
  struct Counts {
    Counter lost;                      // of the expected ones: left the window unseen
    Counter leaps, leapt_over;         // the sequence rose by a window or more; sequences passed over then
    Counter breaks;                    // a later number whose sequence did not rise
    Counter reordered;                 // accepted below the highest (RFC 4737 §3.3)
    Counter reorder_sum, reorder_max;  // by how many sequences
    Counter duplicates;                // refused: within the window, seen before
    Counter late;                      // refused: left of the window or up to the base
  };
  const Counts& counts() const noexcept { return counts_; }

  // Copies the window for a dry run, from any thread while the worker goes on: exact but for the few numbers being
  // committed.
  void copy_from(const BasicReplayWindow& other) noexcept;

  // Address and size of the bits: for tests of the layout.
  std::pair<const void*, std::size_t> bits() const noexcept { return {lines_.data(), lines_.size() * sizeof(Line)}; }

  // Goes back to an earlier highest number, all before it seen, as a long stream would leave the window. Only for
  // benchmarks that read one recording again and again.
  void rewind_for_benchmark(std::uint64_t highest) noexcept;

 private:
  static constexpr std::uint64_t sequences = std::uint64_t{1} << SequenceBits;
  static constexpr std::uint64_t checkpoint_distance = sequences / 4;
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

  // A sequence's distance from the first one since the last leap, which has place 0. Places do not wrap.
  std::uint64_t highest_place() const noexcept {
    return highest_.get() % sequences + wraps_.get() * sequences - first_sequence_.get();
  }
  [[gnu::cold]] bool commit_odd(std::uint64_t number) noexcept;
  void rise_to(std::uint64_t highest, std::uint64_t number) noexcept;
  void begin_at(std::uint64_t number) noexcept;
  // Counts what the window still holds and clears it.
  void close_window() noexcept;
  // Clears the places of the next distance sequences, which still hold older ones, and counts those never seen.
  void advance(std::uint64_t highest, std::uint64_t distance) noexcept;
  void count_reordered(std::uint64_t back, std::uint64_t number) noexcept;

  std::uint32_t size_;
  std::uint64_t floor_;
  Counter highest_;
  std::vector<Line> lines_;
  // Touched only by numbers out of order.
  Counter base_;
  std::uint64_t checkpoint_ = 0;             // the highest number when its sequence last passed a quarter
  Counter lowest_, first_sequence_, wraps_;  // since the last leap: the first sequence, and how often it came to 0
  Counter expected_before_;                  // expected() up to the last leap
  Counts counts_;
};

using ReplayWindow = BasicReplayWindow<32>;

}  // namespace sealcast::dataplane
