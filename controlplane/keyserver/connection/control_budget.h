// How many control messages a member may send (H13). It needs few for each of its groups; one that sends thousands
// keeps the others waiting.
#pragma once

#include <chrono>
#include <cstddef>

#include "base/dataplane_control.h"

namespace sealcast::keyserver {

// A token bucket. It refills with 50 messages a second, and with one more in two seconds for each further group: that
// is its status report, and some more.
class ControlBudget {
 public:
  // burst: the time in which a bucket refills, so how much of it may be used at once, of a member of one group.
  explicit ControlBudget(std::chrono::milliseconds burst) : burst_(burst) {}

  // One message came, of a member that is in so many groups beside one. False: one too many.
  bool spend(std::size_t further_groups, SteadyTime now);

 private:
  std::chrono::milliseconds burst_;
  SteadyTime used_{};  // up to when the budget is used up
};

}  // namespace sealcast::keyserver
