// The gateway's data plane as one object: two ports, the workers between them, and the control interface that the
// member agent calls. The application uses only this header of the DPDK layer; no DPDK type appears in it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bypass_rule.h"
#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/result.h"
#include "dataplane/control/what_if.h"
#include "dataplane/neighbours/neighbours.h"
#include "dataplane/path/host_filter.h"

namespace sealcast::dataplane {

enum class LogLevel : std::uint8_t { debug, info, warning, error };

// Called from any thread of the data plane, never from a packet path. One line, no line end, no secret.
using LogSink = std::function<void(LogLevel, std::string_view)>;

struct GatewayPort {
  std::string device;                       // port string (port_spec.h)
  std::uint16_t mtu = mtu_limits.standard;  // largest IP packet, bytes
};

// The gateway's own interface on its black port (docs/ports.md): address resolution, and TCP with key servers alone.
struct HostOptions {
  std::string interface;             // name of the kernel interface that is made, 1..15 bytes
  std::optional<IpAddress> address;  // given to it; none: the operator does
  std::uint8_t prefix_length = 0;
  std::vector<HostEndpoint> remote;  // key servers to connect to
  std::vector<HostEndpoint> local;   // where a key server in this process listens
};

struct GatewayOptions {
  GatewayPort red;                                 // plain side
  GatewayPort black;                               // untrusted side
  std::uint32_t workers = worker_limits.standard;  // where a port has fewer queues they share them
  bool spread = false;  // every stream over all workers, in its order (docs/ports.md); ports have one queue
  std::vector<std::uint32_t> cores;  // empty: the scheduler places the workers; otherwise one CPU a worker, may repeat
  std::string engine = "auto";       // AEAD engine: auto | burst | ipsec_mb | openssl
  std::uint32_t memory_mb = memory_limits.standard;  // hugepage memory of the process
  std::uint32_t idle_nap_us =
      idle_nap_limits.standard;           // longest sleep of a worker that finds nothing to do; 0 = never sleep
  std::vector<Prefix> local_red_sources;  // an opened packet from one of these is a loop and dropped
  bool mark_red = false;                  // frames that are opened leave on red with an address of its own (red_mark.h)
  bool learn_sources = false;             // ... and so is one from a source that is heard on red
  std::optional<NeighbourSettings> beacon;  // its nonce is made here; none: other gateways on red do not count
  std::vector<BypassRule> bypass = default_bypass_rules();  // in force, validated; what passes in clear
  std::optional<IpAddress> red_address6;                    // source of Packet Too Big; none: it is not sent
  bool reassemble = false;  // ESP packets that were fragmented on black are put together, not dropped
  std::optional<IpAddress> black_address4, black_address6;  // sources of the gateway's own IGMP and MLD reports
  std::string telemetry;                                    // DPDK telemetry under this name (eal.h); empty: none
  std::optional<HostOptions> black_host;
  LogSink log;  // empty: silence
};

// Order of calls: create() → control().protect(…) for every configured group → start() → … → stop() or destruction.
// create() starts DPDK's environment, which a process has once: gateways made later in the same process share it, and
// need no more memory and no other PCI device than the first. create(), start() and stop() belong to the control
// thread.
class GatewayDataPlane {
 public:
  // Checks the port strings and options, starts the environment, chooses the engine. Opens no port: nothing is received
  // before start(). Errors say what to do: no hugepages, no permission, unknown device, too many workers.
  static Result<std::unique_ptr<GatewayDataPlane>> create(GatewayOptions options);
  ~GatewayDataPlane();  // stops
  GatewayDataPlane(const GatewayDataPlane&) = delete;
  GatewayDataPlane& operator=(const GatewayDataPlane&) = delete;

  // Valid as long as this object. May be used before start() and after stop(). statistics() includes both ports.
  DataPlaneControl& control();

  // The fate of a packet now; changes nothing (what_if.h).
  Result<WhatIfAnswer> what_if(const WhatIfQuestion& question) const;
  // Headers of packets dropped since the last call; each worker samples so many more until the next.
  std::vector<DropSample> drop_samples(std::uint32_t further);

  // Opens both ports and runs the workers. A device or ring that does not start is an error and leaves nothing running.
  // A peer that is absent yet (the other end of a vhost-user socket, a cable) is no error: the link is down until it
  // comes.
  Result<void> start();
  // Ends the workers and closes the ports. No packet moves afterwards. Can be called twice. start() may follow.
  void stop();

 private:
  struct State;
  explicit GatewayDataPlane(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
