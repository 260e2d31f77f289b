// What crosses in clear: everything that is neither ESP nor multicast that a group protects, by rule and by measure.
#include <algorithm>

#include "dataplane/igmp.h"
#include "dataplane/packet.h"
#include "dataplane/worker.h"

namespace sealcast::dataplane {

DropReason Worker::other_from_red(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                                  const Snapshot&) noexcept {
  if (packet.family != 4 || packet.protocol != protocol_igmp || why == DropReason::not_multicast) return why;
  const DropReason bad = check_igmp_report(frame.data + packet.ip_offset, packet);
  return bad != DropReason::none ? bad : bypass(frame, red_igmp_, now_tsc);
}

DropReason Worker::other_from_black(Frame& frame, const Packet& packet, DropReason why, std::uint64_t now_tsc,
                                    const Snapshot&) noexcept {
  if (packet.family != 4 || packet.protocol != protocol_igmp || why == DropReason::not_multicast) return why;
  const DropReason bad = check_igmp_query(frame.data + packet.ip_offset, packet);
  return bad != DropReason::none ? bad : bypass(frame, black_igmp_, now_tsc);
}

DropReason Worker::bypass(Frame& frame, TokenBucket& bucket, std::uint64_t now_tsc) noexcept {
  if (!take_tokens(bucket, (frame.length + bypass_unit_bytes - 1) / bypass_unit_bytes, now_tsc))
    return DropReason::rate_limited;
  frame.verdict = Verdict::forward;
  counters_.bypassed.add(1);
  return DropReason::none;
}

bool Worker::take_tokens(TokenBucket& bucket, std::uint32_t tokens, std::uint64_t now_tsc) const noexcept {
  if (settings_.igmp_per_second == 0) return false;
  const std::uint64_t cost = std::min(tokens * (settings_.tsc_hz / settings_.igmp_per_second), settings_.tsc_hz);
  const std::uint64_t elapsed = now_tsc > bucket.last_tsc ? now_tsc - bucket.last_tsc : 0;
  if (!bucket.started || elapsed >= settings_.tsc_hz) {
    bucket.started = true;
    bucket.credit = settings_.tsc_hz;
  } else {
    bucket.credit = std::min(bucket.credit + elapsed, settings_.tsc_hz);
  }
  bucket.last_tsc = now_tsc;
  if (bucket.credit < cost) return false;
  bucket.credit -= cost;
  return true;
}

}  // namespace sealcast::dataplane
