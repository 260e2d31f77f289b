// Notices that this machine was stopped and resumed, possibly from a snapshot (H9): a virtual machine's boot-time clock
// goes on where it stopped, its real-time clock is set to the present. Their difference then jumps.
//
// Limits: a step of the real-time clock by an operator or NTP looks the same (new slots are fetched for nothing); a
// rollback after which the real-time clock is not corrected by more than the bound is not noticed.
#pragma once

#include <chrono>
#include <optional>

namespace sealcast::member {

class ClockWatch {
 public:
  using Nanoseconds = std::chrono::nanoseconds;
  explicit ClockWatch(Nanoseconds bound) : bound_(bound) {}

  // The two clocks, read together. True if their difference moved by more than the bound since the last call, in
  // either direction.
  bool jumped(Nanoseconds boot_time, Nanoseconds real_time) {
    const Nanoseconds difference = real_time - boot_time;
    const bool jump = difference_ && (difference > *difference_ + bound_ || difference < *difference_ - bound_);
    difference_ = difference;
    return jump;
  }

 private:
  Nanoseconds bound_;
  std::optional<Nanoseconds> difference_;
};

}  // namespace sealcast::member
