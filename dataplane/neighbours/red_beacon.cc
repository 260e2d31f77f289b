#include "dataplane/neighbours/red_beacon.h"

#include <cstring>
#include <utility>

namespace sealcast::dataplane {

RedBeacon::RedBeacon(std::vector<Worker*> workers, std::optional<NeighbourSettings> settings,
                     std::function<void()> changed)
    : workers_(std::move(workers)), changed_(std::move(changed)) {
  if (settings) neighbours_.emplace(std::move(*settings));
}

void RedBeacon::start(const MacAddress& mac, SteadyTime now, std::function<bool()> link_up) {
  if (!neighbours_) return;
  link_up_ = std::move(link_up);
  neighbours_->start(mac, now);
  changed_();
  send(neighbours_->due(now));
}

void RedBeacon::stop() {
  if (!neighbours_) return;
  send(neighbours_->stop());
  link_up_ = [] { return true; };
  changed_();
}

void RedBeacon::tick(SteadyTime now) {
  HostFrame heard;
  SourceMoved moved;
  for (Worker* const worker : workers_) {
    while (worker->beacons_heard().pop(heard))
      if (neighbours_) neighbours_->hear(std::span(heard.bytes).first(heard.length), now);
    while (worker->sources_moved().pop(moved))
      last_moved_ = moved.source.text() + (moved.to == Side::red ? " to red" : " to black");
  }
  if (!neighbours_) return;
  if (neighbours_->tick(now, link_up_())) changed_();
  send(neighbours_->due(now));
}

bool RedBeacon::idle() const {
  const HostFrameRing& ring = workers_.front()->to_red();
  return ring.room() == HostFrameRing::capacity;
}

RedSegmentStatistics RedBeacon::statistics() const {
  RedSegmentStatistics out = neighbours_ ? neighbours_->statistics() : RedSegmentStatistics{};
  out.last_moved = last_moved_;
  return out;
}

// A beacon for which there is no room is lost like one on the wire: another follows.
void RedBeacon::send(const std::vector<Bytes>& frames) {
  HostFrame out;
  for (const Bytes& frame : frames) {
    if (frame.size() > HostFrame::most_bytes) continue;
    out.length = static_cast<std::uint16_t>(frame.size());
    std::memcpy(out.bytes.data(), frame.data(), frame.size());
    workers_.front()->to_red().push(out);
  }
}

}  // namespace sealcast::dataplane
