// Whether the wall clock may be judged by (H19). It is held against the boot-time clock, which nobody steps: where the
// two move against each other by more than a tolerance, the wall clock is doubted, and time goes on as it would have.
// Plain arithmetic; the clocks are read by the caller.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace sealcast {

class ClockTrust {
 public:
  using Time = std::chrono::nanoseconds;
  struct Reading {
    Time boot, real;  // since boot; since 1970
  };

  explicit ClockTrust(Time tolerance) : tolerance_(tolerance) {}
  void set_tolerance(Time tolerance) { tolerance_ = tolerance; }

  // The wall clock was believed before, since the same boot, when it was so far ahead of the boot-time clock.
  void resume(Time ahead) {
    ahead_ = ahead;
    held_ = true;
  }
  // It was believed before another boot, of which the boot-time clock knows nothing. But it is later now.
  void resume_no_earlier(Time real, Reading now) {
    if (now.real >= real - tolerance_) return;
    resume(real - now.boot);
    only_earliest_ = true;
  }
  // Something is judged by the time: from now on the wall clock is held to it. Before that it may be set.
  void hold(Reading now) {
    if (!held_) resume(now.real - now.boot);
  }
  // Now and then. A clock that is set again and again by a little, as crystals need it, is followed no faster than it
  // could be slewed; one whose steps are within the tolerance each is not followed beyond that.
  void look(Reading now) {
    const Time passed = last_look_ ? std::max(now.boot - *last_look_, Time()) : Time();
    last_look_ = now.boot;
    if (!held_ || !agrees(now)) return;
    if (only_earliest_) return accept(now);
    const Time most = passed / 2000;  // 500 ppm: what a clock may be slewed by unseen
    ahead_ += std::clamp(now.real - now.boot - ahead_, -most, most);
  }
  // An operator says that the wall clock is right.
  void accept(Reading now) {
    only_earliest_ = false;
    resume(now.real - now.boot);
  }

  bool agrees(Reading now) const {
    const Time apart = now.real - now.boot - ahead_;
    return !held_ || (apart >= -tolerance_ && (apart <= tolerance_ || only_earliest_));
  }
  // The time to judge by: the wall clock while it agrees.
  Time judged(Reading now) const { return agrees(now) ? now.real : now.boot + ahead_; }
  // How far the wall clock is from what it should be; positive: ahead.
  Time apart(Reading now) const { return held_ ? now.real - now.boot - ahead_ : Time(); }
  bool held() const { return held_; }
  Time ahead() const { return ahead_; }

 private:
  Time tolerance_;
  Time ahead_{};                // of the boot-time clock, when the wall clock was believed last
  bool held_ = false;           // false: nothing was judged yet
  bool only_earliest_ = false;  // ahead_ says only what the time is not before
  std::optional<Time> last_look_;
};

}  // namespace sealcast
