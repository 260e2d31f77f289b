// Holds back a flood of log lines. A peer behind a port can provoke DPDK's lines (a vhost peer with malformed
// descriptors causes one per packet), so they must not fill a disk or keep a worker busy.
#pragma once

#include <cstdint>

namespace sealcast::dataplane {

class LogLimit {
 public:
  static constexpr std::uint32_t lines_per_second = 20;  // as many may come at once

  // Whether a line in this second may pass (by any clock that does not go back).
  bool pass(std::uint64_t second) {
    if (second != second_) {
      second_ = second;
      passed_ = 0;
    }
    if (passed_ < lines_per_second) {
      ++passed_;
      return true;
    }
    ++held_back_;
    return false;
  }
  // Lines held back since the last call.
  std::uint64_t take_held_back() {
    const std::uint64_t lines = held_back_;
    held_back_ = 0;
    return lines;
  }

 private:
  std::uint64_t second_ = 0;
  std::uint32_t passed_ = 0;
  std::uint64_t held_back_ = 0;
};

}  // namespace sealcast::dataplane
