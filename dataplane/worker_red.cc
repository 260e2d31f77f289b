// Red to black: parse, policy, checks, encapsulate every frame of the burst; seal them in one call; verdicts.
#include "dataplane/packet.h"
#include "dataplane/worker_scratch.h"

namespace sealcast::dataplane {
namespace {

// Bytes moved when the Ethernet header travels: 14 to 22 of them matter. A frame that was parsed has at least 34, and
// what is copied too much is overwritten by the outer IP header.
constexpr std::uint32_t link_copy_bytes = 24;
static_assert(link_copy_bytes >= ethernet_bytes + max_vlan_tags * vlan_tag_bytes);
static_assert(link_copy_bytes <= ethernet_bytes + min_ipv4_bytes && link_copy_bytes <= seal_headroom);

constexpr std::uint32_t esp_header_bytes = 8;

// AES blocks one sealed packet costs: its counter blocks and the tag's mask.
constexpr std::uint64_t blocks_of(std::uint32_t plaintext_bytes) {
  return (plaintext_bytes + 15) / 16 + 1;
}

}  // namespace

void Worker::red_chunk(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  auto& seal = scratch_->seal;
  seal.clear();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const std::uint32_t before = seal.size;
    const DropReason reason = admit_red(frames[i], now_tsc, snapshot);
    if (reason != DropReason::none) drop(frames[i], reason);
    if (seal.size != before) seal.frames[before] = static_cast<std::uint8_t>(i);
  }
  if (seal.size == 0) return;

  by_key(std::span(seal.items.data(), seal.size), scratch_->seal_sorted,
         [this](std::span<aead::SealItem> items) { engine_.seal(items); });

  for (std::uint32_t i = 0; i < seal.size; ++i) {
    Frame& frame = frames[seal.frames[i]];
    if (!seal.items[i].ok) {
      drop(frame, DropReason::engine_failed);
      continue;
    }
    frame.verdict = Verdict::forward;
    frame.reason = DropReason::none;
    counters_.sealed.add(1);
  }
}

DropReason Worker::admit_red(Frame& frame, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept {
  Packet packet;
  DropReason bad = parse_frame(frame, packet);
  if (bad != DropReason::none) [[unlikely]] {
    const bool by_rule = bad == DropReason::not_ip || bad == DropReason::ipv6 || bad == DropReason::not_multicast;
    return by_rule ? other_from_red(frame, Packet(packet), bad, now_tsc, snapshot) : bad;
  }
  const std::uint8_t* ip = frame.data + packet.ip_offset;
  if (packet.protocol == protocol_esp) return DropReason::esp_on_red;
  if (packet.protocol == protocol_igmp)
    return other_from_red(frame, Packet(packet), DropReason::igmp_not_allowed, now_tsc, snapshot);

  PacketKey key;
  if (!packet_key(ip, packet, key)) return DropReason::short_frame;
  std::uint32_t group = 0;
  switch (snapshot.policy->find(key, group)) {
    case Match::none:
      return other_from_red(frame, Packet(packet), DropReason::no_policy, now_tsc, snapshot);
    case Match::needs_ports:
      if (later_fragment(Packet(packet), now_tsc, snapshot, group) != Match::found) return DropReason::fragment;
      break;
    case Match::found:
      if (packet.fragment && !packet.later_fragment) [[unlikely]]
        first_fragment(Packet(packet), group, now_tsc);
      break;
  }

  // From here on the packet is protected: it leaves sealed or not at all (H10).
  SealingSa* sa = snapshot.outbound[group * snapshot.workers + index_];
  if (sa == nullptr) return DropReason::no_sa;
  bad = check_outbound(*sa, now_tsc);
  if (bad != DropReason::none) return bad;
  if (!sa->epoch->same_as_policy && match_any(sa->epoch->rules, key) != Match::found)
    return DropReason::selector_mismatch;
  const std::uint32_t inner = packet.total_bytes;
  if (sealed_ipv4_bytes(inner) > settings_.black_mtu) [[unlikely]]
    return too_big_to_seal(frame, Packet(packet), *sa, now_tsc);
  if (frame.headroom < seal_headroom || frame.tailroom < sealed_ipv4_bytes(inner) - seal_headroom - inner)
    return DropReason::no_headroom;
  if (key.has_ports && has_partial_checksum(ip, packet)) count(DropReason::partial_checksum);

  encapsulate(frame, packet.ip_offset, inner, *sa);
  return DropReason::none;
}

DropReason Worker::check_outbound(const SealingSa& sa, std::uint64_t now_tsc) const noexcept {
  if (now_tsc >= sa.seal_until_tsc.load(std::memory_order_relaxed))
    return now_tsc >= sa.epoch->expires_tsc ? DropReason::sa_expired : DropReason::lease_expired;
  // The largest packet there is counts against the limit in advance, so the limit itself is never passed.
  if (sa.blocks + blocks_of(65536) > settings_.hard_block_limit) return DropReason::counter_exhausted;
  return DropReason::none;
}

// RFC 4303 tunnel mode with the addresses of the inner packet (RFC 5374 §3.1), RFC 4106 nonce and AAD. Takes the next
// number of the SA: from here the packet either leaves under it or the number stays unused.
void Worker::encapsulate(Frame& frame, std::uint32_t ip_offset, std::uint32_t inner_bytes, SealingSa& sa) noexcept {
  std::uint8_t* const inner = frame.data + ip_offset;
  std::uint8_t* const outer = inner - seal_headroom;
  std::uint8_t* const esp = outer + min_ipv4_bytes;

  const std::uint64_t number = sa.next_number.get();
  sa.next_number.set(number + 1);
  const std::uint32_t sealed_bytes = sealed_ipv4_bytes(inner_bytes);
  const std::uint32_t plaintext_bytes = sealed_bytes - seal_headroom - static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t blocks = blocks_of(plaintext_bytes);
  sa.blocks += blocks;
  if (sa.blocks >= settings_.soft_block_limit && !sa.limit_reported) sa.limit_reported = counter_limits_.push(sa.spi);

  std::memcpy(frame.data - seal_headroom, frame.data, link_copy_bytes);

  // TOS: DSCP and ECN copied (RFC 4301 §5.1.2.1, RFC 6040 normal mode); DF copied; the identification follows the
  // number, for those who set DF aside on the way. Put together and summed in registers: bytes just stored and loaded
  // again as words would stall.
  const std::uint64_t first = (std::uint64_t{0x45} << 56) | (std::uint64_t{inner[1]} << 48) |
                              (std::uint64_t{sealed_bytes} << 32) | ((number & 0xffff) << 16) |
                              ((inner[6] & 0x40U) << 8);
  const std::uint32_t third = (std::uint32_t{inner[8]} << 24) | (std::uint32_t{protocol_esp} << 16);
  const std::uint64_t addresses = load64(inner + 12);
  const std::uint64_t sum = (first >> 32) + (first & 0xffffffff) + third + (addresses >> 32) + (addresses & 0xffffffff);
  store64(outer, first);
  store32(outer + 8, third | static_cast<std::uint16_t>(~fold16(sum)));
  store64(outer + 12, addresses);

  store32(esp, sa.spi);
  store32(esp + 4, static_cast<std::uint32_t>(number));
  store64(esp + 8, number);

  // RFC 4303 §2.4: padding 1, 2, 3, ...; then its length and the next header.
  std::uint8_t* trailer = inner + inner_bytes;
  const std::uint32_t pad = plaintext_bytes - inner_bytes - 2;
  for (std::uint32_t i = 1; i <= pad; ++i)
    *trailer++ = static_cast<std::uint8_t>(i);
  *trailer++ = static_cast<std::uint8_t>(pad);
  *trailer++ = protocol_ipv4;

  auto& seal = scratch_->seal;
  seal.sas[seal.size] = &sa;
  aead::SealItem& item = seal.items[seal.size++];
  item.key = &sa.key;
  item.data = inner;
  item.length = plaintext_bytes;
  item.aad = esp;
  item.aad_length = esp_header_bytes;
  item.tag = inner + plaintext_bytes;
  std::memcpy(item.nonce.data(), sa.salt.data(), 4);
  std::memcpy(item.nonce.data() + 4, esp + 8, 8);
  item.ok = false;

  frame.data -= seal_headroom;
  frame.headroom -= seal_headroom;
  frame.tailroom -= sealed_bytes - seal_headroom - inner_bytes;
  frame.length = ip_offset + sealed_bytes;
  sa.packets.add(1);
  sa.bytes.add(inner_bytes);
}

}  // namespace sealcast::dataplane
