#include "controlplane/clock/clock_estimates.h"

#include <algorithm>

namespace sealcast::clock {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

namespace {

// A key server's clock begins near 0 and no machine runs for longer; nanoseconds of it do not overflow.
constexpr milliseconds longest_clock = 24h * 365 * 100;
// A clock that may be off by more is as good as none.
constexpr milliseconds largest_error = 1h;

}  // namespace

ClockEstimates::Estimate ClockEstimates::grown(const Estimate& estimate, SteadyTime now) {
  const nanoseconds drift = drift_over(now - estimate.at);
  return {now, estimate.low - drift, estimate.high + drift, estimate.contradictions};
}

// The key server read its clock between the question and now.
ClockEstimates::Outcome ClockEstimates::measured(const handshake::ClockReading& reading, SteadyTime asked,
                                                 SteadyTime now) {
  if (reading.clock_id == 0 || reading.now_ms > static_cast<std::uint64_t>(longest_clock.count()))
    return Outcome::no_clock;
  const milliseconds said(reading.now_ms), error(reading.error_ms);
  const Estimate fresh{now, said - error - now.time_since_epoch(), said + error - asked.time_since_epoch()};
  const auto known = clocks_.find(reading.clock_id);
  if (known == clocks_.end()) {
    while (clocks_.size() >= most_clocks)
      clocks_.erase(std::min_element(clocks_.begin(), clocks_.end(),
                                     [](const auto& a, const auto& b) { return a.second.at < b.second.at; }));
    clocks_.emplace(reading.clock_id, fresh);
    return Outcome::taken;
  }
  Estimate& held = known->second;
  const Estimate before = grown(held, now);
  const nanoseconds low = std::max(before.low, fresh.low), high = std::min(before.high, fresh.high);
  if (low <= high) {
    held = {now, low, high};
    return Outcome::taken;
  }
  if (++held.contradictions < most_contradictions) return Outcome::contradicts;
  held = fresh;
  return Outcome::begun_anew;
}

handshake::ClockReading ClockEstimates::reading(std::uint64_t clock_id, SteadyTime now) const {
  const auto known = clocks_.find(clock_id);
  if (known == clocks_.end()) return {};
  const Estimate held = grown(known->second, now);
  const nanoseconds error = (held.high - held.low) / 2, time = now.time_since_epoch() + held.low + error;
  if (error > largest_error || time < 0ns) return {};
  return {clock_id, static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(time).count()),
          static_cast<std::uint32_t>(std::chrono::ceil<milliseconds>(error).count()) + 1};  // whole milliseconds
}

std::optional<EpochClock> ClockEstimates::of(const handshake::EpochZero& zero, SteadyTime now,
                                             std::chrono::seconds lease) const {
  const auto known = clocks_.find(zero.clock_id);
  if (zero.clock_id == 0 || known == clocks_.end()) return std::nullopt;
  const Estimate held = grown(known->second, now);
  const nanoseconds error = (held.high - held.low) / 2;
  if (error > largest_error || zero.at_ms > static_cast<std::uint64_t>(longest_clock.count())) return std::nullopt;
  EpochClock clock;
  clock.zero = SteadyTime(milliseconds(zero.at_ms) - (held.low + error));
  clock.error = std::chrono::ceil<milliseconds>(error);
  clock.worst_error = std::min(clock.error + std::chrono::ceil<milliseconds>(drift_over(lease)), largest_error);
  if (clock.zero > now) return std::nullopt;
  return clock;
}

}  // namespace sealcast::clock
