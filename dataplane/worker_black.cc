// Black to red: parse, find the SA, check replay for every frame of the burst; open them in one call; commit, check
// what came out, decapsulate.
#include "base/secret.h"
#include "dataplane/packet.h"
#include "dataplane/worker_scratch.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t esp_header_bytes = 8;
constexpr std::uint32_t iv_bytes = 8;
constexpr std::uint32_t tag_bytes = aead::tag_bytes;
constexpr std::uint32_t trailer_bytes = 2;  // pad length, next header
// The smallest sealed text: an IPv4 header and the trailer, filled up to a multiple of 4.
constexpr std::uint32_t min_sealed_text = (min_ipv4_bytes + trailer_bytes + 3) & ~3U;

bool addresses_allowed(const std::vector<Rule>& rules, const Packet& packet) {
  for (const Rule& rule : rules)
    if (rule.addresses_match(packet.destination, packet.source)) return true;
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

// Sets the ECN bits and mends the header checksum (RFC 1624).
void set_ecn(std::uint8_t* ip, std::uint8_t ecn) {
  const std::uint16_t before = load16(ip);
  ip[1] = static_cast<std::uint8_t>((ip[1] & 0xfc) | ecn);
  const std::uint16_t after = load16(ip);
  const std::uint32_t sum =
      static_cast<std::uint16_t>(~load16(ip + 10)) + std::uint32_t{static_cast<std::uint16_t>(~before)} + after;
  store16(ip + 10, static_cast<std::uint16_t>(~fold16(sum)));
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
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::uint32_t before = open.size;
    const DropReason reason = admit_black(frames[i], now_tsc, snapshot);
    if (reason != DropReason::none) drop(frames[i], reason);
    if (open.size != before) open.frames[before] = static_cast<std::uint8_t>(i);
  }
  if (open.size == 0) return;

  by_key(std::span(open.items.data(), open.size), scratch_->open_sorted,
         [this](std::span<aead::OpenItem> items) { engine_.open(items); });

  for (std::uint32_t i = 0; i < open.size; ++i) {
    Frame& frame = frames[open.frames[i]];
    const DropReason reason = decapsulate(frame, i);
    if (reason != DropReason::none) {
      // Nothing of what was opened and then refused stays in a buffer that others may be able to map.
      if (open.items[i].ok) wipe(open.items[i].data, open.items[i].length);
      drop(frame, reason);
      continue;
    }
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
    counters_.opened.add(1);
  }
}

DropReason Worker::admit_black(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  Packet packet;
  const DropReason bad = parse_frame(frame, packet);
  if (bad != DropReason::none) [[unlikely]] {
    const bool by_rule = bad == DropReason::not_ip || bad == DropReason::ipv6 || bad == DropReason::not_multicast;
    return by_rule ? other_from_black(frame, Packet(packet), bad, now_tsc, snapshot) : bad;
  }
  std::uint8_t* const ip = frame.data + packet.ip_offset;
  if (packet.protocol != protocol_esp) [[unlikely]] {
    DropReason why = DropReason::igmp_not_allowed;
    if (packet.protocol != protocol_igmp) {
      PacketKey key;
      if (!packet_key(ip, packet, key)) return DropReason::short_frame;
      std::uint32_t group = 0;
      const bool ours = snapshot.policy->find(key, group) != Match::none;
      why = ours ? DropReason::clear_on_black : DropReason::no_policy;
    }
    return other_from_black(frame, Packet(packet), why, now_tsc, snapshot);
  }
  if (packet.fragment) return DropReason::fragment;

  const std::uint32_t esp_bytes = packet.total_bytes - packet.header_bytes;
  constexpr std::uint32_t fixed = esp_header_bytes + iv_bytes + tag_bytes;
  if (esp_bytes < fixed + min_sealed_text || (esp_bytes - fixed) % 4 != 0) return DropReason::esp_length;
  std::uint8_t* const esp = ip + packet.header_bytes;
  const std::uint32_t spi = load32(esp);
  const SpiTable::Entry* entry = snapshot.spis.find(spi);
  if (entry == nullptr) return unknown_spi(frame, spi, now_tsc, snapshot);
  if (entry->own != 0) return DropReason::own_spi;
  if (entry->worker != index_) {
    frame.verdict = Verdict::hand_off;
    frame.target = static_cast<std::uint16_t>(entry->worker);
    return DropReason::none;
  }

  OpeningSa& sa = *entry->sa;
  if (now_tsc >= sa.epoch->expires_tsc) return DropReason::sa_expired;
  if (!addresses_allowed(sa.epoch->rules, packet)) return DropReason::selector_mismatch;
  const std::uint64_t number = load64(esp + esp_header_bytes);
  if (static_cast<std::uint32_t>(number) != load32(esp + 4)) return DropReason::iv_sequence_mismatch;
  if (!sa.replay.check(number)) {
    sa.replays.add(1);
    return DropReason::replay;
  }

  Scratch& scratch = *scratch_;
  auto& open = scratch.open;
  const std::uint32_t i = open.size++;
  open.sas[i] = &sa;
  scratch.open_number[i] = number;
  scratch.open_ip_offset[i] = packet.ip_offset;
  scratch.open_header_bytes[i] = packet.header_bytes;
  aead::OpenItem& item = open.items[i];
  item.key = &sa.key;
  item.data = esp + esp_header_bytes + iv_bytes;
  item.length = esp_bytes - fixed;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = item.data + item.length;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  std::memcpy(item.nonce.data() + 4, esp + esp_header_bytes, iv_bytes);
  item.ok = false;
  return DropReason::none;
}

// The tag first, then the window again (two copies may stand in one burst), then everything the key's holder could lie
// about. Only a packet that passed it all leaves its place in the buffer.
DropReason Worker::decapsulate(Frame& frame, std::uint32_t i) noexcept {
  const Scratch& scratch = *scratch_;
  const aead::OpenItem& item = scratch.open.items[i];
  OpeningSa& sa = *scratch.open.sas[i];
  if (!item.ok) {
    sa.bad_tags.add(1);
    return DropReason::bad_tag;
  }
  if (!sa.replay.commit(scratch.open_number[i])) {
    sa.replays.add(1);
    return DropReason::replay;
  }

  std::uint8_t* const inner = item.data;
  const std::uint32_t pad = inner[item.length - 2];
  if (pad + trailer_bytes > item.length) return DropReason::bad_padding;
  const std::uint32_t available = item.length - trailer_bytes - pad;
  for (std::uint32_t n = 0; n < pad; ++n) {
    if (inner[available + n] != n + 1) return DropReason::bad_padding;
  }
  if (inner[item.length - 1] != protocol_ipv4) return DropReason::bad_next_header;

  Packet packet;
  if (parse_ipv4(inner, available, packet) != DropReason::none) return DropReason::bad_inner_packet;
  const std::uint32_t ip_offset = scratch.open_ip_offset[i];
  const std::uint8_t* const outer = frame.data + ip_offset;
  if (std::memcmp(outer + 12, inner + 12, 8) != 0) return DropReason::outer_inner_mismatch;
  if (packet.protocol == protocol_esp) return DropReason::nested_esp;
  if (packet.protocol == protocol_igmp) return DropReason::igmp_not_allowed;
  PacketKey key;
  if (!packet_key(inner, packet, key)) return DropReason::bad_inner_packet;
  switch (match_any(sa.epoch->rules, key)) {  // H16
    case Match::none:
      return DropReason::selector_mismatch;
    case Match::needs_ports:
      return DropReason::fragment;
    case Match::found:
      break;
  }
  for (const Rule& rule : local_red_) {
    if (((packet.source ^ rule.source) & rule.source_mask) == 0) return DropReason::local_red_source;
  }
  if (packet.total_bytes > settings_.red_mtu) return DropReason::too_big_for_red;
  const std::uint8_t ecn = ecn_combined[inner[1] & 3][outer[1] & 3];
  if (ecn == ecn_drop) return DropReason::ecn_illegal;
  if (ecn != (inner[1] & 3)) set_ecn(inner, ecn);

  const std::uint32_t shift = scratch.open_header_bytes[i] + esp_header_bytes + iv_bytes;
  const std::uint32_t old_length = frame.length;
  move_link_header(frame.data + shift, frame.data, ip_offset);
  frame.data += shift;
  frame.headroom += shift;
  frame.length = ip_offset + packet.total_bytes;
  frame.tailroom += old_length - shift - frame.length;
  sa.packets.add(1);
  sa.bytes.add(packet.total_bytes);
  return DropReason::none;
}

}  // namespace sealcast::dataplane
