// Limits password attempts (H7, H13), per user and per address, in memory of fixed size.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/secret.h"

namespace sealcast::passwords {

// burst attempts at once, then one per interval.
struct AttemptAllowance {
  std::uint32_t burst = 5;
  std::chrono::milliseconds interval{60'000};
};

struct AttemptLimits {
  AttemptAllowance user{5, std::chrono::milliseconds{60'000}};
  AttemptAllowance address{20, std::chrono::milliseconds{10'000}};  // an IPv6 peer counts by its /64
  std::size_t cells = 16'384;                                       // of each of the two tables; 8 bytes each
};

// A secret key hashes a name, known or not, to one of a fixed number of cells; it shares its allowance with the other
// names of the same cell. That is rare and unpredictable, and no flood of names costs memory or displaces another's
// count. Not thread-safe: one thread asks, before it hands the password to the pool that verifies it.
class AttemptLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  AttemptLimiter(const AttemptLimits& limits, const Secret<16>& hash_key);

  struct Verdict {
    bool allowed = false;
    std::chrono::milliseconds retry_after{0};  // if not allowed
  };
  // Takes one attempt from the user and from the address, or neither. The answer does not depend on whether the user
  // exists (AUTH-2). Times must not go back; one that does counts as the latest seen.
  Verdict take(std::string_view user, const IpAddress& address, Clock::time_point now);

  // The password was right: the attempt that take() took no longer counts. Earlier failures still do, so that a member
  // with one valid account cannot clear its address's count.
  void give_back(std::string_view user, const IpAddress& address);
  // The attempt was never checked: it revealed nothing about the user's password. The address has used its share of the
  // queue all the same.
  void give_back_user(std::string_view user);

 private:
  // Until when the allowance is used up, one interval per attempt (the "theoretical arrival time" of ITU-T I.371).
  using Cell = std::chrono::milliseconds;
  Cell& cell_of(std::string_view user);
  Cell& cell_of(const IpAddress& address);
  std::size_t place(const std::uint8_t* bytes, std::size_t size) const;

  AttemptLimits limits_;
  Secret<16> hash_key_;
  std::vector<Cell> users_;
  std::vector<Cell> addresses_;
  std::chrono::milliseconds now_{0};
};

}  // namespace sealcast::passwords
