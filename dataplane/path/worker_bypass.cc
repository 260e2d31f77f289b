// What crosses in clear: everything that is neither ESP nor multicast that a group protects, by rule and by measure.
#include <cstring>

#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"
#include "dataplane/path/host_filter.h"
#include "dataplane/path/worker.h"

namespace sealcast::dataplane {
namespace {

bool is_igmp(const ClearPacket& packet) {
  return packet.family == 4 && packet.protocol == protocol_igmp;
}

bool is_membership(const ClearPacket& packet) {
  return is_igmp(packet) || (packet.family == 6 && packet.protocol == protocol_icmpv6 && !packet.later_fragment &&
                             packet.payload_bytes() != 0 && is_mld(packet.payload()[icmpv6::type]));
}

// Cuts off what follows an IP packet, so that nothing rides along behind it.
DropReason read(Frame& frame, const Packet& packet, ClearPacket& clear) {
  const DropReason bad =
      read_clear(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet.ether_type, clear);
  if (bad != DropReason::none || clear.family == 0) return bad;
  const std::uint32_t excess = frame.length - packet.ip_offset - clear.total_bytes;
  frame.length -= excess;
  frame.tailroom += excess;
  return DropReason::none;
}

}  // namespace

DropReason Worker::other_from_red(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                                  const Snapshot& snapshot) noexcept {
  ClearPacket clear;
  if (const DropReason bad = read(frame, packet, clear); bad != DropReason::none) return bad;
  if (is_membership(clear)) hear_on_red(frame, clear, now_tsc);
  if (is_membership(clear) && snapshot.stopped_reports != nullptr && !snapshot.stopped_reports->empty()) {
    const bool report = (is_igmp(clear) ? check_igmp_report(clear) : check_mld_report(clear)) == DropReason::none;
    const std::uint32_t before = frame.length;
    if (report && filter_report(frame.data, frame.length, clear, *snapshot.stopped_reports) == Filtered::nothing_left)
      return DropReason::report_stopped;
    frame.tailroom += before - frame.length;
  }
  return bypass(frame, Side::red, clear, why, now_tsc);
}

// Who listens on red, for groups that are joined on demand: before any of it is filtered out.
void Worker::hear_on_red(const Frame& frame, const ClearPacket& clear, std::uint64_t now_tsc) noexcept {
  if (frame.length > HostFrame::most_bytes) return;
  const bool right = is_igmp(clear)
                         ? check_igmp_report(clear) == DropReason::none || check_igmp_query(clear) == DropReason::none
                         : check_mld_report(clear) == DropReason::none || check_mld_query(clear) == DropReason::none;
  if (!right || !heard_on_red_.take(frame.length, heard_per_second, settings_.tsc_hz, now_tsc)) return;
  heard_frame_.length = static_cast<std::uint16_t>(frame.length);
  std::memcpy(heard_frame_.bytes.data(), frame.data, frame.length);
  reports_heard_.push(heard_frame_);
}

DropReason Worker::other_from_black(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                                    const Snapshot&) noexcept {
  ClearPacket clear;
  if (const DropReason bad = read(frame, packet, clear); bad != DropReason::none) return bad;
  if (settings_.host != nullptr && packet.ip_offset == ethernet_bytes &&
      settings_.host->wants(frame.data, clear) != HostFilter::Class::none) {
    frame.verdict = Verdict::punt;
    return DropReason::none;
  }
  // The gateway is a listener on black itself, whether or not its hosts may hear queries.
  if (is_membership(clear) && frame.length <= HostFrame::most_bytes &&
      (is_igmp(clear) ? check_igmp_query(clear) : check_mld_query(clear)) == DropReason::none &&
      heard_bucket_.take(frame.length, heard_per_second, settings_.tsc_hz, now_tsc)) {
    heard_frame_.length = static_cast<std::uint16_t>(frame.length);
    std::memcpy(heard_frame_.bytes.data(), frame.data, frame.length);
    queries_heard_.push(heard_frame_);
  }
  return bypass(frame, Side::black, clear, why, now_tsc);
}

DropReason Worker::bypass(Frame& frame, Side from, const ClearPacket& clear, DropReason why,
                          std::uint64_t now_tsc) noexcept {
  if (clear.fragment && is_igmp(clear)) return DropReason::fragment;
  const Bypass::Answer answer = bypass_.admit(from, clear, frame.data, frame.length, why, now_tsc);
  if (answer.reason == DropReason::bypass_loop) {
    BypassLoopSeen seen{answer.rule, from, {}};
    std::memcpy(seen.source.data(), frame.data + ethernet::source, seen.source.size());
    bypass_loops_.push(seen);
  }
  if (answer.reason != DropReason::none) return answer.reason;
  frame.verdict = Verdict::forward;
  counters_.bypassed.add(1);
  counters_.bypassed_bytes.add(frame.length);
  return DropReason::none;
}

}  // namespace sealcast::dataplane
