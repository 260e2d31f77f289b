#include "controlplane/keyserver/connection/control_budget.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr auto message_interval = 20ms;        // of a member of one group
constexpr std::size_t messages_per_group = 6;  // more at once, with each further group

}  // namespace

bool ControlBudget::spend(std::size_t further_groups, SteadyTime now) {
  const auto further = static_cast<long>(further_groups);
  const auto interval = std::chrono::nanoseconds(message_interval) * 100 / (100 + further);
  const auto at_once = burst_ / message_interval + static_cast<long>(messages_per_group) * further;
  used_ = std::max(used_, now) + interval;
  return used_ - now <= interval * at_once;
}

}  // namespace sealcast::keyserver
