// Notices that this machine was resumed from a snapshot: its real-time and boot-time clocks moved against each other.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include "base/read_clock.h"

namespace sealcast::keyserver {

class ClockWatch {
 public:
  static constexpr std::chrono::seconds jump{2};  // as for members: a larger one means a resumed snapshot

  // difference: the real-time clock less the boot-time clock; empty: the system's.
  explicit ClockWatch(std::function<std::chrono::nanoseconds()> difference = {}) : read_(std::move(difference)) {
    if (!read_) read_ = [] { return read_clock(CLOCK_REALTIME) - read_clock(CLOCK_BOOTTIME); };
    last_ = read_();
  }
  // Whether they moved by more than a jump since the last look.
  bool jumped() {
    const auto before = std::exchange(last_, read_());
    return last_ > before + jump || last_ < before - jump;
  }

 private:
  std::function<std::chrono::nanoseconds()> read_;
  std::chrono::nanoseconds last_{};
};

}  // namespace sealcast::keyserver
