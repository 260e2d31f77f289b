// One worker's work in one round: which queues it reads and how its frames leave, with as many queues as workers, with
// fewer, and when single streams are spread. Internal to this folder; has DPDK types.
#pragma once

#include <rte_ring.h>

#include <array>
#include <cstdint>
#include <optional>

#include "dataplane/dpdk/hand_off.h"
#include "dataplane/dpdk/lane.h"
#include "dataplane/dpdk/spread.h"
#include "dataplane/path/worker.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// One worker's end of one port.
struct PortEnd {
  Way receive;                    // the queue it reads
  bool receives = false;          // it has one
  bool shared = false;            // fewer queues than workers: red frames go to workers by their flow
  Way send;                       // its own queue, or the outbox of the worker that has one
  rte_ring* inbox = nullptr;      // frames received by other workers that are this one's to process; null: none ever
  rte_ring* outbox = nullptr;     // frames of workers without a queue of their own, for ours to send; null: none ever
  std::optional<HandOff> others;  // to the other workers' inboxes
};

class Reassembler;

struct alignas(cache_line) WorkerRun {
  std::uint32_t index = 0, workers = 1;
  Worker* worker = nullptr;
  PortEnd red, black;
  Spread* red_spread = nullptr;  // null: streams are not spread
  Spread* black_spread = nullptr;
  std::uint32_t turn = 0;         // worker 0: the worker for the next red burst
  LaneCounters to_black, to_red;  // frames that came from red, from black
  Counter window_full;            // rounds in which a spread stream had to wait for its slowest worker
  Counter naps;
  Reassembler* reassembler = nullptr;       // null: not configured
  std::array<rte_mbuf*, lane_burst> whole;  // reassembled from the present burst
  std::uint16_t whole_count = 0;

  // Returns how many frames were moved.
  unsigned round(const PortPair& ports, const Snapshot& snapshot);

 private:
  struct RedHooks;
  struct BlackHooks;
  struct SpreadBlackHooks;

  unsigned plain(const Snapshot& snapshot);
  unsigned share_red(const Snapshot& snapshot);
  void red_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot);
  void black_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot);
  void unpark(const Snapshot& snapshot);
  unsigned inbox(rte_ring* ring, rte_mbuf** mbufs);
  unsigned empty_outbox(PortEnd& side, LaneCounters& counters);

  unsigned spread_first(const Snapshot& snapshot);
  unsigned spread_red(const Snapshot& snapshot);
  unsigned spread_black(const Snapshot& snapshot);
  void spread_black_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot);
  // Processes packets reassembled from the burst before, as a burst of their own behind it.
  unsigned whole_packets(const Snapshot& snapshot);
  unsigned spread_others(const Snapshot& snapshot);
};

}  // namespace sealcast::dataplane
