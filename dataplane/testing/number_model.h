// The receiver's rule for numbers as set arithmetic: the reference for replay windows. Places do not wrap here, and
// every number ever accepted is kept, so that accepting one twice shows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

namespace sealcast::dataplane::testing {

class NumberModel {
 public:
  // sequences: how many there are before they come round.
  NumberModel(std::uint64_t sequences, std::uint64_t size, std::uint64_t floor)
      : sequences_(sequences), size_(size), base_(std::max<std::uint64_t>(floor, 1) - 1), checkpoint_(base_) {}

  bool accepts(std::uint64_t number) const {
    if (all_.empty() || number > highest()) return number > base_;
    const std::uint64_t back = (highest() - number) % sequences_;
    return number > base_ && back > 0 && back < size_ && marks_.count(place_ - back) == 0;
  }
  // number must be one that it accepts. False: it had been accepted before, which the rule must prevent.
  bool accept(std::uint64_t number) {
    if (all_.empty()) {
      begin(number);
    } else if (number > highest()) {
      rise(number);
    } else {
      const std::uint64_t place = place_ - (highest() - number) % sequences_;
      marks_.insert(place);
      first_ = std::min(first_, place);
      ++reordered_;
    }
    return all_.insert(number).second;
  }

  std::uint64_t highest() const { return all_.empty() ? 0 : *all_.rbegin(); }
  std::uint64_t lowest() const { return all_.empty() ? 0 : *all_.begin(); }
  std::uint64_t base() const { return base_; }
  std::size_t accepted() const { return all_.size(); }
  std::uint64_t leaps() const { return leaps_; }
  std::uint64_t breaks() const { return breaks_; }
  std::uint64_t reordered() const { return reordered_; }
  std::uint64_t expected() const { return all_.empty() ? 0 : expected_before_ + (place_ - first_) + 1; }
  // Of the expected ones, those left of the window that were never accepted.
  std::uint64_t lost() const {
    if (all_.empty() || place_ < first_ + size_) return lost_before_;
    const std::uint64_t last = place_ - size_;
    const auto came = std::distance(marks_.begin(), marks_.upper_bound(last));
    return lost_before_ + (last - first_ + 1 - static_cast<std::uint64_t>(came));
  }

 private:
  static constexpr std::uint64_t middle = std::uint64_t{1} << 62;  // places may go down from here

  void begin(std::uint64_t number) {
    place_ = first_ = middle;
    marks_ = {place_};
    if (all_.empty()) checkpoint_ = number;
  }
  void rise(std::uint64_t number) {
    const std::uint64_t distance = (number - highest()) % sequences_;
    const bool is_break = distance == 0 || distance >= sequences_ / 2;
    if (is_break || distance >= size_) {
      ++(is_break ? breaks_ : leaps_);
      lost_before_ += (place_ - first_ + 1) - marks_.size();
      expected_before_ += place_ - first_ + 1;
      base_ = highest();
      begin(number);
    } else {
      place_ += distance;
      marks_.insert(place_);
    }
    const std::uint64_t quarter = sequences_ / 4;
    if (number % sequences_ / quarter != highest() % sequences_ / quarter) {
      base_ = std::max(base_, checkpoint_);
      checkpoint_ = number;
    }
  }

  std::uint64_t sequences_, size_, base_, checkpoint_;
  std::set<std::uint64_t> all_;
  std::set<std::uint64_t> marks_;  // places since the last leap
  std::uint64_t place_ = 0, first_ = 0;
  std::uint64_t leaps_ = 0, breaks_ = 0, reordered_ = 0, lost_before_ = 0, expected_before_ = 0;
};

}  // namespace sealcast::dataplane::testing
