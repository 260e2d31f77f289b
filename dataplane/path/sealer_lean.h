// Red to black for runs of lean packets (lean_ipv4.h) in tunnels that keep the addresses. What packets of one flow have
// in common is looked up once a run, and what they count is added up in registers until it ends. Each of these
// functions may say no to any packet; nothing is changed then, and the general way decides. Only sealer.cc includes
// this.
#pragma once

#include "base/esp_overhead.h"
#include "dataplane/packet/lean_ipv4.h"
#include "dataplane/packet/red_mark.h"
#include "dataplane/path/sealer.h"

namespace sealcast::dataplane {

// Consecutive packets of one chunk under one SA. As long as addresses and port stay the same, they are of one flow.
struct Sealer::Run {
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

// With many groups, what the packets of a burst are going to read lies scattered over megabytes, and only each step
// says where the next one reads. So all packets take the first step, then all take the second.
[[gnu::noinline]] inline void Sealer::fetch(std::span<const Frame> frames, const Snapshot& snapshot) const noexcept {
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
    places[i] = &snapshot.outbound[group * snapshot.workers + worker_];
    __builtin_prefetch(places[i]);
  }
  for (std::size_t i = 0; i < n; ++i)
    __builtin_prefetch(*places[i], 1);
  for (std::size_t i = 0; i < n; ++i)
    if (*places[i] != nullptr) batch_.engine().prefetch((*places[i])->key);
}

// Writes back what the run has in registers, before other code reads or writes the SA.
inline void Sealer::settle(Run& run) noexcept {
  if (run.sa == nullptr) return;
  SealingSa& sa = *run.sa;
  run.sa = nullptr;
  sa.use_up_to(run.number);
  sa.bytes.add(run.bytes);
  count_blocks(sa, run.blocks);
}

// The SA that seals the packet at ip; null: the general way has to say why. It is not given the run, which so stays in
// registers.
[[gnu::noinline]] inline SealingSa* Sealer::sa_of_flow(const std::uint8_t* ip, std::uint64_t now_tsc,
                                                       const Snapshot& snapshot) noexcept {
  PacketKey key;
  key.source = load32(ip + ipv4::source);
  key.destination = load32(ip + ipv4::destination);
  key.protocol = protocol_udp;
  key.has_ports = true;
  key.destination_port = load16(ip + min_ipv4_bytes + udp::destination_port);
  std::uint32_t group = 0;
  if (snapshot.policy->find(key, group) != Match::found) return nullptr;
  if (source_guard_.heard_on_red(key.source) != DropReason::none) return nullptr;
  SealingSa* const sa = snapshot.outbound[group * snapshot.workers + worker_];
  // All numbers of a chunk are taken before their blocks are counted, so there has to be room for the largest chunk.
  if (sa == nullptr || now_tsc >= sa->seal_until_tsc.load(std::memory_order_relaxed) ||
      sa->blocks.get() + max_burst * blocks_of(65536) > settings_.hard_block_limit || !sa->keeps_addresses ||
      (!sa->timed.load(std::memory_order_relaxed) && sa->next_number.get() > last_foreign_number - max_burst) ||
      (!sa->same_as_policy && match_any(sa->epoch->rules, key) != Match::found))
    return nullptr;
  return sa;
}

// RFC 4303 tunnel mode with the addresses of the inner packet (RFC 5374 §3.1), as encapsulate<V4> does it.
[[gnu::always_inline]] inline bool Sealer::seal_lean(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot,
                                                     Run& run) noexcept {
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
  const std::uint64_t link_words[2] = {words_of(link), words_of(link + ethernet::source)};
  if (bears_red_mark(link_words[1])) [[unlikely]]
    return false;
  const std::uint32_t plaintext_bytes = esp_padded_bytes(total);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint32_t tailroom = frame.tailroom + (frame.length - ethernet_bytes - total);
  if (sealed > size_limit_.most_bytes() || frame.headroom < front || tailroom < sealed - front - total) return false;
  const std::uint64_t addresses = words_of(ip + ipv4::source);
  const std::uint16_t port = load16(ip + min_ipv4_bytes + udp::destination_port);
  if (!run.is_flow(addresses, port)) {
    SealingSa* const next = sa_of_flow(ip, now_tsc, snapshot);
    if (next == nullptr) return false;
    if (next != run.sa) {
      settle(run);
      run.sa = next;
      run.number = next->next(now_ms_);
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
    tally_.count(tally_.charge(sa, DropReason::partial_checksum));

  const std::uint64_t number = run.number++;
  std::uint8_t* const outer = ip - front;
  const std::uint64_t first = (std::uint64_t{ipv4::version_plain} << 56) | (std::uint64_t{ip[ipv4::tos]} << 48) |
                              (std::uint64_t{sealed} << 32) | ((number & 0xffff) << 16) |
                              ((ip[ipv4::fragment] & std::uint32_t{ipv4::dont_fragment_byte}) << 8);
  const std::uint32_t third = (std::uint32_t{ip[ipv4::ttl]} << 24) | (std::uint32_t{protocol_esp} << 16);
  const std::uint64_t sum = (first >> 32) + (first & 0xffffffff) + third + run.address_sum;
  std::memcpy(link - front, &link_words[0], 8);
  std::memcpy(link - front + 6, &link_words[1], 8);
  store64(outer, first);
  store32(outer + ipv4::ttl, third | static_cast<std::uint16_t>(~fold16(sum)));
  std::memcpy(outer + ipv4::source, &run.addresses, 8);
  std::uint8_t* const esp = outer + min_ipv4_bytes;
  store64(esp, (std::uint64_t{sa.spi} << 32) | static_cast<std::uint32_t>(number));
  store64(esp + esp_header_bytes, number);
  store64(ip + total, lean_trailer[plaintext_bytes - total - esp_trailer_bytes]);
  add_item(sa, number, esp, plaintext_bytes);

  frame.data = link - front;
  frame.headroom -= front;
  frame.tailroom = tailroom - (sealed - front - total);
  frame.length = ethernet_bytes + sealed;
  run.blocks += blocks_of(plaintext_bytes);
  run.bytes += total;
  return true;
}

}  // namespace sealcast::dataplane
