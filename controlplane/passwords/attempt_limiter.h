// Limits password attempts (H7, H13), per user and per address, in memory of bounded size.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/secret.h"

namespace sealcast::passwords {

// burst attempts at once, then one per interval.
struct AttemptAllowance {
  std::uint32_t burst = 5;
  std::chrono::milliseconds interval{60'000};
};

// Of wrong passwords in a row: `burst` at once, then each further one only after a wait that begins with `interval` and
// doubles each time, up to `longest`. After `alarm` an operator is told, after `lock` the user is locked.
struct UserAllowance {
  std::uint32_t burst = 5;
  std::chrono::milliseconds interval{60'000};
  std::chrono::milliseconds longest{std::chrono::hours(24)};
  std::uint32_t alarm = 10;
  std::uint32_t lock = 20;
};

struct AttemptLimits {
  UserAllowance user{};
  AttemptAllowance address{20, std::chrono::milliseconds{10'000}};  // an IPv6 peer counts by its /64
  std::size_t cells = 16'384;                                       // for addresses, and for names of no user
};

// Each user of the password file has a count of its own, and a second one for the address that it last logged in from:
// strangers elsewhere lock no user out of its own place. Any other name falls into one of a fixed number of cells by a
// secret key, as addresses do: that two share one is rare and unpredictable, and no flood of names costs memory or
// displaces another's count. Not thread-safe: one thread asks, before it hands the password to the pool that verifies
// it.
class AttemptLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  AttemptLimiter(const AttemptLimits& limits, const Secret<16>& hash_key);

  struct Guess {
    std::string user;
    std::string stamp;      // PasswordFile::stamp() of the user; empty: there is no such user
    std::uint64_t tag = 0;  // of the password
  };
  // The same for the same password, and of no use to whoever does not know this process's key.
  std::uint64_t tag_of(const SecretBytes& password) const;

  enum class Verdict : std::uint8_t { allowed, later, locked };
  // Takes one attempt from the user and from the address, or neither. The answer does not depend on whether the user
  // exists (AUTH-2). Times must not go back; one that does counts as the latest seen.
  Verdict take(const Guess& guess, const IpAddress& address, Clock::time_point now);

  // Exactly one of these follows an attempt that was allowed.
  // The password was right: nothing counts against the user any more, and not this attempt against the address. Earlier
  // failures still do, so that a member with one valid account cannot clear its address's count.
  void right(const Guess& guess, const IpAddress& address);
  enum class Told : std::uint8_t { nothing, alarm, locked };
  // The password was wrong. One that is tried again, as by a gateway with an old one, is no further guess. What an
  // operator should be told; of users alone.
  Told wrong(const Guess& guess, const IpAddress& address);
  // The attempt was never checked: it revealed nothing about the user's password. The address has used its share of the
  // queue all the same.
  void unchecked(const Guess& guess, const IpAddress& address);

  // False: nothing counts against the user.
  bool unlock(const std::string& user);
  std::vector<std::string> locked() const;
  // What counts against users whose stamps are others now, or that are none any more, is forgotten.
  void forget_unless(const std::function<bool(const std::string& user, const std::string& stamp)>& stands);

 private:
  // Until when the allowance is used up, one interval per attempt (the "theoretical arrival time" of ITU-T I.371).
  using Cell = std::chrono::milliseconds;
  struct Failures {
    std::uint32_t in_a_row = 0;
    std::chrono::milliseconds again{0};  // the next attempt is allowed then
    std::uint64_t last_wrong = 0;        // its tag
    bool alarmed = false;
  };
  struct User {
    Failures elsewhere, at_home;
    std::optional<IpAddress> home;  // empty until it logged in
  };
  Failures& failures_of(const Guess& guess, const IpAddress& address);
  Cell& cell_of(const IpAddress& address);
  std::uint64_t hash(const std::uint8_t* bytes, std::size_t size) const;

  AttemptLimits limits_;
  Secret<16> hash_key_;
  std::map<std::pair<std::string, std::string>, User> users_;  // by name and stamp
  std::vector<Failures> names_;                                // of no user
  std::vector<Cell> addresses_;
  std::chrono::milliseconds now_{0};
};

}  // namespace sealcast::passwords
