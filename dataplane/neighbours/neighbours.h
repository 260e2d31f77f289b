// Which gateways are on this red segment, and whether this one works. At most one gateway of a segment works, so that
// no way leads from red to black and back to the same red: no loop, no echo and no storm, whatever is wired how (H18).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/neighbours/beacon.h"

namespace sealcast::dataplane {

struct NeighbourSettings {
  std::string name, site;                 // this gateway's
  std::uint64_t nonce = 0;                // random
  std::vector<std::string> ignored = {};  // names of gateways whose beacons do not count
  std::vector<std::uint16_t> vlans = {};  // where beacons are sent, too; at most max_beacon_vlans
};

// A gateway that works goes on. Of two that work, or that begin at the same time, the one with the lower name goes on.
// One that goes on working beside one with a lower name does not hear it: then that one gives way.
class Neighbours {
 public:
  // A gateway that begins listens for so long before it works.
  static constexpr std::chrono::milliseconds listening{250};
  // Beacons while it listens, and else.
  static constexpr std::chrono::milliseconds quick_period{50}, period{200};
  // A gateway that was not heard for so long is gone.
  static constexpr std::chrono::milliseconds lifetime{2000};
  // A gateway that works beside a lower name for so long is deaf to it.
  static constexpr std::chrono::milliseconds deaf{1000};
  static constexpr std::size_t most = 16;

  explicit Neighbours(NeighbourSettings settings);

  // The red port is open from now on; its MAC address. It begins to listen.
  void start(const MacAddress& mac, SteadyTime now);
  // The last beacon, by which others learn that this gateway is gone. It stands by from now on.
  std::vector<Bytes> stop();

  // A frame that came in on red and may be a beacon.
  void hear(std::span<const std::uint8_t> frame, SteadyTime now);
  // Decides anew; link_up: of the red port. Where the link comes up again it listens first, since it may be another
  // segment. True: standing() has changed. Call it several times a second.
  bool tick(SteadyTime now, bool link_up = true);
  // Beacons to be sent now.
  std::vector<Bytes> due(SteadyTime now);

  Standing standing() const { return standing_; }
  RedSegmentStatistics statistics() const;

 private:
  // By this, the lower one stays.
  using Identity = std::pair<std::string, std::uint64_t>;
  struct Neighbour {
    std::string site;
    MacAddress mac{};
    Standing standing = Standing::listens;
    bool ignored = false;
    SteadyTime heard;
    SteadyTime works_since;  // while it works
  };

  bool must_yield_to(const Identity& identity, const Neighbour& other) const;
  std::vector<Bytes> beacons() const;

  const NeighbourSettings settings_;
  const Identity own_;
  std::optional<MacAddress> mac_;  // none: not started
  Standing standing_ = Standing::listens;
  SteadyTime since_{};  // of standing_
  SteadyTime due_{};    // the next beacon
  bool link_was_up_ = true;
  std::map<Identity, Neighbour> others_;
};

std::string text(Standing standing);  // "works", "listens", "stands by"

}  // namespace sealcast::dataplane
