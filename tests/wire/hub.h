// The hub: every frame that comes in on one port goes out on all others, through the impairments. One thread forwards;
// others may query or command it through execute(). No DPDK type in this header.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "base/result.h"
#include "dataplane/dpdk/port.h"
#include "tests/wire/capture.h"
#include "tests/wire/impairment.h"

namespace sealcast::wire {

struct HubSettings {
  std::uint64_t seed = 1;
  Impairments impairments;
  Partition partition;
  std::uint32_t nap_us = 50;  // sleep of a forwarding thread that finds nothing to do; under a second
};

struct LinkStatistics {
  std::uint32_t from = 0, to = 0;
  // Frames of this directed link; every frame received counts once under delivered, dropped, partitioned, no_peer or
  // overflow, and copies are delivered, too.
  std::uint64_t delivered = 0, dropped = 0, duplicated = 0, reordered = 0, partitioned = 0;
  std::uint64_t no_peer = 0;   // the port has no peer
  std::uint64_t overflow = 0;  // the port's ring was full for so long that the link's queue filled up
  std::uint64_t queued = 0;    // on their way now
};

struct HubStatistics {
  std::vector<PortStatistics> ports;
  std::vector<LinkStatistics> links;
  std::uint64_t captured = 0;
  bool capture_failed = false;
  HubSettings settings;
};

class Hub {
 public:
  // capture may be null. At most 64 ports.
  Hub(std::vector<std::unique_ptr<dataplane::Port>> ports, HubSettings settings, std::unique_ptr<Capture> capture);
  ~Hub();
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;

  // Forwards until stop is set; naps when idle. Then frees what is queued, flushes the capture and closes the ports.
  void run(const std::atomic<bool>& stop);

  // The commands, thread-safe, executed by the forwarding thread between two rounds.
  void set_impairments(const Impairments& impairments);
  void set_partition(const Partition& partition);
  HubStatistics statistics();
  std::uint32_t port_count() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::wire
