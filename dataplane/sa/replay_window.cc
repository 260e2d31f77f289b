#include "dataplane/sa/replay_window.h"

#include <algorithm>

namespace sealcast::dataplane {

void ReplayWindow::advance(std::uint64_t highest, std::uint64_t number) noexcept {
  const std::uint64_t lowest = lowest_.get();
  if (lowest == 0) {  // the first packet: nothing is marked, and earlier numbers were never expected
    lowest_.set(number);
    return;
  }
  std::uint64_t lost = 0;
  if (number - highest >= size_) {
    // The whole window leaves, and with it the numbers between it and the new one.
    lost = std::min<std::uint64_t>(size_, highest - lowest + 1) + (number - highest - size_);
    for (std::uint64_t i = 0; i < size_ / 64; ++i) {
      lost -= static_cast<std::uint64_t>(std::popcount(at(i).get()));
      at(i).set(0);
    }
  } else {
    for (std::uint64_t n = highest + 1;;) {
      const bool whole_word = (n & 63) == 0 && number - n >= 63;
      const std::uint64_t places = whole_word ? 64 : 1;
      const std::uint64_t mask = whole_word ? ~std::uint64_t{0} : bit(n);
      Counter& place = word(n);
      // How many of the leaving numbers lie at or above lowest; every marked one does.
      const std::uint64_t span = n + places - 1 - lowest;
      const std::uint64_t expected = span < size_ ? 0 : std::min(places, span - size_ + 1);
      lost += expected - static_cast<std::uint64_t>(std::popcount(place.get() & mask));
      place.set(place.get() & ~mask);
      if (number - n < places) break;  // number may be 2^64 - 1
      n += places;
    }
  }
  lost_.add(lost);
}

void ReplayWindow::count_reordered(std::uint64_t highest, std::uint64_t number) noexcept {
  reordered_.add(1);
  reorder_sum_.add(highest - number);
  reorder_max_.set(std::max(reorder_max_.get(), highest - number));
  lowest_.set(std::min(lowest_.get(), number));
}

bool ReplayWindow::commit_odd(std::uint64_t number) noexcept {
  const std::uint64_t highest = highest_.get();
  if (number < floor_) return false;
  Counter& place = word(number);
  if (number == highest + 1) {
    count_left_unseen(number);
    highest_.set(number);
  } else if (number > highest) {
    advance(highest, number);
    highest_.set(number);
  } else {
    if (highest - number >= size_ || (place.get() & bit(number)) != 0) return false;
    count_reordered(highest, number);
  }
  place.set(place.get() | bit(number));
  return true;
}

void ReplayWindow::count_refused(std::uint64_t number) noexcept {
  const std::uint64_t highest = highest_.get();
  if (number < floor_ || (number <= highest && highest - number >= size_)) {
    late_.add(1);
  } else {
    duplicates_.add(1);
  }
}

void ReplayWindow::copy_from(const ReplayWindow& other) noexcept {
  size_ = other.size_;
  floor_ = other.floor_;
  lines_ = std::vector<Line>(other.lines_.size());
  for (std::uint64_t i = 0; i < size_ / 64; ++i)
    at(i).set(other.at(i).get());
  highest_.set(other.highest_.get());
  lowest_.set(other.lowest_.get());
}

void ReplayWindow::rewind_for_benchmark(std::uint64_t numbers) noexcept {
  for (std::uint64_t i = 0; i < size_ / 64; ++i)
    at(i).set(~std::uint64_t{0});
  highest_.set(highest_.get() - numbers);
}

}  // namespace sealcast::dataplane
