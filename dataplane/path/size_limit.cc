#include "dataplane/path/size_limit.h"

#include <algorithm>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/packet_too_big.h"

namespace sealcast::dataplane {
namespace {

// RFC 791 §3.2: every network carries so much uncut. librte_ip_frag refuses less.
constexpr std::uint32_t min_ipv4_mtu = 68;
// RFC 4443 §2.4(f): the most answers of one worker in a second, and the most at once.
constexpr std::uint64_t answers_per_second = 100;
constexpr std::uint64_t answers_at_once = 10;

}  // namespace

DropReason SizeLimit::exceeded(Frame& frame, const Packet& packet, const EpochRules& rules,
                               std::uint64_t now_tsc) noexcept {
  const std::uint32_t limit = largest_inner_bytes(rules.mode, rules.outer_family(packet.family), settings_.black_mtu);
  frame.target = static_cast<std::uint16_t>(std::min<std::uint32_t>(limit, 0xffff));
  if (packet.total_bytes <= limit) {  // not too big, only behind one that is to be cut
    frame.verdict = Verdict::fragment;
    return DropReason::none;
  }
  if (packet.family == 6) return answer(frame, packet, limit, now_tsc);
  const bool dont_fragment = (frame.data[packet.ip_offset + ipv4::fragment] & ipv4::dont_fragment_byte) != 0;
  // Transport mode protects whole datagrams only (RFC 4303 §3.1.1).
  if (dont_fragment || rules.mode == EspMode::transport || limit < min_ipv4_mtu) return DropReason::too_big;
  frame.verdict = Verdict::fragment;
  most_bytes_ = 0;
  return DropReason::none;
}

DropReason SizeLimit::answer(Frame& frame, const Packet& packet, std::uint32_t limit, std::uint64_t now_tsc) noexcept {
  // No sender would go below 1280 (RFC 8201 §4).
  if (limit < min_ipv6_mtu || settings_.red_address6 == std::array<std::uint8_t, 16>{}) return DropReason::too_big;
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (packet.later_fragment || !may_answer(ip, packet.total_bytes, packet.protocol, packet.header_bytes))
    return DropReason::too_big;
  const std::uint64_t interval = settings_.tsc_hz / answers_per_second;
  const std::uint64_t due = std::max(next_answer_tsc_, now_tsc);
  if (due - now_tsc > interval * (answers_at_once - 1)) return DropReason::too_big;
  if (!make_packet_too_big(frame, packet.ip_offset, packet.total_bytes, limit, settings_.red_address6))
    return DropReason::too_big;
  next_answer_tsc_ = due + interval;
  frame.verdict = Verdict::reply;
  frame.reason = DropReason::too_big_answered;
  tally_.count(DropReason::too_big_answered);
  return DropReason::none;
}

}  // namespace sealcast::dataplane
