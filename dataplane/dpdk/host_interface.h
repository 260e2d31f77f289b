// The gateway's own interface on its black port (host = "tap:NAME"): a kernel interface through which this machine
// reaches its key servers over black. Workers hand it the frames that HostFilter takes, and send the frames that
// HostFilter lets out; number and rate are bounded both ways. No DPDK type in this header.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/dpdk/gateway.h"
#include "dataplane/path/host_filter.h"
#include "dataplane/sa/counter.h"

struct rte_mbuf;

namespace sealcast::dataplane {

struct HostCounters {
  std::uint64_t to_host = 0, from_host = 0;
  std::uint64_t not_allowed = 0;  // sent by the interface, but allowed by no rule
  std::uint64_t limited = 0;      // more than the rate or the queue takes, either way
};

class HostInterface {
 public:
  // Frames a second each way, and as many at once: of address resolution, and to and from key servers.
  static constexpr std::uint32_t resolution_per_second = 100;
  static constexpr std::uint32_t key_server_per_second = 20'000;

  // Makes the interface, up, with the given address if there is one; an operator may add others at any time. It is
  // removed with this object. mtu: bytes of IP packet.
  static Result<std::unique_ptr<HostInterface>> open(const HostOptions& options, std::uint16_t mtu);
  ~HostInterface();
  HostInterface(const HostInterface&) = delete;
  HostInterface& operator=(const HostInterface&) = delete;

  const HostFilter& filter() const;
  MacAddress mac() const;

  struct Run {
    void* pool = nullptr;  // rte_mempool for frames from the interface
    std::uint32_t workers = 1;
    std::uint64_t tsc_hz = 0;
    std::optional<MacAddress> mac;                      // given to the interface: a card receives no other
    std::function<void()> synchronize;                  // a grace period of the workers
    std::function<void(const HostAddresses&)> changed;  // called from the interface's thread with its present addresses
  };
  // Frames move between start() and stop(). No worker may be inside punt() or take() when stop() is called.
  Result<void> start(Run run);
  void stop();

  // Worker: a frame with Verdict::punt. True: taken over.
  bool punt(std::uint32_t worker, rte_mbuf* frame, std::uint64_t now_tsc);
  // First worker: up to most frames to be sent on black, now the caller's.
  std::uint32_t take(rte_mbuf** frames, std::uint32_t most);

  HostCounters counters() const;

 private:
  struct State;
  explicit HostInterface(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
