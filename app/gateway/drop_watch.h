// Logs drops that only a wrong set-up causes, with the remedy. Counters alone show them only on request, and nearly
// every operator meets the first two once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/dataplane_control.h"

namespace sealcast::gateway {

class DropWatch {
 public:
  // red_device: the configured port string of red; its interface's name goes into the remedy.
  DropWatch(const std::string& red_device, std::uint32_t black_mtu);

  // Lines to log now: one for each watched reason with a counter that grew for the first time, or again after
  // `quiet_looks` calls without growth; and, while frames come back around the gateway, at most one in as many calls
  // for them. Call it about once a second.
  std::vector<std::string> look(const DataPlaneStatistics& statistics);

  static constexpr unsigned quiet_looks = 60;

 private:
  struct Watched {
    std::string remedy;
    std::uint64_t seen = 0;
    unsigned quiet = quiet_looks;  // calls since the counter last grew
  };
  std::string look_at_loops(const std::vector<BypassStatistics>& rules);

  std::map<std::string, Watched> watched_;
  std::uint64_t loops_logged_ = 0;
  unsigned looks_since_loop_ = quiet_looks;
};

}  // namespace sealcast::gateway
