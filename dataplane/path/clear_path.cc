#include "dataplane/path/clear_path.h"

#include <cstring>

#include "base/limits.h"
#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"
#include "dataplane/path/host_filter.h"

namespace sealcast::dataplane {
namespace {

bool is_igmp(const ClearPacket& packet) {
  return packet.family == 4 && packet.protocol == protocol_igmp;
}

bool is_membership(const ClearPacket& packet) {
  return is_igmp(packet) || (packet.family == 6 && packet.protocol == protocol_icmpv6 && !packet.later_fragment &&
                             packet.payload_bytes() != 0 && is_mld(packet.payload()[icmpv6::type]));
}

// Of a packet for which is_membership() holds.
bool is_report(const ClearPacket& packet) {
  return (is_igmp(packet) ? check_igmp_report(packet) : check_mld_report(packet)) == DropReason::none;
}
bool is_query(const ClearPacket& packet) {
  return (is_igmp(packet) ? check_igmp_query(packet) : check_mld_query(packet)) == DropReason::none;
}

// Cuts off what follows an IP packet, so that nothing rides along behind it.
DropReason read(Frame& frame, const Packet& packet, ClearPacket& clear) {
  const DropReason bad =
      read_clear(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet.ether_type, clear);
  if (bad != DropReason::none || clear.family == 0) return bad;
  cut_padding(frame, packet.ip_offset, clear.total_bytes);
  return DropReason::none;
}

}  // namespace

ClearPath::ClearPath(const PathSettings& settings, Tally& tally)
    : settings_(settings), tally_(tally), bypass_(settings.bypass, settings.tsc_hz, settings.bypass_seed) {}

DropReason ClearPath::from_red(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                               const Snapshot& snapshot) noexcept {
  if (packet.ether_type == beacon_ether_type) {
    beacons_.hear(frame, settings_.tsc_hz, now_tsc);
    return DropReason::beacon;
  }
  ClearPacket clear;
  if (const DropReason bad = read(frame, packet, clear); bad != DropReason::none) return bad;
  if (is_membership(clear)) {
    const bool report = is_report(clear);
    // It is heard before any of it is filtered out: groups that are joined on demand need all of it.
    if (report || is_query(clear)) reports_.hear(frame, settings_.tsc_hz, now_tsc);
    if (report && snapshot.stopped_reports != nullptr && !snapshot.stopped_reports->empty()) {
      const std::uint32_t before = frame.length;
      if (filter_report(frame.data, frame.length, clear, *snapshot.stopped_reports) == Filtered::nothing_left)
        return DropReason::report_stopped;
      frame.tailroom += before - frame.length;
    }
  }
  return pass(frame, Side::red, clear, why, now_tsc, snapshot);
}

DropReason ClearPath::from_black(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                                 const Snapshot& snapshot) noexcept {
  ClearPacket clear;
  if (const DropReason bad = read(frame, packet, clear); bad != DropReason::none) return bad;
  if (settings_.host != nullptr && packet.ip_offset == ethernet_bytes &&
      settings_.host->wants(frame.data, clear) != HostFilter::Class::none) {
    frame.verdict = Verdict::punt;
    return DropReason::none;
  }
  // The gateway itself is a listener on black, whether or not its hosts may hear queries.
  if (is_membership(clear) && is_query(clear)) queries_.hear(frame, settings_.tsc_hz, now_tsc);
  return pass(frame, Side::black, clear, why, now_tsc, snapshot);
}

DropReason ClearPath::pass(Frame& frame, Side from, const ClearPacket& clear, DropReason why, std::uint64_t now_tsc,
                           const Snapshot& snapshot) noexcept {
  if (clear.fragment && is_igmp(clear)) return DropReason::fragment;
  // Two bridges side by side would be a storm.
  if (snapshot.standing != Standing::works)
    return bypass_.allows(from, clear, frame.data, why) ? DropReason::standing_by : why;
  const Bypass::Answer answer = bypass_.admit(from, clear, frame.data, frame.length, why, now_tsc);
  if (answer.reason == DropReason::bypass_loop) {
    BypassLoopSeen seen{answer.rule, from, {}};
    std::memcpy(seen.source.data(), frame.data + ethernet::source, seen.source.size());
    loops_.push(seen);
  }
  if (answer.reason != DropReason::none) return answer.reason;
  frame.verdict = Verdict::forward;
  tally_.bypassed(frame.length);
  return DropReason::none;
}

}  // namespace sealcast::dataplane
