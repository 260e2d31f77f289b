// A Loop whose time passes only where a test says so: one thread, no system clock, the same order on every run.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <map>
#include <utility>

#include "base/loop.h"

namespace sealcast::testing {

class ManualLoop final : public Loop {
 public:
  explicit ManualLoop(SteadyTime start = SteadyTime(std::chrono::seconds(1'000'000)),
                      std::chrono::seconds unix_start = std::chrono::seconds(1'800'000'000))
      : start_(start), now_(start), unix_start_(unix_start) {}

  ~ManualLoop() override {
    while (!timers_.empty()) {
      const auto gone = timers_.extract(timers_.begin());
    }
    while (!turns_.empty()) {
      const Then gone = std::move(turns_.front());
      turns_.pop_front();
    }
  }

  SteadyTime now() const override { return now_; }
  std::chrono::milliseconds unix_time() const override {
    return unix_start_ + std::chrono::duration_cast<std::chrono::milliseconds>(now_ - start_);
  }
  void set_unix_time(std::chrono::milliseconds time) { unix_start_ += time - unix_time(); }
  void post(Then then) override { turns_.push_back(std::move(then)); }
  std::unique_ptr<Timer> timer() override { return std::make_unique<ManualTimer>(*this); }

  // Runs what was posted, and what that posts; no time passes. Returns the number of turns.
  std::size_t run() {
    std::size_t ran = 0;
    for (; !turns_.empty(); ++ran) {
      const Then turn = std::move(turns_.front());
      turns_.pop_front();
      turn();
    }
    return ran;
  }
  // Lets time pass up to `until`, from one timer to the next, each at its own time; of equal ones the one set first.
  void run_until(SteadyTime until) {
    run();
    while (!timers_.empty() && timers_.begin()->first.first <= until) {
      const auto first = timers_.begin();
      now_ = std::max(now_, first->first.first);
      const Then then = std::move(first->second);
      timers_.erase(first);
      then();
      run();
    }
    now_ = std::max(now_, until);
  }
  void run_for(SteadyTime::duration duration) { run_until(now_ + duration); }
  // Time passes without a timer: what runs now takes so long.
  void pass(SteadyTime::duration duration) { now_ += duration; }
  std::size_t timers() const { return timers_.size(); }  // that are set

 private:
  using Place = std::pair<SteadyTime, std::uint64_t>;  // when, and the number of the call

  class ManualTimer final : public Timer {
   public:
    explicit ManualTimer(ManualLoop& loop) : loop_(loop) {}
    ~ManualTimer() override { cancel(); }
    void set(SteadyTime at, Then then) override {
      cancel();
      place_ = {at, ++loop_.set_};
      loop_.timers_.emplace(place_, std::move(then));
    }
    // What is set may own timers: it goes when the map is whole again.
    void cancel() override { const auto gone = loop_.timers_.extract(place_); }

   private:
    ManualLoop& loop_;
    Place place_{};
  };

  const SteadyTime start_;
  SteadyTime now_;
  std::chrono::milliseconds unix_start_;
  std::deque<Then> turns_;
  std::map<Place, Then> timers_;
  std::uint64_t set_ = 0;
};

}  // namespace sealcast::testing
