// A member agent's clocks: whether its machine was resumed from a snapshot (H9), and the time to judge key servers by,
// whatever happens to the wall clock (H19).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock_trust.h"
#include "controlplane/member/clock_watch.h"

namespace sealcast::member {

class MemberClocks {
 public:
  // Boot-time and real-time clock; empty: the system's.
  using Read = std::function<std::pair<std::chrono::nanoseconds, std::chrono::nanoseconds>()>;
  MemberClocks(Read read, std::chrono::nanoseconds jump, std::chrono::nanoseconds tolerance);

  // Whether they moved against each other since the last call by more than a jump; it is counted.
  bool jumped();
  std::uint64_t jumps() const { return jumps_; }

  // Seconds since 1970: the wall clock, but where that is doubted, what it would show if it had not been stepped.
  std::int64_t unix_now() const;
  // Now and then: says when the wall clock is doubted, and when it is not any more. judged: a key server was found good
  // by it, so it is held to it from now on.
  void look(bool judged);

 private:
  ClockTrust::Reading now() const;

  Read read_;
  ClockWatch snapshots_;
  ClockTrust trusted_;
  bool doubted_ = false;
  std::uint64_t jumps_ = 0;
};

}  // namespace sealcast::member
