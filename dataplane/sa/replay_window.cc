#include "dataplane/sa/replay_window.h"

#include <algorithm>

namespace sealcast::dataplane {

template <unsigned Bits>
std::uint64_t BasicReplayWindow<Bits>::expected() const noexcept {
  return lowest_.get() == 0 ? 0 : expected_before_.get() + highest_place() + 1;
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::begin_at(std::uint64_t number) noexcept {
  first_sequence_.set(number % sequences);
  wraps_.set(0);
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::close_window() noexcept {
  const std::uint64_t places = highest_place() + 1;
  std::uint64_t unseen = std::min<std::uint64_t>(size_, places);
  for (std::uint64_t i = 0; i < size_ / 64; ++i) {
    unseen -= static_cast<std::uint64_t>(std::popcount(at(i).get()));
    at(i).set(0);
  }
  counts_.lost.add(unseen);
  expected_before_.add(places);
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::advance(std::uint64_t highest, std::uint64_t distance) noexcept {
  std::uint64_t lost = 0;
  std::uint64_t place = highest_place() + 1;  // of sequence n
  for (std::uint64_t n = highest % sequences + 1, left = distance; left > 0;) {
    const std::uint64_t places = (n & 63) == 0 && left >= 64 ? 64 : 1;
    const std::uint64_t mask = places == 64 ? ~std::uint64_t{0} : bit(n);
    Counter& marks = word(n);
    // How many of the leaving sequences have a place; every marked one has.
    const std::uint64_t expected = place + places <= size_ ? 0 : std::min(places, place + places - size_);
    lost += expected - static_cast<std::uint64_t>(std::popcount(marks.get() & mask));
    marks.set(marks.get() & ~mask);
    n += places;
    place += places;
    left -= places;
  }
  counts_.lost.add(lost);
}

// number is above the highest one.
template <unsigned Bits>
void BasicReplayWindow<Bits>::rise_to(std::uint64_t highest, std::uint64_t number) noexcept {
  const std::uint64_t distance = (number - highest) % sequences;
  if (distance == 0 || distance >= sequences / 2) {  // this sequence was used before: a second writer
    counts_.breaks.add(1);
    close_window();
    base_.set(highest);
    begin_at(number);
  } else if (distance >= size_) {
    counts_.leaps.add(1);
    counts_.leapt_over.add(distance - 1);
    close_window();
    base_.set(highest);
    begin_at(number);
  } else {
    advance(highest, distance);
    if (number % sequences < highest % sequences) wraps_.add(1);
  }
  if (number % sequences / checkpoint_distance != highest % sequences / checkpoint_distance) {
    base_.set(std::max(base_.get(), checkpoint_));
    checkpoint_ = number;
  }
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::count_reordered(std::uint64_t back, std::uint64_t number) noexcept {
  counts_.reordered.add(1);
  counts_.reorder_sum.add(back);
  counts_.reorder_max.set(std::max(counts_.reorder_max.get(), back));
  lowest_.set(std::min(lowest_.get(), number));
  // One that was sent before the first packet, or before the last leap: it is expected from now on.
  if (back <= highest_place()) return;
  first_sequence_.set(number % sequences);
  wraps_.set(number % sequences > highest_.get() % sequences ? 1 : 0);
}

template <unsigned Bits>
bool BasicReplayWindow<Bits>::commit_odd(std::uint64_t number) noexcept {
  if (!check(number)) return false;
  const std::uint64_t highest = highest_.get();
  if (number > highest) {
    if (lowest_.get() == 0) {  // the first packet: nothing is marked, and earlier numbers were never expected
      lowest_.set(number);
      checkpoint_ = number;
      begin_at(number);
    } else {
      rise_to(highest, number);
    }
    highest_.set(number);
  } else {
    count_reordered((highest - number) % sequences, number);
  }
  Counter& place = word(number);
  place.set(place.get() | bit(number));
  return true;
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::count_refused(std::uint64_t number) noexcept {
  const bool late =
      number <= base_.get() || (number <= highest_.get() && (highest_.get() - number) % sequences >= size_);
  (late ? counts_.late : counts_.duplicates).add(1);
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::copy_from(const BasicReplayWindow& other) noexcept {
  size_ = other.size_;
  floor_ = other.floor_;
  lines_ = std::vector<Line>(other.lines_.size());
  for (std::uint64_t i = 0; i < size_ / 64; ++i)
    at(i).set(other.at(i).get());
  highest_.set(other.highest_.get());
  base_.set(other.base_.get());
  checkpoint_ = base_.get();
  lowest_.set(other.lowest_.get());
  first_sequence_.set(other.first_sequence_.get());
  wraps_.set(other.wraps_.get());
}

template <unsigned Bits>
void BasicReplayWindow<Bits>::rewind_for_benchmark(std::uint64_t highest) noexcept {
  for (std::uint64_t i = 0; i < size_ / 64; ++i)
    at(i).set(~std::uint64_t{0});
  highest_.set(highest);
  base_.set(std::min(base_.get(), highest));
}

template class BasicReplayWindow<32>;
template class BasicReplayWindow<9>;

}  // namespace sealcast::dataplane
