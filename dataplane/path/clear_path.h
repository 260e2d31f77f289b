// What crosses in clear: all that is neither ESP nor multicast that a group protects, by rule and up to a rate. The
// control thread gets a copy of the queries and reports among it, because the gateway is a listener itself.
#pragma once

#include <cstdint>

#include "dataplane/packet/clear_packet.h"
#include "dataplane/packet/frame.h"
#include "dataplane/path/bypass.h"
#include "dataplane/path/host_frame.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

struct Packet;

// Frames of one kind on their way to the control thread, at most heard_per_second of them.
template <typename Ring>
class HeardFrames {
 public:
  // Worker. Leaves out frames that are longer than HostFrame::most_bytes or come too fast.
  void hear(const Frame& frame, std::uint64_t ticks_per_second, std::uint64_t now_tsc) noexcept {
    if (frame.length > HostFrame::most_bytes ||
        !bucket_.take(frame.length, heard_per_second, ticks_per_second, now_tsc))
      return;
    copy_.length = static_cast<std::uint16_t>(frame.length);
    std::memcpy(copy_.bytes.data(), frame.data, frame.length);
    ring_.push(copy_);
  }
  Ring& ring() { return ring_; }

 private:
  TokenBucket bucket_;
  HostFrame copy_;
  Ring ring_;
};

// One worker's.
class ClearPath {
 public:
  // settings and tally outlive it.
  ClearPath(const PathSettings& settings, Tally& tally);

  // A frame that came in on that side. packet: its headers as far as they were read (family 0: not IP). why: what it is
  // dropped for unless a rule lets it pass: not_ip, not_multicast or no_policy; igmp_not_allowed or mld_not_allowed for
  // a message of that protocol, whatever its group; on black also clear_on_black, for what must never pass. none: the
  // frame has its verdict.
  DropReason from_red(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                      const Snapshot& snapshot) noexcept;
  DropReason from_black(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                        const Snapshot& snapshot) noexcept;

  const Bypass& bypass() const { return bypass_; }
  // For the control thread.
  BypassLoopRing& loops() { return loops_; }
  HostFrameRing& queries_heard() { return queries_.ring(); }
  ReportRing& reports_heard() { return reports_.ring(); }
  HostFrameRing& beacons_heard() { return beacons_.ring(); }

 private:
  DropReason pass(Frame& frame, Side from, const ClearPacket& clear, DropReason why, std::uint64_t now_tsc,
                  const Snapshot& snapshot) noexcept;

  const PathSettings& settings_;
  Tally& tally_;
  Bypass bypass_;
  BypassLoopRing loops_;
  HeardFrames<HostFrameRing> queries_;  // from black
  HeardFrames<ReportRing> reports_;     // reports and queries from red
  HeardFrames<HostFrameRing> beacons_;  // from red
};

}  // namespace sealcast::dataplane
