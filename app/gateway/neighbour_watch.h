// Says in the log which other gateways are on red, and whether this one passes packets.
#pragma once

#include <string>
#include <vector>

#include "base/dataplane_control.h"

namespace sealcast::gateway {

class NeighbourWatch {
 public:
  struct Line {
    bool alarm = false;
    std::string text;
  };
  // Lines to log now: what changed; and each `repeat_looks` calls what is still wrong. Call it about once a second.
  std::vector<Line> look(const RedSegmentStatistics& now);

  static constexpr unsigned repeat_looks = 60;

 private:
  std::string told_;  // the state of affairs that was logged last
  unsigned looks_ = 0;
};

}  // namespace sealcast::gateway
