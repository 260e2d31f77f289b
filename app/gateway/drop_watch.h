// Tells the operator, in the log and with the remedy, about drops that only a wrong set-up causes. Counters alone show
// them to whoever looks; these two are met by nearly everybody once.
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

  // Lines to log now: one for each watched reason whose counter grew for the first time, or again after a quiet spell
  // of `quiet_looks` calls; and at most one in as many calls for frames that came round the gateway, as long as there
  // are new ones. Call it once a second or so.
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
  std::uint64_t loops_told_ = 0;
  unsigned looks_since_loop_ = quiet_looks;
};

}  // namespace sealcast::gateway
