// What an operator wants to know of a group's last rekey: why, how long, and which member was the slowest.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "base/dataplane_control.h"

namespace sealcast::keyserver {

struct RekeyRecord {
  std::uint64_t epoch = 0;
  std::string why = {};
  SteadyTime begun = {};
  std::size_t told = 0;                                     // members that were to install it
  std::size_t acknowledged = 0;                             // of them, before it became active
  std::string slowest = {};                                 // the last of these
  std::chrono::milliseconds slowest_after{};                // its acknowledgement, from begun on
  std::optional<std::chrono::milliseconds> active_after{};  // empty: under way
  std::size_t unacknowledged = 0;                           // when it became active

  static std::chrono::milliseconds since(SteadyTime begun, SteadyTime now) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - begun);
  }
  void acknowledge(const std::string& member, SteadyTime now) {
    ++acknowledged;
    slowest = member;
    slowest_after = since(begun, now);
  }
  void active(std::size_t missing, SteadyTime now) {
    active_after = since(begun, now);
    unacknowledged = missing;
  }
};

}  // namespace sealcast::keyserver
