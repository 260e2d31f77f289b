#include "dataplane/path/sealer.h"

#include <cstring>

#include "base/esp_overhead.h"
#include "dataplane/packet/link_address.h"
#include "dataplane/packet/red_mark.h"
#include "dataplane/path/intake.h"
#include "dataplane/path/sealer_lean.h"

namespace sealcast::dataplane {
namespace {

// Bytes copied when the Ethernet header is moved; 14 to 22 of them matter. A frame that was parsed has at least 34. The
// outer IP header overwrites what is copied too much.
constexpr std::uint32_t link_copy_bytes = 24;
static_assert(link_copy_bytes >= ethernet_bytes + max_vlan_tags * vlan_tag_bytes);
static_assert(link_copy_bytes <= ethernet_bytes + min_ipv4_bytes && link_copy_bytes <= seal_headroom);

// RFC 6438 §3 wants the packets of one tunnel's flow under one label that says nothing else. An SPI is such a flow, and
// readable anyway. The label has 20 bits and is never 0.
constexpr std::uint32_t flow_label(std::uint32_t spi) {
  const std::uint32_t label = (spi * 2654435769U) >> 12;
  return label == 0 ? 1 : label;
}

// The inner packet's DSCP or the configured one; ECN always the inner packet's (RFC 6040 §4.1 normal mode).
std::uint8_t outer_class(const OuterHeader& header, const Packet& packet) {
  if (header.dscp == OuterHeader::inner_dscp) return packet.traffic_class;
  return static_cast<std::uint8_t>((header.dscp << 2) | (packet.traffic_class & 3));
}

}  // namespace

Sealer::Sealer(std::uint32_t worker, const PathSettings& settings, const aead::Engine& engine, Tally& tally,
               ClearPath& clear_path, SourceGuard& source_guard)
    : worker_(worker),
      settings_(settings),
      scale_(settings.tsc_hz),
      tally_(tally),
      clear_path_(clear_path),
      source_guard_(source_guard),
      size_limit_(settings, tally),
      fragments_(settings.tsc_hz),
      batch_(engine) {}

void Sealer::burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  size_limit_.begin_burst();
  now_ms_ = scale_.milliseconds(now_tsc);
  source_guard_.begin_burst(snapshot, now_ms_);
  in_chunks(frames, [&](std::span<Frame> chunk) { seal_chunk(chunk, now_tsc, snapshot); });
}

void Sealer::seal_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  batch_.clear();
  if (snapshot.policy->ipv4().size() > few_groups) fetch(frames, snapshot);
  Run run;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    Frame& frame = frames[i];
    const std::uint32_t before = batch_.size();
    if (!seal_lean(frame, now_tsc, snapshot, run)) [[unlikely]] {
      settle(run);
      const DropReason reason = Intake::admit(*this, frame, now_tsc, snapshot);
      if (reason != DropReason::none) tally_.drop(frame, reason, Side::red);
      if (batch_.size() == before) continue;
    }
    batch_.set_frame(before, i);
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
  }
  settle(run);
  if (batch_.size() == 0) return;
  batch_.run();

  bool all_ok = true;
  for (const aead::SealItem& item : batch_.items())
    all_ok &= item.ok;
  std::uint64_t failed = 0;
  if (!all_ok) [[unlikely]] {
    for (std::uint32_t i = 0; i < batch_.size(); ++i) {
      if (batch_.item(i).ok) continue;
      ++failed;
      tally_.drop(frames[batch_.frame(i)], tally_.charge(batch_.sa(i), DropReason::engine_failed), Side::red);
    }
  }
  tally_.sealed(batch_.size() - failed);
}

// ---- Which packets are sealed, and under which SA.

template <typename Family>
inline DropReason Sealer::admit_multicast(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                                          const Snapshot& snapshot) noexcept {
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (packet.protocol == protocol_esp || packet.protocol == protocol_ah) return DropReason::esp_on_red;
  if (is_membership_message(ip, packet)) [[unlikely]]
    return admit_other(frame, Packet(packet), membership_not_allowed<Family>, now_tsc, snapshot);

  PacketKeyOf<typename Family::Address> key;
  if (!packet_key<Family>(ip, packet, key)) return DropReason::short_frame;
  const bool shows_ports = key.has_ports;  // a later fragment borrows its first's
  std::uint32_t group = 0;
  if (snapshot.policy->find(key, group) == Match::none) [[unlikely]]
    return admit_other(frame, Packet(packet), DropReason::no_policy, now_tsc, snapshot);
  if (packet.fragment) [[unlikely]] {
    const DropReason bad = fragments_.match(ip, Packet(packet), key, now_tsc, *snapshot.policy, group);
    if (bad != DropReason::none) return bad;
  }

  // From here on the packet is protected: it leaves sealed or not at all (H10).
  if (bears_red_mark(frame.data)) [[unlikely]]
    return tally_.charge_group(snapshot, group, DropReason::gateway_output);
  if (const DropReason bad = source_guard_.heard_on_red(key.source); bad != DropReason::none) [[unlikely]]
    return tally_.charge_group(snapshot, group, bad);
  SealingSa* const sa = snapshot.outbound[group * snapshot.workers + worker_];
  if (sa == nullptr) return tally_.charge_group(snapshot, group, DropReason::no_sa);
  if (const DropReason bad = check_limits(*sa, now_tsc); bad != DropReason::none) return tally_.charge(*sa, bad);
  const EpochRules& rules = *sa->epoch;
  if (!rules.same_as_policy && match_any(rules.of<typename Family::Address>(), key) != Match::found)
    return tally_.charge(*sa, DropReason::selector_mismatch);
  const EspMode mode = rules.mode;
  if (mode == EspMode::tunnel_preserve) [[likely]] {
    const std::uint32_t sealed = sealed_bytes(EspMode::tunnel_preserve, Family::family, packet.total_bytes);
    if (sealed > size_limit_.most_bytes()) [[unlikely]]
      return tally_.charge(*sa, size_limit_.exceeded(frame, Packet(packet), rules, now_tsc));
    constexpr std::uint32_t front = Family::header_bytes + esp_front_bytes;
    if (frame.headroom < front || frame.tailroom < sealed - front - packet.total_bytes)
      return tally_.charge(*sa, DropReason::no_headroom);
    if (shows_ports) note_checksum<Family>(ip, packet, *sa);
    encapsulate<Family>(frame, packet, *sa);
    return DropReason::none;
  }

  // RFC 4303 §3.1.1: transport mode takes whole packets only.
  if (mode == EspMode::transport) {
    if (packet.fragment) return tally_.charge(*sa, DropReason::fragment);
    // Receivers would take it for a dummy packet (RFC 4303 §2.6) or for a datagram of the key server.
    const std::uint8_t next_header = ip[packet.esp_field];
    if (next_header == dummy_next_header || next_header == group_datagram_next_header)
      return tally_.charge(*sa, DropReason::bad_next_header);
  }
  const std::uint8_t outer_family = rules.outer_family(Family::family);
  const std::uint32_t sealed = sealed_bytes(mode, outer_family, packet.total_bytes);
  if (sealed > size_limit_.most_bytes())
    return tally_.charge(*sa, size_limit_.exceeded(frame, Packet(packet), rules, now_tsc));
  const std::uint32_t front = outer_header_bytes(mode, outer_family) + esp_front_bytes;
  if (frame.headroom < front || frame.tailroom < sealed - front - packet.total_bytes)
    return tally_.charge(*sa, DropReason::no_headroom);
  if (shows_ports) note_checksum<Family>(ip, packet, *sa);
  if (mode == EspMode::tunnel_fixed) {
    encapsulate_fixed(frame, Packet(packet), *sa);
  } else {
    insert_esp(frame, Packet(packet), *sa);
  }
  return DropReason::none;
}

template <typename Family>
inline void Sealer::note_checksum(const std::uint8_t* ip, const Packet& packet, SealingSa& sa) noexcept {
  if (has_partial_checksum<Family>(ip, packet)) [[unlikely]]
    tally_.count(tally_.charge(sa, DropReason::partial_checksum));
  // RFC 8200 §8.1: only tunnels may leave the checksum out, and hosts drop such datagrams.
  if constexpr (Family::family == 6)
    if (load16(ip + packet.header_bytes + udp::checksum) == 0)
      tally_.count(tally_.charge(sa, DropReason::zero_checksum));
}

inline DropReason Sealer::check_limits(const SealingSa& sa, std::uint64_t now_tsc) const noexcept {
  if (now_tsc >= sa.seal_until_tsc.load(std::memory_order_relaxed)) [[unlikely]]
    return now_tsc >= sa.epoch->expires_tsc ? DropReason::sa_expired : DropReason::lease_expired;
  // The largest packet there is counts against the limit in advance, so the limit itself is never passed.
  if (sa.blocks.get() + blocks_of(65536) > settings_.hard_block_limit) [[unlikely]]
    return DropReason::counter_exhausted;
  if (sa.epoch->foreign && sa.next_number.get() > last_foreign_number) [[unlikely]]
    return DropReason::counter_exhausted;
  return DropReason::none;
}

// ---- Numbers, and what the engine is given.

// Takes the next number of the SA (H9). The packet leaves under it, or the number is never used.
inline std::uint64_t Sealer::take_number(SealingSa& sa, std::uint32_t plaintext_bytes) noexcept {
  const std::uint64_t number = sa.next(now_ms_);
  sa.use_up_to(number + 1);
  count_blocks(sa, blocks_of(plaintext_bytes));
  return number;
}

inline void Sealer::count_blocks(SealingSa& sa, std::uint64_t blocks) noexcept {
  sa.blocks.add(blocks);
  if (sa.blocks.get() >= settings_.soft_block_limit && !sa.limit_reported) [[unlikely]]
    sa.limit_reported = counter_limits_.push(sa.spi);
  if (!sa.timed.load(std::memory_order_relaxed)) [[unlikely]]
    note_sequence(sa);
}

void Sealer::note_sequence(SealingSa& sa) noexcept {
  if (sa.epoch->foreign && sa.next_number.get() >= soft_foreign_limit && !sa.limit_reported)
    sa.limit_reported = counter_limits_.push(sa.spi);
}

// ESP header and IV at esp, padding and trailer behind the payload_bytes that follow them.
inline void Sealer::add_esp(SealingSa& sa, std::uint64_t number, std::uint8_t* esp, std::uint32_t payload_bytes,
                            std::uint32_t plaintext_bytes, std::uint8_t next_header) noexcept {
  std::uint8_t* const text = esp + esp_front_bytes;
  store32(esp + esp::spi, sa.spi);
  store32(esp + esp::sequence, static_cast<std::uint32_t>(number));
  store64(esp + esp::iv, number);

  // Padding 1, 2, 3, ...; then its length and the next header.
  std::uint8_t* trailer = text + payload_bytes;
  const std::uint32_t pad = plaintext_bytes - payload_bytes - esp_trailer_bytes;
  for (std::uint32_t i = 1; i <= pad; ++i)
    *trailer++ = static_cast<std::uint8_t>(i);
  *trailer++ = static_cast<std::uint8_t>(pad);
  *trailer++ = next_header;

  add_item(sa, number, esp, plaintext_bytes);
}

// RFC 4106 nonce and AAD.
inline void Sealer::add_item(SealingSa& sa, std::uint64_t number, std::uint8_t* esp,
                             std::uint32_t plaintext_bytes) noexcept {
  std::uint8_t* const text = esp + esp_front_bytes;
  aead::SealItem& item = batch_.push(sa);
  item.data = text;
  item.length = plaintext_bytes;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = text + plaintext_bytes;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  store64(item.nonce.data() + 4, number);
  item.ok = false;
}

// ---- The modes.

// RFC 4303 tunnel mode with the addresses of the inner packet (RFC 5374 §3.1).
template <typename Family>
inline void Sealer::encapsulate(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  constexpr std::uint32_t front = Family::header_bytes + esp_front_bytes;
  const std::uint32_t inner_bytes = packet.total_bytes;
  std::uint8_t* const inner = frame.data + packet.ip_offset;
  std::uint8_t* const outer = inner - front;
  const std::uint32_t plaintext_bytes = esp_padded_bytes(inner_bytes);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);

  std::memcpy(frame.data - front, frame.data, link_copy_bytes);

  // Header fields are put together and summed in registers: to store bytes and load them again as words would stall.
  if constexpr (Family::family == 4) {
    // TOS: DSCP and ECN copied (RFC 4301 §5.1.2.1, RFC 6040 normal mode); DF copied; the identification follows the
    // number, for routers that ignore DF.
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
  add_esp(sa, number, outer + Family::header_bytes, inner_bytes, plaintext_bytes, Family::next_header);

  frame.data -= front;
  frame.headroom -= front;
  frame.tailroom -= sealed - front - inner_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(inner_bytes);
}

// A tunnel between the addresses that are configured for the group.
[[gnu::noinline]] void Sealer::encapsulate_fixed(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  const OuterHeader& header = sa.epoch->outer;
  const std::uint32_t outer_bytes = header.family == 4 ? min_ipv4_bytes : ipv6_header_bytes;
  const std::uint32_t front = outer_bytes + esp_front_bytes;
  const std::uint32_t plaintext_bytes = esp_padded_bytes(packet.total_bytes);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);
  const std::uint8_t* const inner = frame.data + packet.ip_offset;
  std::uint8_t* const start = frame.data - front;
  std::uint8_t* const outer = start + packet.ip_offset;
  const std::uint8_t ttl = header.ttl == 0 ? packet.ttl : header.ttl;
  const std::uint8_t traffic_class = outer_class(header, packet);
  // RFC 4301 §8.1: DF is the inner packet's; an inner IPv6 packet may not be cut on its way either.
  const bool dont_fragment = packet.family == 6 || (inner[ipv4::fragment] & ipv4::dont_fragment_byte) != 0;

  std::memcpy(start, frame.data, link_copy_bytes);
  if (header.family == 4) {
    outer[ipv4::version] = ipv4::version_plain;
    outer[ipv4::tos] = traffic_class;
    store16(outer + ipv4::total_length, static_cast<std::uint16_t>(sealed));
    store16(outer + ipv4::identification, static_cast<std::uint16_t>(number));
    store16(outer + ipv4::fragment, dont_fragment ? ipv4::dont_fragment : 0);
    outer[ipv4::ttl] = ttl;
    outer[ipv4::protocol] = protocol_esp;
    store32(outer + ipv4::source, header.source);
    store32(outer + ipv4::destination, header.destination);
    put_ipv4_checksum(outer, min_ipv4_bytes);
    address_link<V4>(start, packet.ip_offset, header.destination);
  } else {
    store32(outer + ipv6::version,
            (std::uint32_t{6} << 28) | (std::uint32_t{traffic_class} << 20) | flow_label(sa.spi));
    store16(outer + ipv6::payload_length, static_cast<std::uint16_t>(sealed - ipv6_header_bytes));
    outer[ipv6::next_header] = protocol_esp;
    outer[ipv6::hop_limit] = ttl;
    store64(outer + ipv6::source, header.source6.high);
    store64(outer + ipv6::source + 8, header.source6.low);
    store64(outer + ipv6::destination, header.destination6.high);
    store64(outer + ipv6::destination + 8, header.destination6.low);
    address_link<V6>(start, packet.ip_offset, header.destination6);
  }
  add_esp(sa, number, outer + outer_bytes, packet.total_bytes, plaintext_bytes,
          packet.family == 4 ? protocol_ipv4 : protocol_ipv6);

  frame.data = start;
  frame.headroom -= front;
  frame.tailroom -= sealed - front - packet.total_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(packet.total_bytes);
}

// RFC 4303 §3.1.1: ESP stands behind the IPv4 header and its options; behind those IPv6 extension headers that routers
// look at, before destination options of the last hop. What it protects names itself in ESP's next header.
[[gnu::noinline]] void Sealer::insert_esp(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  const std::uint32_t kept = packet.esp_place;
  const std::uint32_t payload_bytes = packet.total_bytes - kept;
  const std::uint32_t plaintext_bytes = esp_padded_bytes(payload_bytes);
  const std::uint32_t sealed = kept + esp_front_bytes + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);

  std::uint8_t* const start = frame.data - esp_front_bytes;
  std::memmove(start, frame.data, packet.ip_offset + kept);
  std::uint8_t* const ip = start + packet.ip_offset;
  const std::uint8_t next_header = ip[packet.esp_field];
  ip[packet.esp_field] = protocol_esp;
  if (packet.family == 4) {
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(sealed));
    put_ipv4_checksum(ip, kept);
  } else {
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(sealed - ipv6_header_bytes));
  }
  add_esp(sa, number, ip + kept, payload_bytes, plaintext_bytes, next_header);

  frame.data = start;
  frame.headroom -= esp_front_bytes;
  frame.tailroom -= sealed - esp_front_bytes - packet.total_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(packet.total_bytes);
}

}  // namespace sealcast::dataplane
