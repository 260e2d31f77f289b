// How long to wait before the next attempt: exponential with full jitter, so that a thousand members that lost the same
// key server do not come back in the same instant. Endless: a member never gives up.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace sealcast::member {

class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest) : first_(first), longest_(longest) {}

  // The wait after one more failure: uniform in [0, min(longest, first * 2^failures)]. random: any 64 random bits.
  std::chrono::milliseconds next(std::uint64_t random) {
    const auto bound = upper_bound();
    if (bound < longest_) ++failures_;
    return std::chrono::milliseconds(random % (static_cast<std::uint64_t>(bound.count()) + 1));
  }
  std::chrono::milliseconds upper_bound() const { return std::min(longest_, first_ * (std::int64_t{1} << failures_)); }
  void reset() { failures_ = 0; }

 private:
  std::chrono::milliseconds first_, longest_;
  unsigned failures_ = 0;
};

// How long to wait after a refusal that must not be repeated soon: at least the bound, at most twice the bound, which
// doubles with every refusal in a row.
class Penalty {
 public:
  Penalty(std::chrono::milliseconds first, std::chrono::milliseconds longest) : first_(first), longest_(longest) {}

  std::chrono::milliseconds next(std::uint64_t random) {
    const auto bound = std::min(longest_, first_ * (std::int64_t{1} << refusals_));
    if (bound < longest_) ++refusals_;
    return bound + std::chrono::milliseconds(random % (static_cast<std::uint64_t>(bound.count()) + 1));
  }
  void reset() { refusals_ = 0; }

 private:
  std::chrono::milliseconds first_, longest_;
  unsigned refusals_ = 0;
};

}  // namespace sealcast::member
