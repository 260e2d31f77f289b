// What a worker and the gateway's own listener on black (dataplane/membership) hand each other: whole frames by value,
// through bounded rings.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/packet/multicast_macs.h"
#include "dataplane/path/recent_frames.h"
#include "dataplane/sa/event_ring.h"

namespace sealcast::dataplane {

struct HostFrame {
  static constexpr std::uint32_t most_bytes = 1522;  // an IP packet of 1500 bytes behind two VLAN tags
  std::uint16_t length = 0;
  std::array<std::uint8_t, most_bytes> bytes;
};
using HostFrameRing = EventRing<HostFrame, 16>;
using ReportRing = EventRing<HostFrame, 64>;

// The most queries in a second that a worker passes on to the listener. More of them ask nothing new.
inline constexpr std::uint32_t heard_per_second = 256;

// The same frame came in on both sides, and was or would have been bypassed from both.
struct BypassLoopSeen {
  std::uint8_t rule = 0;     // place in the rules in force
  Side seen_on = Side::red;  // where it came in the second time
  MacAddress source = {};    // of the frame
};
using BypassLoopRing = EventRing<BypassLoopSeen, 16>;

}  // namespace sealcast::dataplane
