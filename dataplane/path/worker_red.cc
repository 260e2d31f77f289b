// Red to black: parse, policy, checks, encapsulate every frame of the burst; seal them in one call; verdicts. Here
// stands the mode that most groups use, address preservation; the others are in worker_modes.cc.
#include "dataplane/path/worker_lean.h"

namespace sealcast::dataplane {

void Worker::red_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  auto& seal = scratch_->seal;
  seal.clear();
  if (snapshot.policy->ipv4().size() > few_groups) fetch_for_sealing(frames, snapshot);
  SealRun run;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    Frame& frame = frames[i];
    const std::uint32_t before = seal.size;
    if (!seal_lean(frame, now_tsc, snapshot, run)) [[unlikely]] {
      settle(run);
      const DropReason reason = admit_red(frame, now_tsc, snapshot);
      if (reason != DropReason::none) drop(frame, reason, Side::red);
      if (seal.size == before) continue;
    }
    seal.frames[before] = static_cast<std::uint8_t>(i);
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
  }
  settle(run);
  if (seal.size == 0) return;

  const std::span items(seal.items.data(), seal.size);
  by_key(items, !seal.several_keys || !keys_together_, scratch_->seal_sorted,
         [this](std::span<aead::SealItem> sorted) { engine_.seal(sorted); });

  bool all_ok = true;
  for (const aead::SealItem& item : items)
    all_ok &= item.ok;
  std::uint64_t failed = 0;
  if (!all_ok) [[unlikely]] {
    for (std::uint32_t i = 0; i < seal.size; ++i) {
      if (seal.items[i].ok) continue;
      ++failed;
      drop(frames[seal.frames[i]], charge(*seal.sas[i], DropReason::engine_failed), Side::red);
    }
  }
  counters_.sealed.add(seal.size - failed);
}

[[gnu::noinline]] DropReason Worker::admit_red(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  Packet packet;
  std::uint16_t type = 0;
  if (!parse_link(frame, type, packet.ip_offset)) return DropReason::short_frame;
  if (type != ether_type_ipv4) [[unlikely]]
    return admit_red_other(frame, now_tsc, snapshot);
  packet.ether_type = type;
  const DropReason bad = parse_ipv4(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet);
  if (bad != DropReason::none) [[unlikely]]
    return bad;
  cut_padding(frame, packet);
  if (!is_multicast(packet)) [[unlikely]]
    return other_from_red(frame, Packet(packet), DropReason::not_multicast, now_tsc, snapshot);
  return admit_protected<V4>(frame, packet, now_tsc, snapshot);
}

// All but IPv4. On its own so that the packet of the IPv4 path stays in registers.
[[gnu::noinline]] DropReason Worker::admit_red_other(Frame& frame, std::uint64_t now_tsc,
                                                     const Snapshot& snapshot) noexcept {
  Packet packet;
  const DropReason bad = parse_frame(frame, packet);
  if (bad == DropReason::not_ip || bad == DropReason::not_multicast)
    return other_from_red(frame, packet, bad, now_tsc, snapshot);
  return bad != DropReason::none ? bad : admit_protected<V6>(frame, packet, now_tsc, snapshot);
}

template <typename Family>
inline DropReason Worker::admit_protected(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                                          const Snapshot& snapshot) noexcept {
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (packet.protocol == protocol_esp || packet.protocol == protocol_ah) return DropReason::esp_on_red;
  if (is_membership_message(ip, packet)) [[unlikely]]
    return other_from_red(frame, Packet(packet), membership_not_allowed<Family>, now_tsc, snapshot);

  PacketKeyOf<typename Family::Address> key;
  if (!packet_key<Family>(ip, packet, key)) return DropReason::short_frame;
  const bool shows_ports = key.has_ports;  // a later fragment borrows its first's
  std::uint32_t group = 0;
  if (snapshot.policy->find(key, group) == Match::none) [[unlikely]]
    return other_from_red(frame, Packet(packet), DropReason::no_policy, now_tsc, snapshot);
  if (packet.fragment) [[unlikely]] {
    const DropReason bad = red_fragment(ip, Packet(packet), key, now_tsc, *snapshot.policy, group);
    if (bad != DropReason::none) return bad;
  }

  // From here on the packet is protected: it leaves sealed or not at all (H10).
  SealingSa* const sa = snapshot.outbound[group * snapshot.workers + index_];
  if (sa == nullptr) return charge_group(snapshot, group, DropReason::no_sa);
  if (const DropReason bad = check_outbound(*sa, now_tsc); bad != DropReason::none) return charge(*sa, bad);
  const EpochRules& rules = *sa->epoch;
  if (!rules.same_as_policy && match_any(rules.of<typename Family::Address>(), key) != Match::found)
    return charge(*sa, DropReason::selector_mismatch);
  const EspMode mode = rules.mode;
  if (mode == EspMode::tunnel_preserve) [[likely]] {
    const std::uint32_t sealed = sealed_bytes(EspMode::tunnel_preserve, Family::family, packet.total_bytes);
    if (sealed > black_limit_) [[unlikely]]
      return charge(*sa, too_big_to_seal(frame, Packet(packet), *sa, now_tsc));
    constexpr std::uint32_t front = Family::header_bytes + esp_front_bytes;
    if (frame.headroom < front || frame.tailroom < sealed - front - packet.total_bytes)
      return charge(*sa, DropReason::no_headroom);
    if (shows_ports) note_checksum<Family>(ip, packet, *sa);
    encapsulate<Family>(frame, packet, *sa);
    return DropReason::none;
  }

  // RFC 4303 §3.1.1: transport mode takes whole packets only.
  if (mode == EspMode::transport) {
    if (packet.fragment) return charge(*sa, DropReason::fragment);
    // Receivers would take it for a dummy packet (RFC 4303 §2.6), or for the key server's word.
    const std::uint8_t next_header = ip[packet.esp_field];
    if (next_header == dummy_next_header || next_header == group_datagram_next_header)
      return charge(*sa, DropReason::bad_next_header);
  }
  const std::uint8_t outer_family = rules.outer_family(Family::family);
  const std::uint32_t sealed = sealed_bytes(mode, outer_family, packet.total_bytes);
  if (sealed > black_limit_) return charge(*sa, too_big_to_seal(frame, Packet(packet), *sa, now_tsc));
  const std::uint32_t front = outer_header_bytes(mode, outer_family) + esp_front_bytes;
  if (frame.headroom < front || frame.tailroom < sealed - front - packet.total_bytes)
    return charge(*sa, DropReason::no_headroom);
  if (shows_ports) note_checksum<Family>(ip, packet, *sa);
  if (mode == EspMode::tunnel_fixed) {
    seal_fixed(frame, Packet(packet), *sa);
  } else {
    seal_transport(frame, Packet(packet), *sa);
  }
  return DropReason::none;
}

template <typename Family>
inline void Worker::note_checksum(const std::uint8_t* ip, const Packet& packet, SealingSa& sa) noexcept {
  if (has_partial_checksum<Family>(ip, packet)) [[unlikely]]
    count(charge(sa, DropReason::partial_checksum));
  // RFC 8200 §8.1: only tunnels may leave it out, and hosts drop such datagrams.
  if constexpr (Family::family == 6)
    if (load16(ip + packet.header_bytes + udp::checksum) == 0) count(charge(sa, DropReason::zero_checksum));
}

inline DropReason Worker::check_outbound(const SealingSa& sa, std::uint64_t now_tsc) const noexcept {
  if (now_tsc >= sa.seal_until_tsc.load(std::memory_order_relaxed)) [[unlikely]]
    return now_tsc >= sa.epoch->expires_tsc ? DropReason::sa_expired : DropReason::lease_expired;
  // The largest packet there is counts against the limit in advance, so the limit itself is never passed.
  if (sa.blocks.get() + blocks_of(65536) > settings_.hard_block_limit) [[unlikely]]
    return DropReason::counter_exhausted;
  return DropReason::none;
}

// RFC 4303 tunnel mode with the addresses of the inner packet (RFC 5374 §3.1).
template <typename Family>
inline void Worker::encapsulate(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  constexpr std::uint32_t front = Family::header_bytes + esp_front_bytes;
  const std::uint32_t inner_bytes = packet.total_bytes;
  std::uint8_t* const inner = frame.data + packet.ip_offset;
  std::uint8_t* const outer = inner - front;
  const std::uint32_t plaintext_bytes = padded(inner_bytes);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);

  std::memcpy(frame.data - front, frame.data, link_copy_bytes);

  // Header fields are put together and summed in registers: bytes just stored and loaded again as words would stall.
  if constexpr (Family::family == 4) {
    // TOS: DSCP and ECN copied (RFC 4301 §5.1.2.1, RFC 6040 normal mode); DF copied; the identification follows the
    // number, for those who set DF aside on the way.
    const std::uint64_t first = (std::uint64_t{ipv4::version_plain} << 56) | (std::uint64_t{inner[ipv4::tos]} << 48) |
                                (std::uint64_t{sealed} << 32) | ((number & 0xffff) << 16) |
                                ((inner[ipv4::fragment] & std::uint32_t{ipv4::dont_fragment_byte}) << 8);
    const std::uint32_t third = (std::uint32_t{inner[ipv4::ttl]} << 24) | (std::uint32_t{protocol_esp} << 16);
    const std::uint64_t addresses = load64(inner + ipv4::source);
    const std::uint64_t sum =
        (first >> 32) + (first & 0xffffffff) + third + (addresses >> 32) + (addresses & 0xffffffff);
    store64(outer, first);
    store32(outer + ipv4::ttl, third | static_cast<std::uint16_t>(~fold16(sum)));
    store64(outer + ipv4::source, addresses);
  } else {
    // Version, traffic class and flow label of the inner packet: the outer one belongs to the same flow (RFC 6438 §3,
    // RFC 6040 normal mode).
    const std::uint64_t payload = sealed - ipv6_header_bytes;
    store64(outer, (std::uint64_t{load32(inner + ipv6::version)} << 32) | (payload << 16) |
                       (std::uint64_t{protocol_esp} << 8) | inner[ipv6::hop_limit]);
    std::memcpy(outer + ipv6::source, inner + ipv6::source, ipv6::addresses_bytes);
  }
  add_seal_item(sa, number, outer + Family::header_bytes, inner_bytes, plaintext_bytes, Family::next_header);

  frame.data -= front;
  frame.headroom -= front;
  frame.tailroom -= sealed - front - inner_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(inner_bytes);
}

}  // namespace sealcast::dataplane
