// How long a connection waits for slots of a group. Of several key servers one may have given out all slots that it has
// claimed so far: a member that comes then is not turned down, but waits for a moment until there are more.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "controlplane/keyserver/connection/session_host.h"

namespace sealcast::keyserver {

class SlotWait {
 public:
  static constexpr std::chrono::seconds longest{3};  // from the first wait for a group

  // True: it waits, and `then` is called once, from the loop, to ask again. False: go on, since there are slots or the
  // wait was long enough.
  bool wait(SessionHost& host, const std::string& group_id, std::function<void()> then);
  // What is asked for next has a wait of its own.
  void restart() { until_.reset(); }

 private:
  std::optional<SteadyTime> until_;
};

}  // namespace sealcast::keyserver
