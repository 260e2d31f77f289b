// Reassembles ESP packets that were fragmented on the black network, by librte_ip_frag; only if the configuration asks
// for it. Internal to this folder; has DPDK types.
#pragma once

#include <rte_ip_frag.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "dataplane/packet/frame.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// Belongs to one worker. Its memory is bounded: in time, in datagrams for each source (a secret spreads sources over
// tables, so that a flood from one source fills only one table), and thereby in buffers.
class Reassembler {
 public:
  static constexpr std::uint32_t tables = 16;
  static constexpr std::uint32_t datagrams = 4;            // in one table at a time
  static constexpr std::uint32_t max_packet_bytes = 9216;  // of a reassembled datagram, IP header included
  static constexpr std::uint32_t lifetime_ms = 1000;       // from a datagram's first fragment to its last
  // The most buffers of the receiving port's pool that one worker's tables hold.
  static constexpr std::uint32_t buffers_held = tables * datagrams * RTE_LIBRTE_IP_FRAG_MAX_FRAG;
  // Reassembled packets that may be in use at once, including those in a transmit ring.
  static constexpr std::uint32_t packets_out = 1535;

  struct Counters {
    Counter packets;    // reassembled
    Counter refused;    // fragments that fit no datagram: too many, overlapping, or no room
    Counter no_buffer;  // packets for which there was no buffer
    Counter expired;    // buffers of datagrams that stayed incomplete
  };

  // number is part of a name in DPDK's memory: unique in the process. hz: ticks per second of now. Takes about 15 MB.
  static Result<std::unique_ptr<Reassembler>> create(unsigned number, std::uint64_t hz);
  ~Reassembler();  // frees what it holds
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // Takes over the buffer (contiguous, unshared) of a frame with Verdict::reassemble. Returns the whole packet, in one
  // contiguous buffer of its own, or null.
  rte_mbuf* add(const Frame& frame, std::uint64_t now);
  // Frees fragments that are too old. Call it now and then.
  void expire(std::uint64_t now);

  const Counters& counters() const { return counters_; }

 private:
  Reassembler() = default;
  rte_mbuf* contiguous(rte_mbuf* chain, std::uint32_t link_length);
  std::uint32_t release_dead();

  std::array<rte_ip_frag_tbl*, tables> tables_{};
  rte_mempool* pool_ = nullptr;
  std::unique_ptr<rte_ip_frag_death_row> dead_;
  std::uint64_t secret_ = 0;
  Counters counters_;
};

}  // namespace sealcast::dataplane
