#include "controlplane/keyserver/connection/slot_wait.h"

#include <utility>

namespace sealcast::keyserver {

bool SlotWait::wait(SessionHost& host, const std::string& group_id, std::function<void()> then) {
  const SteadyTime now = host.now().steady;
  if (until_ && now >= *until_) return false;
  if (!host.wait_for_slots(group_id, std::move(then))) return false;
  if (!until_) until_ = now + longest;
  return true;
}

}  // namespace sealcast::keyserver
