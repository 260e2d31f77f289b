// Black to red for runs of lean packets (lean_ipv4.h) in tunnels that keep the addresses. What packets of one sender
// have in common is looked up once a run, and what they count is added up in registers until it ends. Each of these
// functions may say no to any packet; nothing is changed then, and the general way decides. Only opener.cc includes
// this.
#pragma once

#include "dataplane/packet/lean_ipv4.h"
#include "dataplane/path/opener.h"

namespace sealcast::dataplane {

struct Opener::OpenRun {
  OpeningSa* sa = nullptr;
  std::uint32_t spi = 0;
  std::uint32_t earliest = 0, fresh_span = 0;  // times of numbers
};

// Consecutive packets under one SA, opened.
struct Opener::StripRun {
  OpeningSa* sa = nullptr;
  std::uint64_t packets = 0, bytes = 0;
  std::uint32_t generation = 0;  // of the burst
};

// Brings near what the packets of a burst are going to read, as Sealer::fetch() does.
[[gnu::noinline]] inline void Opener::fetch(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept {
  constexpr std::uint32_t esp_offset = ethernet_bytes + min_ipv4_bytes;
  std::array<const std::uint8_t*, max_burst> packets;  // from the ESP header on
  std::array<const OpeningSa*, max_burst> sas;
  std::size_t n = 0;
  for (const Frame& frame : frames) {
    if (frame.length < esp_offset + esp_front_bytes) continue;
    packets[n] = frame.data + esp_offset;
    snapshot.spis.prefetch(load32(packets[n++] + esp::spi));
  }
  for (std::size_t i = 0; i < n; ++i) {
    const SpiTable::Entry* const entry = snapshot.spis.find(load32(packets[i] + esp::spi));
    sas[i] = entry != nullptr && entry->worker == worker_ ? entry->sa : nullptr;
    if (sas[i] == nullptr) continue;
    __builtin_prefetch(sas[i], 1);
    __builtin_prefetch(&sas[i]->packets, 1);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (sas[i] == nullptr) continue;
    sas[i]->replay.prefetch(load64(packets[i] + esp::iv));
    batch_.engine().prefetch(sas[i]->key);
  }
}

// Without an SA: the general way has to say why.
[[gnu::noinline]] inline OpeningSa* Opener::sa_of_sender(const std::uint8_t* ip, std::uint32_t spi,
                                                         std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  const SpiTable::Entry* entry = snapshot.spis.find(spi);
  if (entry == nullptr || entry->own != 0 || entry->worker != worker_) return nullptr;
  OpeningSa& sa = *entry->sa;
  if (now_tsc >= sa.expires_tsc || !sa.keeps_addresses) return nullptr;
  if (words_of(ip + ipv4::source) == sa.flow_addresses) return &sa;
  const Address4 source = load32(ip + ipv4::source), destination = load32(ip + ipv4::destination);
  for (const Rule& rule : sa.epoch->rules) {
    if (!rule.addresses_match(destination, source)) continue;
    sa.flow_addresses = words_of(ip + ipv4::source);
    sa.flow_generation = 0;
    return &sa;
  }
  return nullptr;
}

[[gnu::always_inline]] inline bool Opener::admit_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot,
                                                      OpenRun& run) noexcept {
  constexpr std::uint32_t fixed = esp_front_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  constexpr std::uint32_t least = min_ipv4_bytes + fixed + esp_padded_bytes(min_ipv4_bytes);
  if (frame.length < ethernet_bytes + least) return false;
  std::uint8_t* const ip = frame.data + ethernet_bytes;
  std::uint32_t total = 0;
  if (load16(frame.data + ethernet::type) != ether_type_ipv4 ||
      !lean_header(ip, protocol_esp, least, frame.length - ethernet_bytes, total) ||
      (ip[ipv4::destination] & 0xf0) != 0xe0 || total % 4 != 0)
    return false;
  std::uint8_t* const esp = ip + min_ipv4_bytes;
  const std::uint64_t header = load64(esp);
  const auto spi = static_cast<std::uint32_t>(header >> 32);
  if (run.sa == nullptr || spi != run.spi || words_of(ip + ipv4::source) != run.sa->flow_addresses) {
    run.sa = sa_of_sender(ip, spi, now_tsc, snapshot);
    if (run.sa == nullptr) return false;
    const FreshTimes::Bounds bounds = fresh(*run.sa);
    run.spi = spi;
    run.earliest = bounds.earliest(now_ms_);
    run.fresh_span = bounds.span;
  }
  const auto sequence = static_cast<std::uint32_t>(header);
  const std::uint64_t number = run.sa->number_of(load64(esp + esp::iv), sequence);
  if (static_cast<std::uint32_t>(number) != sequence || time_of(number) - run.earliest > run.fresh_span ||
      !run.sa->replay.check(number))
    return false;
  cut_padding(frame, ethernet_bytes, total);
  add_item(*run.sa, esp, total - min_ipv4_bytes - fixed,
           {.number = number,
            .header_bytes = min_ipv4_bytes,
            .protocol_field = ipv4::protocol,
            .ip_offset = ethernet_bytes,
            .family = 4,
            .lean = true});
  return true;
}

inline void Opener::settle(StripRun& run) noexcept {
  if (run.sa == nullptr) return;
  run.sa->packets.add(run.packets);
  run.sa->bytes.add(run.bytes);
  run.sa = nullptr;
}

// Does what strip() does, for a lean packet in a lean packet. False: no number has been taken.
[[gnu::always_inline]] inline bool Opener::strip_lean(Frame& frame, std::uint32_t i, StripRun& run) noexcept {
  const Arrival& arrival = arrivals_[i];
  const aead::OpenItem& item = batch_.item(i);
  if (!arrival.lean || !item.ok) return false;
  OpeningSa& sa = batch_.sa(i);
  const std::uint8_t* const outer = frame.data + ethernet_bytes;
  const std::uint8_t* const inner = item.data;
  constexpr std::uint32_t least = min_ipv4_bytes + udp_header_bytes;
  const std::uint32_t pad = inner[item.length - 2];
  if (pad > 3) return false;
  const std::uint32_t text_bytes = item.length - esp_trailer_bytes - pad;
  // The last eight bytes; the trailer is moved to the top of the word.
  const std::uint64_t tail = load64(inner + item.length - 8) << (8 * (8 - esp_trailer_bytes - pad));
  std::uint32_t total = 0;
  if (tail != lean_trailer[pad] || !lean_header(inner, protocol_udp, least, text_bytes, total) ||
      words_of(inner + ipv4::source) != words_of(outer + ipv4::source) ||
      ((inner[ipv4::tos] ^ outer[ipv4::tos]) & 3) != 0)
    return false;
  const std::uint16_t port = load16(inner + min_ipv4_bytes + udp::destination_port);
  if (sa.flow_generation != run.generation || words_of(inner + ipv4::source) != sa.flow_addresses ||
      port != sa.flow_port) {
    PacketKey key;
    key.source = load32(inner + ipv4::source);
    key.destination = load32(inner + ipv4::destination);
    key.protocol = protocol_udp;
    key.has_ports = true;
    key.destination_port = port;
    if (match_any(sa.epoch->rules, key) != Match::found ||
        source_guard_.may_leave_on_red(key.source) != DropReason::none)
      return false;
    sa.flow_addresses = words_of(inner + ipv4::source);
    sa.flow_port = port;
    sa.flow_generation = run.generation;
  }
  if (total > settings_.red_mtu || !sa.replay.commit(arrival.number)) return false;
  if (&sa != run.sa) {
    settle(run);
    run.sa = &sa;
    run.packets = run.bytes = 0;
  }

  constexpr std::uint32_t shift = min_ipv4_bytes + esp_front_bytes;
  const std::uint64_t link_words[2] = {words_of(frame.data),
                                       signature_.signed_word(words_of(frame.data + ethernet::source))};
  std::memcpy(frame.data + shift, &link_words[0], 8);
  std::memcpy(frame.data + shift + 6, &link_words[1], 8);
  frame.tailroom += frame.length - shift - ethernet_bytes - total;
  frame.data += shift;
  frame.headroom += shift;
  frame.length = ethernet_bytes + total;
  ++run.packets;
  run.bytes += total;
  return true;
}

}  // namespace sealcast::dataplane
