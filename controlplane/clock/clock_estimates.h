// What a machine knows of others' clocks: for each, an interval in which the difference to its own lies. Only
// answers to its questions narrow it, because an answer that was held back proves less, and never something wrong. No
// socket and no clock.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "base/dataplane_control.h"
#include "handshake/group_keying.h"

namespace sealcast::clock {

// Two machines' clocks drift apart by so much at most: 200 ppm.
constexpr std::chrono::nanoseconds drift_over(SteadyTime::duration time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time) / 5000;
}

class ClockEstimates {
 public:
  enum class Outcome : std::uint8_t {
    taken,        // the interval is as narrow as it, or narrower
    no_clock,     // the key server has none
    contradicts,  // it and what was known exclude each other: it is left out
    begun_anew,   // the third of these in a row: what was known is given up
  };
  // A reading that answers what was asked at `asked` and came at `now`.
  Outcome measured(const handshake::ClockReading& reading, SteadyTime asked, SteadyTime now);
  // The clock as it is now, with the error of what was measured; clock_id 0: nothing is known of it.
  handshake::ClockReading reading(std::uint64_t clock_id, SteadyTime now) const;
  // lease: how long it may be until the next answer. Empty: the epoch has no times, or nothing is known of its clock.
  std::optional<EpochClock> of(const handshake::EpochZero& zero, SteadyTime now, std::chrono::seconds lease) const;

 private:
  static constexpr std::size_t most_clocks = 4;
  static constexpr unsigned most_contradictions = 3;
  struct Estimate {
    SteadyTime at;
    std::chrono::nanoseconds low, high;  // its clock less ours, at that moment
    unsigned contradictions = 0;         // in a row
  };
  static Estimate grown(const Estimate& estimate, SteadyTime now);

  std::map<std::uint64_t, Estimate> clocks_;  // by clock_id
};

}  // namespace sealcast::clock
