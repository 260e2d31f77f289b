// The thread that runs one worker between the two ports. No DPDK type in this header.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "dataplane/dpdk/active_ports.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/rcu_publisher.h"
#include "dataplane/path/worker.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

class HostInterface;
class Reassembler;

// A worker thread's counters beside its Worker's; read by the control thread.
struct WorkerThreadCounters {
  std::uint64_t red_tx_full = 0, black_tx_full = 0, not_contiguous = 0, hand_off_full = 0, naps = 0;
  std::uint64_t reply_full = 0;  // answers to a frame's sender, for which the ring had no room
  std::uint64_t cut = 0;         // packets into fragments, before sealing
  std::uint64_t cut_no_buffer = 0, cut_impossible = 0;
  std::uint64_t window_full = 0;  // rounds in which a spread stream waited for its slowest worker
  std::array<std::uint64_t, worker_limits.most> hand_off_full_of{};  // by the worker that had a full ring
};

// All workers of one gateway, and the rings by which they hand frames to each other.
class WorkerThreads {
 public:
  struct Settings {
    const ActivePorts* ports = nullptr;              // outlives this object
    std::uint16_t red_queues = 0, black_queues = 0;  // 0: one a worker; fewer: workers share them
    bool spread = false;  // single streams over all workers, in order; one queue of each port is used
    std::vector<Worker*> workers;
    std::vector<std::uint32_t> cores;  // empty: not bound
    std::uint32_t idle_nap_us = idle_nap_limits.standard;
    std::vector<Reassembler*> reassemblers;  // one a worker, which outlive the ports; empty: fragments are dropped
    RcuPublisher* publisher = nullptr;       // outlives this object
    void* red_pool = nullptr;                // rte_mempool: buffers for the gateway's own frames on red
    void* black_pool = nullptr;              // ... on black
    HostInterface* host = nullptr;           // of the black port, if it has one; outlives this object
  };
  static Result<std::unique_ptr<WorkerThreads>> start(Settings settings);
  ~WorkerThreads();  // stops; frames on their way between workers are freed
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  void stop();                            // joins: afterwards no frame moves and the counters are final
  WorkerThreadCounters counters() const;  // sum over the workers

 private:
  struct State;
  explicit WorkerThreads(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Refuses a CPU this process may not run on.
Result<void> check_cores(const std::vector<std::uint32_t>& cores, std::uint32_t workers);

}  // namespace sealcast::dataplane
