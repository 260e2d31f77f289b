#include "dataplane/path/bypass.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t protocol_ospf = 89;
constexpr std::uint8_t protocol_pim = 103;
constexpr std::uint8_t protocol_vrrp = 112;
// Neighbour discovery (RFC 4861 §4): router solicitation and advertisement, neighbour solicitation and advertisement,
// redirect.
constexpr std::uint8_t nd_first = 133, nd_last = 137;
constexpr std::uint32_t nd_option_length = 1;  // where an option says its length, which counts 8 bytes
constexpr bool is_nd(std::uint8_t type) {
  return type >= nd_first && type <= nd_last;
}

bool narrowed(const BypassRule& rule, const IpAddress& source, const IpAddress& destination) {
  return (!rule.source || rule.source->contains(source)) &&
         (!rule.destination || rule.destination->contains(destination));
}

// RFC 826 for IPv4 over Ethernet: request or reply, 28 bytes.
bool fits_arp(const BypassRule& rule, const ClearPacket& packet) {
  static constexpr std::uint8_t start[6] = {0, 1, 8, 0, 6, 4};
  if (packet.ether_type != ether_type_arp || packet.total_bytes < arp::bytes) return false;
  const std::uint8_t* p = packet.data;
  const std::uint16_t operation = load16(p + arp::operation);
  if (std::memcmp(p, start, sizeof start) != 0 || (operation != arp::request && operation != arp::reply)) return false;
  // Ethernet's padding is zeros; anything else would ride along.
  if (!std::all_of(p + arp::bytes, p + packet.total_bytes, [](std::uint8_t byte) { return byte == 0; })) return false;
  return narrowed(rule, IpAddress::v4(load32(p + arp::sender)), IpAddress::v4(load32(p + arp::target)));
}

// RFC 4861 §4, §6.1, §7.1, §8.1: type, hop limit, code, checksum, sizes, options that fill the rest; never a fragment
// (RFC 6980).
bool fits_nd(const ClearPacket& packet) {
  static constexpr std::uint8_t fixed_bytes[5] = {8, 16, 24, 24, 40};  // RS, RA, NS, NA, redirect
  if (packet.family != 6 || packet.protocol != protocol_icmpv6 || packet.hop_limit != 255 || packet.fragment ||
      packet.header_bytes != ipv6_header_bytes || packet.payload_bytes() < 8)
    return false;
  const std::uint8_t* message = packet.payload();
  const std::uint32_t bytes = packet.payload_bytes();
  const std::uint8_t type = message[icmpv6::type];
  if (!is_nd(type) || message[icmpv6::code] != 0) return false;
  std::uint32_t offset = fixed_bytes[type - nd_first];
  if (bytes < offset) return false;
  if (checksum_sum(message, bytes, pseudo_header_sum(packet.source, packet.destination, bytes, protocol_icmpv6)) !=
      0xffff)
    return false;
  while (offset != bytes) {
    if (bytes - offset < 8 || message[offset + nd_option_length] == 0 ||
        bytes - offset < message[offset + nd_option_length] * 8U)
      return false;
    offset += message[offset + nd_option_length] * 8U;
  }
  return true;
}

// A routing protocol's packet: nothing between its IP header and itself.
bool plain(const ClearPacket& packet, std::uint8_t protocol, std::uint8_t hop_limit) {
  return packet.protocol == protocol && packet.hop_limit == hop_limit && !packet.fragment && packet.family != 0 &&
         packet.header_bytes == (packet.family == 4 ? min_ipv4_bytes : ipv6_header_bytes);
}

// IEEE 802.1D §7.12: 802.2 header 42-42-03 of a length field's frame, to the bridges' group address.
bool fits_stp(const ClearPacket& packet, const std::uint8_t* frame) {
  static constexpr std::uint8_t bridges[6] = {0x01, 0x80, 0xc2, 0, 0, 0};
  static constexpr std::uint8_t llc[3] = {0x42, 0x42, 0x03};
  return std::memcmp(frame, bridges, sizeof bridges) == 0 && packet.ether_type <= 1500 &&
         packet.ether_type >= sizeof llc && packet.total_bytes >= packet.ether_type &&
         std::memcmp(packet.data, llc, sizeof llc) == 0;
}

bool fits_ip(const BypassRule& rule, const ClearPacket& packet) {
  if (packet.family == 0 || packet.protocol != rule.ip_protocol) return false;
  if (packet.protocol == protocol_icmpv6 && packet.family == 6 && !packet.later_fragment) {
    // These have rules of their own, which check more.
    if (packet.payload_bytes() < 4) return false;
    const std::uint8_t type = packet.payload()[icmpv6::type];
    if (is_mld(type) || is_nd(type)) return false;
  }
  if (!rule.ports) return true;
  if (packet.later_fragment ||
      packet.payload_bytes() < (packet.protocol == protocol_tcp ? min_tcp_bytes : udp_header_bytes))
    return false;
  return rule.ports->contains(load16(packet.payload() + udp::destination_port));
}

bool is_membership_protocol(BypassProtocol protocol) {
  return protocol == BypassProtocol::igmp_report || protocol == BypassProtocol::igmp_query ||
         protocol == BypassProtocol::mld_report || protocol == BypassProtocol::mld_query;
}

}  // namespace

bool fits(const BypassRule& rule, const ClearPacket& packet, const std::uint8_t* frame) noexcept {
  bool form = false;
  switch (rule.protocol) {
    case BypassProtocol::igmp_report:
      form = packet.family == 4 && packet.protocol == protocol_igmp && check_igmp_report(packet) == DropReason::none;
      break;
    case BypassProtocol::igmp_query:
      form = packet.family == 4 && packet.protocol == protocol_igmp && check_igmp_query(packet) == DropReason::none;
      break;
    case BypassProtocol::mld_report:
      form = packet.family == 6 && packet.protocol == protocol_icmpv6 && check_mld_report(packet) == DropReason::none;
      break;
    case BypassProtocol::mld_query:
      form = packet.family == 6 && packet.protocol == protocol_icmpv6 && check_mld_query(packet) == DropReason::none;
      break;
    case BypassProtocol::pim:
      form = plain(packet, protocol_pim, 1) && is_local_group(packet.destination, 13);
      break;
    case BypassProtocol::arp:
      return fits_arp(rule, packet);
    case BypassProtocol::nd:
      form = fits_nd(packet);
      break;
    case BypassProtocol::ospf:  // RFC 2328 §8.1: database exchange goes between the routers' own addresses
      form = plain(packet, protocol_ospf, 1) &&
             (is_local_group(packet.destination, 5) || is_local_group(packet.destination, 6) ||
              !packet.destination.is_multicast());
      break;
    case BypassProtocol::vrrp:  // RFC 5798 §5.1.1.3
      form = plain(packet, protocol_vrrp, 255) && is_local_group(packet.destination, 18);
      break;
    case BypassProtocol::stp:
      return fits_stp(packet, frame);
    case BypassProtocol::ethertype:
      return packet.ether_type == rule.ethertype;
    case BypassProtocol::ip:
      form = fits_ip(rule, packet);
      break;
  }
  return form && narrowed(rule, packet.source, packet.destination);
}

bool TokenBucket::take(std::uint32_t frame_bytes, std::uint32_t rate, std::uint64_t ticks_per_second,
                       std::uint64_t now) noexcept {
  if (rate == 0) return false;
  const std::uint64_t units = (frame_bytes + bypass_unit_bytes - 1) / bypass_unit_bytes;
  const std::uint64_t cost = std::min(units * (ticks_per_second / rate), ticks_per_second);
  const std::uint64_t elapsed = now > last_ ? now - last_ : 0;
  if (!started_ || elapsed >= ticks_per_second) {
    started_ = true;
    credit_ = ticks_per_second;
  } else {
    credit_ = std::min(credit_ + elapsed, ticks_per_second);
  }
  last_ = now;
  if (credit_ < cost) return false;
  credit_ -= cost;
  return true;
}

Bypass::Bypass(std::vector<BypassRule> rules, std::uint64_t ticks_per_second, std::uint64_t seed)
    : rules_(std::move(rules)),
      ticks_per_second_(ticks_per_second),
      state_(std::make_unique<State[]>(rules_.size() * 2)),
      recent_(std::make_unique<RecentFrames>(ticks_per_second, seed)) {}

std::uint8_t Bypass::find(Side from, const ClearPacket& packet, const std::uint8_t* frame,
                          DropReason why) const noexcept {
  const auto direction = static_cast<unsigned>(from == Side::red ? BypassDirection::red_to_black  //
                                                                 : BypassDirection::black_to_red);
  // What a group protects, or a message that looks like a report or query, for which the policy was not asked.
  const bool membership_only =
      why == DropReason::clear_on_black || why == DropReason::igmp_not_allowed || why == DropReason::mld_not_allowed;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const BypassRule& rule = rules_[i];
    if ((static_cast<unsigned>(rule.direction) & direction) == 0) continue;
    if (membership_only && !is_membership_protocol(rule.protocol)) continue;
    if (fits(rule, packet, frame)) return static_cast<std::uint8_t>(i);
  }
  return Answer::none;
}

Bypass::Answer Bypass::admit(Side from, const ClearPacket& packet, const std::uint8_t* frame, std::uint32_t frame_bytes,
                             DropReason why, std::uint64_t now) noexcept {
  const std::uint8_t rule = find(from, packet, frame, why);
  if (rule == Answer::none) {
    // Nothing passes here, so nothing can go round. But a frame that this gateway passed and that comes back shows a
    // second way around it.
    const std::uint8_t back = find(other(from), packet, frame, why);
    if (back == Answer::none || !recent_->came_from(recent_->hash(frame, frame_bytes), other(from), now))
      return {why, Answer::none};
    state_[back * 2U + index(other(from))].counters.looped.add(1);
    return {DropReason::bypass_loop, back};
  }
  State& state = state_[rule * 2U + index(from)];
  const std::uint64_t hash = recent_->hash(frame, frame_bytes);
  if (recent_->loops(hash, from, now)) {
    state.counters.looped.add(1);
    return {DropReason::bypass_loop, rule};
  }
  if (!state.bucket.take(frame_bytes, rules_[rule].rate, ticks_per_second_, now)) {
    state.counters.rate_limited.add(1);
    return {DropReason::rate_limited, rule};
  }
  recent_->remember(hash, from, now);
  state.counters.passed.add(1);
  state.counters.passed_bytes.add(frame_bytes);
  return {DropReason::none, rule};
}

}  // namespace sealcast::dataplane
