// Anti-replay over the 64-bit number of an SPI (RFC 4303 §3.4.3, widened to the whole IV): a bitmap ring of exactly
// `size` numbers up to the highest one seen.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "dataplane/counter.h"

namespace sealcast::dataplane {

class ReplayWindow {
 public:
  // size: power of two, at least 64. Numbers below floor are refused; number 0 always is.
  ReplayWindow(std::uint32_t size, std::uint64_t floor)
      : size_(size), floor_(floor == 0 ? 1 : floor), words_(size / 64, 0) {}

  // Could number be accepted now? Changes nothing: for before decryption.
  bool check(std::uint64_t number) const noexcept {
    const std::uint64_t highest = highest_.get();
    if (number < floor_) return false;
    if (number > highest) return true;
    return highest - number < size_ && (word(number) & bit(number)) == 0;
  }

  // Checks again and marks number as seen, after its tag verified. False: it became a replay meanwhile.
  bool commit(std::uint64_t number) noexcept {
    const std::uint64_t highest = highest_.get();
    if (number < floor_) return false;
    if (number > highest) {
      advance(highest, number);
      highest_.set(number);
    } else if (highest - number >= size_ || (word(number) & bit(number)) != 0) {
      return false;
    }
    words_[(number & (size_ - 1)) / 64] |= bit(number);
    return true;
  }

  // 0 before the first packet.
  std::uint64_t highest() const noexcept { return highest_.get(); }
  std::uint64_t floor() const noexcept { return floor_; }
  std::uint32_t size() const noexcept { return size_; }

  // Forgets what was seen: benchmarks that read one recording again and again, nothing else.
  void rewind_for_benchmark() noexcept;

 private:
  static constexpr std::uint64_t bit(std::uint64_t number) noexcept { return std::uint64_t{1} << (number & 63); }
  std::uint64_t word(std::uint64_t number) const noexcept { return words_[(number & (size_ - 1)) / 64]; }
  // Clears the places of highest + 1 .. number - 1, which still hold older numbers. The place of number is set next.
  void advance(std::uint64_t highest, std::uint64_t number) noexcept;

  std::uint32_t size_;
  std::uint64_t floor_;
  Counter highest_;  // read by statistics
  std::vector<std::uint64_t> words_;
};

}  // namespace sealcast::dataplane
