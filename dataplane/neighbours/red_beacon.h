// The beacon on red as the control side runs it: frames from and to the workers.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/neighbours/neighbours.h"
#include "dataplane/path/worker.h"

namespace sealcast::dataplane {

class RedBeacon {
 public:
  // settings: none: no beacon is sent, and none counts. changed is called whenever standing() has changed. The workers
  // outlive the object.
  RedBeacon(std::vector<Worker*> workers, std::optional<NeighbourSettings> settings, std::function<void()> changed);

  // As in Neighbours; link_up says whether the red port's is, until stop(). Without settings both do nothing.
  void start(
      const MacAddress& mac, SteadyTime now, std::function<bool()> link_up = [] { return true; });
  void stop();
  // Takes what workers heard, decides and sends. Call it several times a second.
  void tick(SteadyTime now);
  // Whether all that was to be sent has been fetched by the packet layer.
  bool idle() const;

  Standing standing() const { return neighbours_ ? neighbours_->standing() : Standing::works; }
  bool sends() const { return neighbours_.has_value(); }
  RedSegmentStatistics statistics() const;

 private:
  void send(const std::vector<Bytes>& frames);

  const std::vector<Worker*> workers_;
  std::optional<Neighbours> neighbours_;
  const std::function<void()> changed_;
  std::function<bool()> link_up_ = [] { return true; };
  std::string last_moved_;
};

}  // namespace sealcast::dataplane
