// One started network port: its device, its packet memory, its counters. No DPDK type in this header; id() is what the
// DPDK calls of this folder (and of tests/wire) take. docs/ports.md says what each kind of port needs and why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/port_spec.h"
#include "base/result.h"
#include "dataplane/packet/multicast_macs.h"

struct pollfd;

namespace sealcast::dataplane {

struct PortConfig {
  std::string role;                         // "red", "black", "port 0": names the port in messages
  PortSpec spec;                            // from parse_port
  std::uint16_t mtu = mtu_limits.standard;  // largest IP packet, bytes
  std::uint16_t queues = 1;                 // rx/tx queue pairs to set up; the spec must offer as many
  std::uint32_t mbufs = 0;        // packet buffers in this port's pool; 0 = the spec's, or enough for its queues
  std::uint32_t extra_mbufs = 0;  // ... beyond those, for frames that workers hold or pass to each other
};

// One queue pair's counters of a device.
struct QueueStatistics {
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0, errors = 0;
};

// A port outlives its device: an interface that is deleted, a card that is pulled or a memif peer that dies takes the
// device away, and the port opens it again when it can. Its pool, its counters and its number of queues stay. Several
// threads may call all methods, but open(), tend(), recover() and close() only one at a time.
class Port {
 public:
  // Opens and starts the port. Eal::start() must have succeeded. An unknown device, a device held by another program, a
  // queue or ring that does not start: each is an error that names the remedy. A peer that is not there yet is no
  // error.
  static Result<std::unique_ptr<Port>> open(const PortConfig& config);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // Stops and removes the device; frames in its rings are freed. Its pool stays until destruction: frames received here
  // may still sit in another port's transmit ring, so that all ports must be closed before one is destroyed.
  void close();

  std::uint16_t id() const;      // DPDK port number; may be another one after recover()
  std::uint16_t queues() const;  // rx/tx queue pairs
  const PortConfig& config() const;

  // Checks the device; call it several times a second. ready: workers may use id(). lost: they must not; once none
  // does, call recover() until the port is ready again. A port of a kind that cannot lose its device is always ready.
  enum class Condition : std::uint8_t { ready, lost };
  Condition tend();
  // Tries once to bring a lost device back, without waiting; no worker may use id() meanwhile. Success means that the
  // condition is ready, or soon will be without another attempt; the error says what is missing.
  Result<void> recover();
  // File descriptors (for poll) that show when tend() or recover() has work.
  void add_to(std::vector<pollfd>& list) const;

  // What the device must let through, from now on and after recover(). Until the first call: all multicast. A filter
  // that the driver lacks is logged once.
  void set_multicast(const PortFilter& wanted);
  // The result of set_multicast(): "list", "all multicast", "promiscuous", "point to point".
  std::string multicast_level() const;

  bool link_up() const;
  // The device's own Ethernet address; nothing without a device.
  std::optional<MacAddress> mac() const;
  // Name, device, link and the counters since the port was opened, over all its devices; after close() the last values,
  // link down. tx_dropped counts frames that the driver gave up; the caller must add those that its full ring refused.
  PortStatistics statistics() const;
  // By queue, of the present device; empty if the driver does not count by queue.
  std::vector<QueueStatistics> queue_statistics() const;
  // Frames that the device received but had no buffer or ring entry for.
  std::uint64_t rx_missed() const;
  // Packet buffers in use now, this pool; for tests that look for leaks.
  std::uint32_t buffers_in_use() const;
  // For the gateway's own frames to be sent here.
  void* pool() const;  // rte_mempool

 private:
  struct State;
  explicit Port(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
