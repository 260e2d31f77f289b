// Packets whose size needs more than sealing: too big for black, fragments from red that follow their first, fragments
// of ESP on black. All of it is off the ordinary path.
#include <algorithm>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/packet_too_big.h"
#include "dataplane/path/worker_scratch.h"

namespace sealcast::dataplane {
namespace {

// RFC 791 §3.2: every network carries so much uncut; and less librte_ip_frag refuses.
constexpr std::uint32_t min_ipv4_mtu = 68;
// RFC 4443 §2.4(f): so many answers a second and worker, so many of them at once.
constexpr std::uint64_t answers_per_second = 100;
constexpr std::uint64_t answers_at_once = 10;

// Where the fragment header of an IPv6 packet begins, from ip; 0: there is none. The headers were walked before, so
// they all lie within header_bytes.
std::uint32_t find_fragment_header(const std::uint8_t* ip, std::uint32_t header_bytes) {
  std::uint8_t next = ip[ipv6::next_header];
  for (std::uint32_t at = ipv6_header_bytes; at + fragment_header_bytes <= header_bytes;) {
    if (next == header_fragment) return at;
    next = ip[at + extension::next_header];
    at += (ip[at + extension::length] + 1U) * 8;
  }
  return 0;
}

struct Part {
  FragmentPlace place;
  std::uint32_t header_bytes = 0;  // in front of the payload once it is whole, as far as it counts towards 65535
};

// Of a packet that is a fragment. IPv6's length field does not count the fixed header.
Part part_of(const std::uint8_t* ip, const Packet& packet) {
  if (packet.family == 4) {
    const std::uint16_t field = load16(ip + ipv4::fragment);
    const bool more = (field & ipv4::more_fragments) != 0;
    return {{(field & std::uint32_t{ipv4::fragment_offset}) * 8, packet.total_bytes - packet.header_bytes, more},
            packet.header_bytes};
  }
  const std::uint32_t at = find_fragment_header(ip, packet.header_bytes);
  if (at == 0) return {};
  const std::uint16_t field = load16(ip + at + fragment_header::place);
  const std::uint32_t begin = at + fragment_header_bytes;
  return {{std::uint32_t{field} & fragment_header::offset, packet.total_bytes - begin,
           (field & fragment_header::more) != 0},
          at - ipv6_header_bytes};
}

FragmentKey key_of(const Packet& packet, const void* scope) {
  FragmentKey key;
  key.scope = scope;
  key.id = packet.fragment_id;
  key.protocol = packet.protocol;
  key.family = packet.family;
  if (packet.family == 4) {
    key.source[0] = packet.source;
    key.destination[0] = packet.destination;
  } else {
    key.source = {packet.source6.high, packet.source6.low};
    key.destination = {packet.destination6.high, packet.destination6.low};
  }
  return key;
}

}  // namespace

DropReason Worker::too_big_to_seal(Frame& frame, const Packet& packet, const SealingSa& sa,
                                   std::uint64_t now_tsc) noexcept {
  const EspMode mode = sa.epoch->mode;
  const std::uint32_t limit = largest_inner_bytes(mode, sa.epoch->outer_family(packet.family), settings_.black_mtu);
  frame.target = static_cast<std::uint16_t>(std::min<std::uint32_t>(limit, 0xffff));
  if (packet.total_bytes <= limit) {  // not too big, only behind one that is to be cut
    frame.verdict = Verdict::fragment;
    return DropReason::none;
  }
  if (packet.family == 6) return answer_too_big(frame, packet, limit, now_tsc);
  const bool dont_fragment = (frame.data[packet.ip_offset + ipv4::fragment] & ipv4::dont_fragment_byte) != 0;
  // Transport mode protects whole datagrams only (RFC 4303 §3.1.1).
  if (dont_fragment || mode == EspMode::transport || limit < min_ipv4_mtu) return DropReason::too_big;
  frame.verdict = Verdict::fragment;
  black_limit_ = 0;
  return DropReason::none;
}

DropReason Worker::answer_too_big(Frame& frame, const Packet& packet, std::uint32_t limit,
                                  std::uint64_t now_tsc) noexcept {
  // Below 1280 no sender would follow (RFC 8201 §4).
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
  count(DropReason::too_big_answered);
  return DropReason::none;
}

namespace {

// Of a fragment that selectors match, or would but for the port it does not show. find: the selectors; true if they
// match. Only where the port decides does the rest follow the first; elsewhere every fragment speaks for itself.
template <typename Address, typename Find>
DropReason follow_first(FragmentTable& table, const void* scope, const std::uint8_t* ip, const Packet& packet,
                        PacketKeyOf<Address>& key, std::uint64_t now, Find find) {
  const Part part = part_of(ip, packet);
  if (!plausible(part.place, part.header_bytes)) return DropReason::bad_fragment;
  PacketKeyOf<Address> blind = key;
  blind.has_ports = false;
  if (find(blind)) return DropReason::none;
  if (!packet.later_fragment) return table.first(key_of(packet, scope), part.place, key.destination_port, now);
  const DropReason reason = table.later(key_of(packet, scope), part.place, now, key.destination_port);
  if (reason != DropReason::none) return reason;
  key.has_ports = true;
  return find(key) ? DropReason::none : DropReason::fragment_orphan;
}

}  // namespace

template <typename Address>
DropReason Worker::red_fragment(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                                std::uint64_t now_tsc, const Policy& policy, std::uint32_t& group) noexcept {
  return follow_first(red_fragments_, nullptr, ip, packet, key, now_tsc,
                      [&](const PacketKeyOf<Address>& k) { return policy.find(k, group) == Match::found; });
}

template <typename Address>
DropReason Worker::opened_fragment(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key,
                                   const std::vector<RuleOf<Address>>& rules) noexcept {
  return follow_first(opened_fragments_, &rules, ip, packet, key, scratch_->open_tsc,
                      [&](const PacketKeyOf<Address>& k) { return match_any(rules, k) == Match::found; });
}

template DropReason Worker::red_fragment(const std::uint8_t*, const Packet&, PacketKey&, std::uint64_t, const Policy&,
                                         std::uint32_t&) noexcept;
template DropReason Worker::red_fragment(const std::uint8_t*, const Packet&, PacketKey6&, std::uint64_t, const Policy&,
                                         std::uint32_t&) noexcept;
template DropReason Worker::opened_fragment(const std::uint8_t*, const Packet&, PacketKey&,
                                            const std::vector<Rule>&) noexcept;
template DropReason Worker::opened_fragment(const std::uint8_t*, const Packet&, PacketKey6&,
                                            const std::vector<Rule6>&) noexcept;

DropReason Worker::black_fragment(Frame& frame, const Packet& packet) noexcept {
  if (!settings_.reassemble) return DropReason::fragment;
  const Part part = part_of(frame.data + packet.ip_offset, packet);
  if (!plausible(part.place, part.header_bytes)) return DropReason::bad_fragment;
  // The library looks for the fragment header behind the fixed one only.
  if (packet.family == 6 && part.header_bytes != 0) return DropReason::fragment;
  frame.verdict = Verdict::reassemble;
  return DropReason::none;
}

}  // namespace sealcast::dataplane
