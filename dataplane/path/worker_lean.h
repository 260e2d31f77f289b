// Red to black and back for runs of lean packets (lean_ipv4.h) in tunnels that keep the addresses. What packets of one
// flow have in common is looked up once a run, and what they count is added up in registers until it ends. Each of
// these functions may say no to anything; nothing is changed then, and the general path decides. Inside the worker's
// own files only.
#pragma once

#include "base/esp_overhead.h"
#include "dataplane/packet/lean_ipv4.h"
#include "dataplane/path/worker_open.h"
#include "dataplane/path/worker_seal.h"

namespace sealcast::dataplane {

// Consecutive packets of one chunk under one SA; of one flow, while addresses and port stay.
struct Worker::SealRun {
  SealingSa* sa = nullptr;
  std::uint64_t addresses = 0;    // of the flow, as in the header
  std::uint64_t address_sum = 0;  // the two, for checksums
  std::uint16_t port = 0;         // destination
  std::uint64_t number = 0;       // of the next packet
  std::uint64_t blocks = 0, bytes = 0;

  bool is_flow(std::uint64_t other_addresses, std::uint16_t other_port) const noexcept {
    return addresses == other_addresses && port == other_port && sa != nullptr;
  }
};

struct Worker::OpenRun {
  OpeningSa* sa = nullptr;
  std::uint32_t spi = 0;
};

// Consecutive packets under one SA, opened.
struct Worker::StripRun {
  OpeningSa* sa = nullptr;
  std::uint64_t packets = 0, bytes = 0;
};

inline std::uint64_t words_of(const std::uint8_t* p) noexcept {
  std::uint64_t words;
  std::memcpy(&words, p, sizeof words);
  return words;
}

// With so few groups what packets need stays in the cache by itself.
inline constexpr std::size_t few_groups = 512;

// Many groups: what the packets of a burst are going to read lies scattered over megabytes, and each step says only
// where the next one reads. So all packets take the first step, then all the second.
[[gnu::noinline]] inline void Worker::fetch_for_sealing(std::span<const Frame> frames,
                                                        const Snapshot& snapshot) const noexcept {
  const PolicyTable<Address4>& table = snapshot.policy->ipv4();
  std::array<const std::uint8_t*, max_burst> packets;
  std::array<SealingSa* const*, max_burst> places;
  std::size_t n = 0;
  for (const Frame& frame : frames) {
    if (frame.length < ethernet_bytes + min_ipv4_bytes) continue;
    const std::uint8_t* const ip = frame.data + ethernet_bytes;
    table.prefetch(load32(ip + ipv4::destination), load32(ip + ipv4::source));
    packets[n++] = ip;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint32_t group = table.guess(load32(packets[i] + ipv4::destination), load32(packets[i] + ipv4::source));
    places[i] = &snapshot.outbound[group * snapshot.workers + index_];
    __builtin_prefetch(places[i]);
  }
  for (std::size_t i = 0; i < n; ++i)
    __builtin_prefetch(*places[i], 1);
  for (std::size_t i = 0; i < n; ++i)
    if (*places[i] != nullptr) engine_.prefetch((*places[i])->key);
}

// The same for opening.
[[gnu::noinline]] inline void Worker::fetch_for_opening(std::span<const Frame> frames,
                                                        const Snapshot& snapshot) const noexcept {
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
    sas[i] = entry != nullptr && entry->worker == index_ ? entry->sa : nullptr;
    if (sas[i] == nullptr) continue;
    __builtin_prefetch(sas[i], 1);
    __builtin_prefetch(&sas[i]->packets, 1);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (sas[i] == nullptr) continue;
    sas[i]->replay.prefetch(load64(packets[i] + esp::iv));
    engine_.prefetch(sas[i]->key);
  }
}

// ---- Sealing

// Before anybody else reads or writes the SA.
inline void Worker::settle(SealRun& run) noexcept {
  if (run.sa == nullptr) return;
  SealingSa& sa = *run.sa;
  run.sa = nullptr;
  sa.next_number.set(run.number);
  sa.bytes.add(run.bytes);
  count_blocks(sa, run.blocks);
}

// The SA that seals the packet at ip; null: the general path has to say why. Takes nothing of the run, which so stays
// in registers.
[[gnu::noinline]] inline SealingSa* Worker::sa_of_flow(const std::uint8_t* ip, std::uint64_t now_tsc,
                                                       const Snapshot& snapshot) noexcept {
  PacketKey key;
  key.source = load32(ip + ipv4::source);
  key.destination = load32(ip + ipv4::destination);
  key.protocol = protocol_udp;
  key.has_ports = true;
  key.destination_port = load16(ip + min_ipv4_bytes + udp::destination_port);
  std::uint32_t group = 0;
  if (snapshot.policy->find(key, group) != Match::found) return nullptr;
  SealingSa* const sa = snapshot.outbound[group * snapshot.workers + index_];
  // All numbers of a chunk are taken before their blocks are counted, so there has to be room for the largest chunk.
  if (sa == nullptr || now_tsc >= sa->seal_until_tsc.load(std::memory_order_relaxed) ||
      sa->blocks.get() + max_burst * blocks_of(65536) > settings_.hard_block_limit || !sa->keeps_addresses ||
      (!sa->same_as_policy && match_any(sa->epoch->rules, key) != Match::found))
    return nullptr;
  return sa;
}

// RFC 4303 tunnel mode with the addresses of the inner packet (RFC 5374 §3.1), as encapsulate<V4> does it.
[[gnu::always_inline]] inline bool Worker::seal_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot,
                                                     SealRun& run) noexcept {
  constexpr std::uint32_t front = min_ipv4_bytes + esp_front_bytes;
  constexpr std::uint32_t least = min_ipv4_bytes + udp_header_bytes;
  if (frame.length < ethernet_bytes + least) return false;
  std::uint8_t* const link = frame.data;
  std::uint8_t* const ip = link + ethernet_bytes;
  std::uint32_t total = 0;
  if (load16(link + ethernet::type) != ether_type_ipv4 ||
      !lean_header(ip, protocol_udp, least, frame.length - ethernet_bytes, total) ||
      (ip[ipv4::destination] & 0xf0) != 0xe0)
    return false;
  const std::uint32_t plaintext_bytes = padded(total);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint32_t tailroom = frame.tailroom + (frame.length - ethernet_bytes - total);
  if (sealed > black_limit_ || frame.headroom < front || tailroom < sealed - front - total) return false;
  const std::uint64_t addresses = words_of(ip + ipv4::source);
  const std::uint16_t port = load16(ip + min_ipv4_bytes + udp::destination_port);
  if (!run.is_flow(addresses, port)) {
    SealingSa* const next = sa_of_flow(ip, now_tsc, snapshot);
    if (next == nullptr) return false;
    if (next != run.sa) {
      settle(run);
      run.sa = next;
      run.number = next->next_number.get();
      run.blocks = run.bytes = 0;
    }
    run.addresses = addresses;
    const std::uint64_t words = load64(ip + ipv4::source);
    run.address_sum = (words & 0xffffffff) + (words >> 32);
    run.port = port;
  }

  SealingSa& sa = *run.sa;
  const std::uint32_t length_checksum = load32(ip + min_ipv4_bytes + udp::length);
  const std::uint32_t checksum = length_checksum & 0xffff;
  if (checksum != 0 && checksum == fold16(run.address_sum + protocol_udp + (length_checksum >> 16))) [[unlikely]]
    count(charge(sa, DropReason::partial_checksum));

  const std::uint64_t number = run.number++;
  std::uint8_t* const outer = ip - front;
  const std::uint64_t first = (std::uint64_t{ipv4::version_plain} << 56) | (std::uint64_t{ip[ipv4::tos]} << 48) |
                              (std::uint64_t{sealed} << 32) | ((number & 0xffff) << 16) |
                              ((ip[ipv4::fragment] & std::uint32_t{ipv4::dont_fragment_byte}) << 8);
  const std::uint32_t third = (std::uint32_t{ip[ipv4::ttl]} << 24) | (std::uint32_t{protocol_esp} << 16);
  const std::uint64_t sum = (first >> 32) + (first & 0xffffffff) + third + run.address_sum;
  const std::uint64_t link_words[2] = {words_of(link), words_of(link + ethernet::source)};
  std::memcpy(link - front, &link_words[0], 8);
  std::memcpy(link - front + 6, &link_words[1], 8);
  store64(outer, first);
  store32(outer + ipv4::ttl, third | static_cast<std::uint16_t>(~fold16(sum)));
  std::memcpy(outer + ipv4::source, &run.addresses, 8);
  std::uint8_t* const esp = outer + min_ipv4_bytes;
  store64(esp, (std::uint64_t{sa.spi} << 32) | static_cast<std::uint32_t>(number));
  store64(esp + esp_header_bytes, number);
  store64(ip + total, lean_trailer[plaintext_bytes - total - esp_trailer_bytes]);
  push_seal_item(sa, number, esp, plaintext_bytes);

  frame.data = link - front;
  frame.headroom -= front;
  frame.tailroom = tailroom - (sealed - front - total);
  frame.length = ethernet_bytes + sealed;
  run.blocks += blocks_of(plaintext_bytes);
  run.bytes += total;
  return true;
}

// ---- Opening

// Without an SA: the general path has to say why.
[[gnu::noinline]] inline Worker::OpenRun Worker::begin_sender(const std::uint8_t* ip, std::uint32_t spi,
                                                              std::uint64_t now_tsc,
                                                              const Snapshot& snapshot) noexcept {
  const SpiTable::Entry* entry = snapshot.spis.find(spi);
  if (entry == nullptr || entry->own != 0 || entry->worker != index_) return {};
  OpeningSa& sa = *entry->sa;
  if (now_tsc >= sa.expires_tsc || !sa.keeps_addresses) return {};
  if (words_of(ip + ipv4::source) == sa.flow_addresses) return {&sa, spi};
  const Address4 source = load32(ip + ipv4::source), destination = load32(ip + ipv4::destination);
  for (const Rule& rule : sa.epoch->rules) {
    if (!rule.addresses_match(destination, source)) continue;
    sa.flow_addresses = words_of(ip + ipv4::source);
    sa.flow_opened = false;
    return {&sa, spi};
  }
  return {};
}

[[gnu::always_inline]] inline bool Worker::admit_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot,
                                                      OpenRun& run) noexcept {
  constexpr std::uint32_t fixed = esp_front_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  constexpr std::uint32_t least = min_ipv4_bytes + fixed + padded(min_ipv4_bytes);
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
    run = begin_sender(ip, spi, now_tsc, snapshot);
    if (run.sa == nullptr) return false;
  }
  const std::uint64_t number = load64(esp + esp::iv);
  if (static_cast<std::uint32_t>(number) != static_cast<std::uint32_t>(header) || !run.sa->replay.check(number))
    return false;
  cut_padding(frame, ethernet_bytes, total);
  push_open_item(*run.sa, esp, total - min_ipv4_bytes - fixed,
                 {.number = number,
                  .header_bytes = min_ipv4_bytes,
                  .protocol_field = ipv4::protocol,
                  .ip_offset = ethernet_bytes,
                  .family = 4,
                  .lean = true});
  return true;
}

inline void Worker::settle(StripRun& run) noexcept {
  if (run.sa == nullptr) return;
  run.sa->packets.add(run.packets);
  run.sa->bytes.add(run.bytes);
  run.sa = nullptr;
}

// What decapsulate() does, for a lean packet in a lean packet. False: no number has been taken.
[[gnu::always_inline]] inline bool Worker::strip_lean(Frame& frame, std::uint32_t i, StripRun& run) noexcept {
  const auto& open = scratch_->open;
  const Opened& opened = scratch_->opened[i];
  const aead::OpenItem& item = open.items[i];
  if (!opened.lean || !item.ok) return false;
  OpeningSa& sa = *open.sas[i];
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
  if (!sa.flow_opened || words_of(inner + ipv4::source) != sa.flow_addresses || port != sa.flow_port) {
    PacketKey key;
    key.source = load32(inner + ipv4::source);
    key.destination = load32(inner + ipv4::destination);
    key.protocol = protocol_udp;
    key.has_ports = true;
    key.destination_port = port;
    if (match_any(sa.epoch->rules, key) != Match::found || !local_red_.empty()) return false;
    sa.flow_addresses = words_of(inner + ipv4::source);
    sa.flow_port = port;
    sa.flow_opened = true;
  }
  if (total > settings_.red_mtu || !sa.replay.commit(opened.number)) return false;
  if (&sa != run.sa) {
    settle(run);
    run = {&sa, 0, 0};
  }

  constexpr std::uint32_t shift = min_ipv4_bytes + esp_front_bytes;
  const std::uint64_t link_words[2] = {words_of(frame.data), words_of(frame.data + ethernet::source)};
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
