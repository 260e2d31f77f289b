// Black to red: parse, find the SA, check replay for every frame of the burst; open them in one call; commit, check
// what came out, decapsulate. Tunnel modes stand here, transport mode in worker_modes.cc.
#include "base/secret.h"
#include "dataplane/path/worker_lean.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t tag_bytes = aead::tag_bytes;

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

void Worker::black_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  auto& open = scratch_->open;
  open.clear();
  scratch_->open_tsc = now_tsc;
  if (snapshot.spis.size() > few_groups) fetch_for_opening(frames, snapshot);
  OpenRun run;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::uint32_t before = open.size;
    if (!admit_lean(frames[i], now_tsc, snapshot, run)) [[unlikely]] {
      const DropReason reason = admit_black(frames[i], now_tsc, snapshot);
      if (reason != DropReason::none) drop(frames[i], reason);
      if (open.size == before) continue;
    }
    open.frames[before] = static_cast<std::uint8_t>(i);
  }
  if (open.size == 0) return;

  by_key(std::span(open.items.data(), open.size), !open.several_keys || !keys_together_, scratch_->open_sorted,
         [this](std::span<aead::OpenItem> items) { engine_.open(items); });

  StripRun strip;
  std::uint64_t opened = 0;
  for (std::uint32_t i = 0; i < open.size; ++i) {
    Frame& frame = frames[open.frames[i]];
    const DropReason reason = strip_lean(frame, i, strip) ? DropReason::none : decapsulate(frame, i);
    if (reason != DropReason::none) [[unlikely]] {
      // Nothing of what was opened and then refused stays in a buffer that others may be able to map.
      if (open.items[i].ok) wipe(open.items[i].data, open.items[i].length);
      OpeningSa& sa = *open.sas[i];
      if (reason == DropReason::replay) {
        sa.replay.count_refused(scratch_->opened[i].number);
      } else if (open.items[i].ok) {
        sa.refused.add(1);
      }
      drop(frame, charge(sa, reason));
      continue;
    }
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
    ++opened;
  }
  settle(strip);
  counters_.opened.add(opened);
}

[[gnu::noinline]] DropReason Worker::admit_black(Frame& frame, std::uint64_t now_tsc,
                                                 const Snapshot& snapshot) noexcept {
  Packet packet;
  std::uint16_t type = 0;
  if (!parse_link(frame, type, packet.ip_offset)) return DropReason::short_frame;
  if (type != ether_type_ipv4) [[unlikely]]
    return admit_black_other(frame, now_tsc, snapshot);
  packet.ether_type = type;
  const DropReason bad = parse_ipv4(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet);
  if (bad != DropReason::none) [[unlikely]]
    return bad;
  cut_padding(frame, packet);
  if (!is_multicast(packet)) [[unlikely]]
    return other_from_black(frame, Packet(packet), DropReason::not_multicast, now_tsc, snapshot);
  return admit_esp<V4>(frame, packet, now_tsc, snapshot);
}

// All but IPv4. On its own so that the packet of the IPv4 path stays in registers.
[[gnu::noinline]] DropReason Worker::admit_black_other(Frame& frame, std::uint64_t now_tsc,
                                                       const Snapshot& snapshot) noexcept {
  Packet packet;
  const DropReason bad = parse_frame(frame, packet);
  if (bad == DropReason::not_ip || bad == DropReason::not_multicast)
    return other_from_black(frame, packet, bad, now_tsc, snapshot);
  return bad != DropReason::none ? bad : admit_esp<V6>(frame, packet, now_tsc, snapshot);
}

template <typename Family>
[[gnu::noinline]] DropReason Worker::admit_clear(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
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
  const DropReason reason = other_from_black(frame, packet, why, now_tsc, snapshot);
  return reason == DropReason::clear_on_black ? charge_group(snapshot, group, reason) : reason;
}

template <typename Family>
inline DropReason Worker::admit_esp(Frame& frame, const Packet& packet, std::uint64_t now_tsc,
                                    const Snapshot& snapshot) noexcept {
  if (packet.protocol != protocol_esp) [[unlikely]]
    return admit_clear<Family>(frame, Packet(packet), now_tsc, snapshot);
  if (packet.fragment) [[unlikely]]
    return black_fragment(frame, Packet(packet));

  const std::uint32_t esp_bytes = packet.total_bytes - packet.header_bytes;
  constexpr std::uint32_t fixed = esp_front_bytes + tag_bytes;
  if (esp_bytes < fixed + padded(0) || (esp_bytes - fixed) % 4 != 0) return DropReason::esp_length;
  std::uint8_t* const esp = frame.data + packet.ip_offset + packet.header_bytes;
  const std::uint32_t spi = load32(esp + esp::spi);
  const SpiTable::Entry* entry = snapshot.spis.find(spi);
  if (entry == nullptr) return unknown_spi(frame, spi, now_tsc, snapshot);
  if (entry->own != 0) return DropReason::own_spi;
  if (entry->worker != index_) {
    frame.verdict = Verdict::hand_off;
    frame.target = static_cast<std::uint16_t>(entry->worker);
    return DropReason::none;
  }

  OpeningSa& sa = *entry->sa;
  const EpochRules& rules = *sa.epoch;
  if (now_tsc >= sa.expires_tsc) return charge(sa, DropReason::sa_expired);
  // The smallest text of a tunnel: an IPv4 header and the trailer.
  if (rules.mode != EspMode::transport && esp_bytes < fixed + padded(min_ipv4_bytes))
    return charge(sa, DropReason::esp_length);
  if (!addresses_allowed<Family>(rules, packet)) return charge(sa, DropReason::selector_mismatch);
  const std::uint64_t number = load64(esp + esp::iv);
  if (static_cast<std::uint32_t>(number) != load32(esp + esp::sequence))
    return charge(sa, DropReason::iv_sequence_mismatch);
  if (!sa.replay.check(number)) {
    sa.replay.count_refused(number);
    return charge(sa, DropReason::replay);
  }

  push_open_item(sa, esp, esp_bytes - fixed,
                 {.number = number,
                  .header_bytes = static_cast<std::uint16_t>(packet.header_bytes),
                  .protocol_field = static_cast<std::uint16_t>(packet.protocol_field),
                  .ip_offset = static_cast<std::uint8_t>(packet.ip_offset),
                  .family = Family::family,
                  .lean = false});
  return DropReason::none;
}

// The tag first, then the window again (two copies may stand in one burst), then everything the key's holder could lie
// about. Only a packet that passed it all leaves its place in the buffer.
[[gnu::noinline]] DropReason Worker::decapsulate(Frame& frame, std::uint32_t i) noexcept {
  const Scratch& scratch = *scratch_;
  const aead::OpenItem& item = scratch.open.items[i];
  OpeningSa& sa = *scratch.open.sas[i];
  if (!item.ok) return DropReason::bad_tag;
  if (!sa.replay.commit(scratch.opened[i].number)) return DropReason::replay;

  const std::uint8_t* const text = item.data;
  const std::uint32_t pad = text[item.length - 2];
  if (pad + esp_trailer_bytes > item.length) return DropReason::bad_padding;
  const std::uint32_t text_bytes = item.length - esp_trailer_bytes - pad;
  for (std::uint32_t n = 0; n < pad; ++n) {
    if (text[text_bytes + n] != n + 1) return DropReason::bad_padding;
  }
  const std::uint8_t next_header = text[item.length - 1];
  if (sa.epoch->mode == EspMode::transport) [[unlikely]]
    return scratch.opened[i].family == 4 ? open_transport<V4>(frame, i, text_bytes)
                                         : open_transport<V6>(frame, i, text_bytes);
  if (next_header == V4::next_header) [[likely]]
    return open_tunnel<V4>(frame, i, text_bytes);
  if (next_header == V6::next_header) return open_tunnel<V6>(frame, i, text_bytes);
  return next_header == group_datagram_next_header ? take_datagram(i, text_bytes) : DropReason::bad_next_header;
}

template <typename Family>
inline DropReason Worker::open_tunnel(Frame& frame, std::uint32_t i, std::uint32_t text_bytes) noexcept {
  const Scratch& scratch = *scratch_;
  OpeningSa& sa = *scratch.open.sas[i];
  const EpochRules& rules = *sa.epoch;
  std::uint8_t* const inner = scratch.open.items[i].data;
  Packet packet;
  if (Family::parse(inner, text_bytes, packet) != DropReason::none) return DropReason::bad_inner_packet;
  const std::uint32_t ip_offset = scratch.opened[i].ip_offset;
  const std::uint8_t* const outer = frame.data + ip_offset;
  const bool same_family = scratch.opened[i].family == Family::family;
  const bool fixed = rules.mode == EspMode::tunnel_fixed;
  if (!fixed && (!same_family || std::memcmp(outer + Family::address_offset, inner + Family::address_offset,
                                             Family::addresses_bytes) != 0))
    return DropReason::outer_inner_mismatch;
  if (const DropReason bad = check_opened<Family>(rules, inner, packet); bad != DropReason::none) return bad;
  const std::uint8_t outer_ecn = (scratch.opened[i].family == 4 ? outer[ipv4::tos] : outer[ipv6::version + 1] >> 4) & 3;
  const std::uint8_t inner_ecn = packet.traffic_class & 3;
  const std::uint8_t ecn = ecn_combined[inner_ecn][outer_ecn];
  if (ecn == ecn_drop) return DropReason::ecn_illegal;
  if (ecn != inner_ecn) set_ecn<Family>(inner, ecn);

  const std::uint32_t shift = scratch.opened[i].header_bytes + esp_front_bytes;
  const std::uint32_t old_length = frame.length;
  move_link_header(frame.data + shift, frame.data, ip_offset);
  frame.data += shift;
  frame.headroom += shift;
  frame.length = ip_offset + packet.total_bytes;
  frame.tailroom += old_length - shift - frame.length;
  if (fixed) [[unlikely]]
    address_link<Family>(frame.data, ip_offset, Family::destination(packet));
  sa.packets.add(1);
  sa.bytes.add(packet.total_bytes);
  return DropReason::none;
}

}  // namespace sealcast::dataplane
