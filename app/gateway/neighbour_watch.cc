#include "app/gateway/neighbour_watch.h"

#include <algorithm>

namespace sealcast::gateway {

std::vector<NeighbourWatch::Line> NeighbourWatch::look(const RedSegmentStatistics& now) {
  std::string others;
  for (const NeighbourStatistics& other : now.neighbours)
    if (!other.ignored)
      others +=
          (others.empty() ? "" : ", ") + other.name + " (site " + other.site + ", " + other.mac + ") " + other.state;
  const bool wrong = !others.empty();
  // Whether it listens for a moment before it works is of no interest alone.
  const std::string state = wrong ? now.state + ", " + others : std::string();
  const bool repeated = wrong && ++looks_ >= repeat_looks;
  if (state == told_ && !repeated) return {};
  looks_ = 0;
  told_ = state;
  if (!wrong) return {{false, "no other gateway is heard on red any more; this one works or is about to"}};
  return {{true, "another gateway is on this red segment: " + others + "; this one " + now.state +
                     ". Of gateways on one red segment one passes packets and the others stand by: take the other off, "
                     "or name it in [red] ignore_neighbours on both if they carry different groups"}};
}

}  // namespace sealcast::gateway
