// One of the kernel's clocks, for those that <chrono> does not name: CLOCK_BOOTTIME goes on while the machine sleeps.
#pragma once

#include <chrono>
#include <ctime>

namespace sealcast {

inline std::chrono::nanoseconds read_clock(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace sealcast
