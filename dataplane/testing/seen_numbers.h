// RFC 4303 §3.4.3 as a few lines of set arithmetic, over 64 bits, with a floor: the reference for replay windows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <set>

namespace sealcast::dataplane::testing {

class SeenNumbers {
 public:
  SeenNumbers(std::uint64_t size, std::uint64_t floor) : size_(size), floor_(std::max<std::uint64_t>(floor, 1)) {}
  bool accepts(std::uint64_t number) const {
    if (number < floor_ || seen_.count(number) != 0) return false;
    return number > highest() || highest() - number < size_;
  }
  void accept(std::uint64_t number) { seen_.insert(number); }
  std::uint64_t highest() const { return seen_.empty() ? 0 : *seen_.rbegin(); }
  std::size_t accepted() const { return seen_.size(); }

 private:
  std::uint64_t size_, floor_;
  std::set<std::uint64_t> seen_;
};

}  // namespace sealcast::dataplane::testing
