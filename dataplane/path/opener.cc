#include "dataplane/path/opener.h"

#include <cstring>

#include "base/esp_overhead.h"
#include "base/secret.h"
#include "dataplane/packet/link_address.h"
#include "dataplane/path/intake.h"
#include "dataplane/path/opener_lean.h"

namespace sealcast::dataplane {
namespace {

template <typename Family>
bool addresses_allowed(const EpochRules& rules, const Packet& packet) {
  if (rules.mode == EspMode::tunnel_fixed) {
    if (rules.outer.family != Family::family) return false;
    if constexpr (Family::family == 4) {
      return packet.destination == rules.outer.destination;
    } else {
      return packet.destination6 == rules.outer.destination6;
    }
  }
  for (const auto& rule : rules.of<typename Family::Address>())
    if (rule.addresses_match(Family::destination(packet), Family::source(packet))) return true;
  return false;
}

// RFC 6040 §4.2: what the inner ECN field becomes; 4 = drop.
constexpr std::uint8_t ecn_drop = 4;
constexpr std::uint8_t ecn_combined[4][4] = {
    // outer: Not-ECT, ECT(1), ECT(0), CE
    {0, 0, 0, ecn_drop},  // inner Not-ECT
    {1, 1, 1, 3},         // inner ECT(1)
    {2, 1, 2, 3},         // inner ECT(0)
    {3, 3, 3, 3},         // inner CE
};

// Sets the ECN bits; IPv4: and mends the header checksum (RFC 1624).
template <typename Family>
void set_ecn(std::uint8_t* ip, std::uint8_t ecn) {
  if constexpr (Family::family == 6) {
    ip[ipv6::version + 1] = static_cast<std::uint8_t>((ip[ipv6::version + 1] & 0xcf) | (ecn << 4));
  } else {
    const std::uint16_t before = load16(ip + ipv4::version);
    ip[ipv4::tos] = static_cast<std::uint8_t>((ip[ipv4::tos] & 0xfc) | ecn);
    const std::uint16_t after = load16(ip + ipv4::version);
    const std::uint32_t sum = static_cast<std::uint16_t>(~load16(ip + ipv4::checksum)) +
                              std::uint32_t{static_cast<std::uint16_t>(~before)} + after;
    store16(ip + ipv4::checksum, static_cast<std::uint16_t>(~fold16(sum)));
  }
}

void move_link_header(std::uint8_t* to, const std::uint8_t* from, std::uint32_t bytes) {
  if (bytes == ethernet_bytes) {
    std::memcpy(to, from, ethernet_bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

}  // namespace

Opener::Opener(std::uint32_t worker, const PathSettings& settings, const aead::Engine& engine, Tally& tally,
               ClearPath& clear_path, MissingKeys& missing_keys, SourceGuard& source_guard)
    : worker_(worker),
      settings_(settings),
      scale_(settings.tsc_hz),
      tally_(tally),
      clear_path_(clear_path),
      missing_keys_(missing_keys),
      source_guard_(source_guard),
      signature_(settings.red_mac),
      fragments_(settings.tsc_hz),
      batch_(engine) {}

void Opener::burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot, Judge judge) noexcept {
  now_ms_ = scale_.milliseconds(now_tsc);
  source_guard_.begin_burst(snapshot, now_ms_);
  judge_ = judge;
  in_chunks(frames, [&](std::span<Frame> chunk) { open_chunk(chunk, now_tsc, snapshot); });
}

void Opener::open_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  batch_.clear();
  burst_tsc_ = now_tsc;
  if (snapshot.spis.size() > few_groups) fetch(frames, snapshot);
  OpenRun run;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::uint32_t before = batch_.size();
    if (!admit_lean(frames[i], now_tsc, snapshot, run)) [[unlikely]] {
      const DropReason reason = Intake::admit(*this, frames[i], now_tsc, snapshot);
      if (reason != DropReason::none) tally_.drop(frames[i], reason, Side::black);
      if (batch_.size() == before) continue;
    }
    batch_.set_frame(before, i);
  }
  if (batch_.size() == 0) return;
  batch_.run();

  StripRun stripped;
  stripped.generation = source_guard_.generation();
  std::uint64_t opened = 0;
  for (std::uint32_t i = 0; i < batch_.size(); ++i) {
    Frame& frame = frames[batch_.frame(i)];
    const DropReason reason = strip_lean(frame, i, stripped) ? DropReason::none : strip(frame, i);
    if (reason != DropReason::none) [[unlikely]] {
      refuse(frame, i, reason);
      continue;
    }
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
    ++opened;
  }
  settle(stripped);
  tally_.opened(opened);
}

// What was opened and then refused is wiped: others may be able to map its buffer.
inline void Opener::refuse(Frame& frame, std::uint32_t i, DropReason reason) noexcept {
  const aead::OpenItem& item = batch_.item(i);
  if (item.ok) wipe(item.data, item.length);
  OpeningSa& sa = batch_.sa(i);
  if (reason == DropReason::replay) {
    sa.replay.count_refused(arrivals_[i].number);
  } else if (item.ok) {
    sa.refused.add(1);
  }
  tally_.drop(frame, tally_.charge(sa, reason), Side::black);
}

// ---- Which packets are opened, and under which SA.

template <typename Family>
[[gnu::noinline]] DropReason Opener::admit_clear(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                                                 const Snapshot& snapshot) noexcept {
  const std::uint8_t* const ip = frame.data + packet.ip_offset;
  DropReason why = membership_not_allowed<Family>;
  std::uint32_t group = 0;
  if (!is_membership_message(ip, packet)) {
    PacketKeyOf<typename Family::Address> key;
    if (!packet_key<Family>(ip, packet, key)) return DropReason::short_frame;
    const bool ours = snapshot.policy->find(key, group) != Match::none;
    why = ours ? DropReason::clear_on_black : DropReason::no_policy;
  }
  const DropReason reason = clear_path_.from_black(frame, packet, why, now_tsc, snapshot);
  return reason == DropReason::clear_on_black ? tally_.charge_group(snapshot, group, reason) : reason;
}

template <typename Family>
inline DropReason Opener::admit_multicast(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                                          const Snapshot& snapshot) noexcept {
  if (packet.protocol != protocol_esp) [[unlikely]]
    return admit_clear<Family>(frame, Packet(packet), now_tsc, snapshot);
  if (packet.fragment) [[unlikely]]
    return admit_fragment(frame, Packet(packet));

  const std::uint32_t esp_bytes = packet.total_bytes - packet.header_bytes;
  constexpr std::uint32_t fixed = esp_front_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  if (esp_bytes < fixed + esp_padded_bytes(0) || (esp_bytes - fixed) % 4 != 0) return DropReason::esp_length;
  std::uint8_t* const esp = frame.data + packet.ip_offset + packet.header_bytes;
  const std::uint32_t spi = load32(esp + esp::spi);
  const SpiTable::Entry* entry = snapshot.spis.find(spi);
  const std::uint64_t iv = load64(esp + esp::iv);
  if (entry == nullptr) return missing_keys_.take_in(frame, spi, time_of(iv), now_tsc, snapshot);
  if (entry->own != 0) return DropReason::own_spi;
  if (entry->worker != worker_) {
    frame.verdict = Verdict::hand_off;
    frame.target = static_cast<std::uint16_t>(entry->worker);
    return DropReason::none;
  }

  OpeningSa& sa = *entry->sa;
  const EpochRules& rules = *sa.epoch;
  if (now_tsc >= sa.expires_tsc) return tally_.charge(sa, DropReason::sa_expired);
  // The smallest text of a tunnel: an IPv4 header and the trailer.
  if (rules.mode != EspMode::transport && esp_bytes < fixed + esp_padded_bytes(min_ipv4_bytes))
    return tally_.charge(sa, DropReason::esp_length);
  if (!addresses_allowed<Family>(rules, packet)) return tally_.charge(sa, DropReason::selector_mismatch);
  const std::uint32_t sequence = load32(esp + esp::sequence);
  const std::uint64_t number = sa.number_of(iv, sequence);
  if (static_cast<std::uint32_t>(number) != sequence) return tally_.charge(sa, DropReason::iv_sequence_mismatch);
  if (const DropReason bad = judge(sa, number); bad != DropReason::none) [[unlikely]]
    return tally_.charge(sa, bad);

  add_item(sa, esp, esp_bytes - fixed,
           {.number = number,
            .header_bytes = static_cast<std::uint16_t>(packet.header_bytes),
            .protocol_field = static_cast<std::uint16_t>(packet.protocol_field),
            .ip_offset = static_cast<std::uint8_t>(packet.ip_offset),
            .family = Family::family,
            .lean = false});
  return DropReason::none;
}

inline DropReason Opener::judge(OpeningSa& sa, std::uint64_t number) noexcept {
  if (!sa.replay.check(number)) [[unlikely]] {
    sa.replay.count_refused(number);
    return DropReason::replay;
  }
  const FreshTimes::Bounds bounds = fresh(sa);
  if (bounds.has(time_of(number), now_ms_)) [[likely]]
    return DropReason::none;
  const std::int32_t distance = bounds.distance(time_of(number), now_ms_);
  sa.last_distance_ms.store(distance, std::memory_order_relaxed);
  return distance < 0 ? DropReason::stale : DropReason::early;
}

// A fragment of an ESP packet. Once it is whole, the packet layer brings the packet here again.
DropReason Opener::admit_fragment(Frame& frame, const Packet& packet) noexcept {
  if (!settings_.reassemble) return DropReason::fragment;
  if (const DropReason bad = can_reassemble(frame.data + packet.ip_offset, packet); bad != DropReason::none) return bad;
  frame.verdict = Verdict::reassemble;
  return DropReason::none;
}

// RFC 4106 nonce and AAD.
inline void Opener::add_item(OpeningSa& sa, std::uint8_t* esp, std::uint32_t length, const Arrival& arrival) noexcept {
  arrivals_[batch_.size()] = arrival;
  aead::OpenItem& item = batch_.push(sa);
  item.data = esp + esp_front_bytes;
  item.length = length;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = item.data + length;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  std::memcpy(item.nonce.data() + 4, esp + esp::iv, esp_iv_bytes);
  item.ok = false;
}

// ---- Opened packets.

// First the tag, then the window again, for two copies may stand in one burst, then all that the holder of the key
// could lie about. Only a packet that passed all of it is moved in its buffer.
[[gnu::noinline]] DropReason Opener::strip(Frame& frame, std::uint32_t i) noexcept {
  const aead::OpenItem& item = batch_.item(i);
  OpeningSa& sa = batch_.sa(i);
  if (!item.ok) return DropReason::bad_tag;
  if (!sa.replay.commit(arrivals_[i].number)) return DropReason::replay;

  const std::uint8_t* const text = item.data;
  const std::uint32_t pad = text[item.length - 2];
  if (pad + esp_trailer_bytes > item.length) return DropReason::bad_padding;
  const std::uint32_t text_bytes = item.length - esp_trailer_bytes - pad;
  for (std::uint32_t n = 0; n < pad; ++n) {
    if (text[text_bytes + n] != n + 1) return DropReason::bad_padding;
  }
  const std::uint8_t next_header = text[item.length - 1];
  if (sa.epoch->mode == EspMode::transport) [[unlikely]]
    return arrivals_[i].family == 4 ? strip_transport<V4>(frame, i, text_bytes)
                                    : strip_transport<V6>(frame, i, text_bytes);
  if (next_header == V4::next_header) [[likely]]
    return strip_tunnel<V4>(frame, i, text_bytes);
  if (next_header == V6::next_header) return strip_tunnel<V6>(frame, i, text_bytes);
  return next_header == group_datagram_next_header ? take_datagram(i, text_bytes) : DropReason::bad_next_header;
}

template <typename Family>
inline DropReason Opener::check_inner(const EpochRules& rules, const std::uint8_t* ip, const Packet& packet) noexcept {
  if (packet.protocol == protocol_esp || packet.protocol == protocol_ah) return DropReason::nested_esp;
  if (is_membership_message(ip, packet)) return membership_not_allowed<Family>;
  PacketKeyOf<typename Family::Address> key;
  if (!packet_key<Family>(ip, packet, key)) return DropReason::bad_inner_packet;
  if (match_any(rules.of<typename Family::Address>(), key) == Match::none) return DropReason::selector_mismatch;  // H16
  if (const DropReason bad = source_guard_.may_leave_on_red(key.source); bad != DropReason::none) [[unlikely]]
    return bad;
  if (packet.total_bytes > settings_.red_mtu) return DropReason::too_big_for_red;
  if (packet.fragment) [[unlikely]]
    return fragments_.match(ip, Packet(packet), key, burst_tsc_, rules.of<typename Family::Address>());
  return DropReason::none;
}

template <typename Family>
inline DropReason Opener::strip_tunnel(Frame& frame, std::uint32_t i, std::uint32_t text_bytes) noexcept {
  OpeningSa& sa = batch_.sa(i);
  const EpochRules& rules = *sa.epoch;
  std::uint8_t* const inner = batch_.item(i).data;
  Packet packet;
  if (Family::parse(inner, text_bytes, packet) != DropReason::none) return DropReason::bad_inner_packet;
  const std::uint32_t ip_offset = arrivals_[i].ip_offset;
  const std::uint8_t* const outer = frame.data + ip_offset;
  const bool same_family = arrivals_[i].family == Family::family;
  const bool fixed = rules.mode == EspMode::tunnel_fixed;
  if (!fixed && (!same_family || std::memcmp(outer + Family::address_offset, inner + Family::address_offset,
                                             Family::addresses_bytes) != 0))
    return DropReason::outer_inner_mismatch;
  if (const DropReason bad = check_inner<Family>(rules, inner, packet); bad != DropReason::none) return bad;
  const std::uint8_t outer_ecn = (arrivals_[i].family == 4 ? outer[ipv4::tos] : outer[ipv6::version + 1] >> 4) & 3;
  const std::uint8_t inner_ecn = packet.traffic_class & 3;
  const std::uint8_t ecn = ecn_combined[inner_ecn][outer_ecn];
  if (ecn == ecn_drop) return DropReason::ecn_illegal;
  if (ecn != inner_ecn) set_ecn<Family>(inner, ecn);

  const std::uint32_t shift = arrivals_[i].header_bytes + esp_front_bytes;
  const std::uint32_t old_length = frame.length;
  move_link_header(frame.data + shift, frame.data, ip_offset);
  frame.data += shift;
  frame.headroom += shift;
  frame.length = ip_offset + packet.total_bytes;
  frame.tailroom += old_length - shift - frame.length;
  if (fixed) [[unlikely]]
    address_link<Family>(frame.data, ip_offset, Family::destination(packet));
  signature_.sign(frame.data);
  sa.packets.add(1);
  sa.bytes.add(packet.total_bytes);
  return DropReason::none;
}

// The IP header is the sender's own. Only the selectors and a UDP checksum protect it: if an address is changed on the
// way to another one of the group, nothing here notices. docs/dataplane.md says so.
template <typename Family>
[[gnu::noinline]] DropReason Opener::strip_transport(Frame& frame, std::uint32_t i, std::uint32_t text_bytes) noexcept {
  const aead::OpenItem& item = batch_.item(i);
  OpeningSa& sa = batch_.sa(i);
  const std::uint8_t next_header = item.data[item.length - 1];
  if (next_header == protocol_esp || next_header == protocol_ah) return DropReason::nested_esp;
  if (next_header == group_datagram_next_header) return take_datagram(i, text_bytes);
  // A dummy packet (RFC 4303 §2.6). Headers that routers look at do not stand behind ESP either.
  if (next_header == dummy_next_header) return DropReason::bad_next_header;
  if (Family::family == 6 &&
      (next_header == header_hop_by_hop || next_header == header_routing || next_header == header_fragment))
    return DropReason::bad_next_header;

  const std::uint32_t ip_offset = arrivals_[i].ip_offset;
  const std::uint32_t header_bytes = arrivals_[i].header_bytes;
  const std::uint32_t total = header_bytes + text_bytes;
  const std::uint32_t old_length = frame.length;
  std::memmove(frame.data + esp_front_bytes, frame.data, ip_offset + header_bytes);
  std::uint8_t* const ip = frame.data + esp_front_bytes + ip_offset;
  ip[arrivals_[i].protocol_field] = next_header;
  if constexpr (Family::family == 4) {
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(total));
    put_ipv4_checksum(ip, header_bytes);
  } else {
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(total - ipv6_header_bytes));
  }
  frame.data += esp_front_bytes;
  frame.headroom += esp_front_bytes;
  frame.length = ip_offset + total;
  frame.tailroom += old_length - esp_front_bytes - frame.length;

  Packet packet{};
  if (Family::parse(ip, total, packet) != DropReason::none || packet.fragment) return DropReason::bad_inner_packet;
  if (const DropReason bad = check_inner<Family>(*sa.epoch, ip, packet); bad != DropReason::none) return bad;
  signature_.sign(frame.data);
  sa.packets.add(1);
  sa.bytes.add(total);
  return DropReason::none;
}

[[gnu::noinline, gnu::cold]] DropReason Opener::take_datagram(std::uint32_t i, std::uint32_t text_bytes) noexcept {
  return datagrams_.take(batch_.sa(i).spi, {batch_.item(i).data, text_bytes});
}

}  // namespace sealcast::dataplane
