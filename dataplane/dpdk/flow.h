// Chooses the worker for a red frame if the device has fewer queues than there are workers: always the same one for a
// stream, so that its packets keep their order. Internal to this folder; has DPDK types.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {

// The properties that decide. The packet path checks lengths and headers; a frame too short for them counts as other.
struct Flow {
  // IP multicast that a group may protect. Other frames (unicast, link-local groups, IGMP and MLD) cross in clear or
  // not at all. They stay with the worker that receives them, so that this worker meets the same frame again if it
  // comes back on the other side, and one rate limits all of them.
  bool ip = false;
  bool fragment = false;  // IPv4: of a fragmented packet
  std::uint32_t hash = 0;
};

// The hash covers source and destination address alone: fragments of a packet have no ports, and must go where its
// first one went.
inline Flow flow_of(const rte_mbuf* frame) noexcept {
  Flow flow;
  const auto* const p = rte_pktmbuf_mtod(frame, const std::uint8_t*);
  const std::uint32_t length = frame->data_len;
  std::uint32_t offset = 0;
  std::uint16_t type = 0;
  if (!parse_link(p, length, type, offset)) return flow;
  constexpr std::uint64_t mix = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  std::uint64_t hash = 0;
  if (type == 0x0800) {
    if (length < offset + min_ipv4_bytes || p[offset + 9] == protocol_igmp) return flow;
    const std::uint32_t destination = load32(p + offset + 16);
    if ((destination >> 28) != 0xe || (destination >> 8) == 0xe00000) return flow;
    flow.fragment = (load16(p + offset + 6) & 0x3fff) != 0;
    hash = load64(p + offset + 12) * mix;
  } else if (type == 0x86dd) {
    if (length < offset + 40 || p[offset + 6] == 0) return flow;  // hop-by-hop options: mostly MLD
    if (p[offset + 24] != 0xff || (p[offset + 25] & 0x0f) <= 2) return flow;
    for (std::uint32_t i = 8; i < 40; i += 8)
      hash = (hash ^ load64(p + offset + i)) * mix;
  } else {
    return flow;
  }
  flow.ip = true;
  flow.hash = static_cast<std::uint32_t>(((hash ^ (hash >> 29)) * mix) >> 32);
  return flow;
}

constexpr std::uint32_t worker_of_flow(std::uint32_t hash, std::uint32_t workers) {
  return static_cast<std::uint32_t>((std::uint64_t{hash} * workers) >> 32);
}

}  // namespace sealcast::dataplane
