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

// What one queue pair of a device counted.
struct QueueStatistics {
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0, errors = 0;
};

// A port outlives its device: an interface that is deleted, a card that is pulled, a memif peer that dies take the
// device away, and the port opens it again when it can. Its pool, its counters and its number of queues stay. All
// methods may be called from several threads, but open(), tend(), recover() and close() from one at a time.
class Port {
 public:
  // Opens and starts the port. Eal::start() must have succeeded. An unknown device, a device another program holds, a
  // queue or ring that does not start: all are errors that name the remedy. A peer that is not there yet is not.
  static Result<std::unique_ptr<Port>> open(const PortConfig& config);
  ~Port();
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  // Stops and removes the device; frames in its rings are freed. Its pool stays until destruction: frames received here
  // may still sit in another port's transmit ring, so close all ports before destroying one.
  void close();

  std::uint16_t id() const;      // DPDK port number; may be another one after recover()
  std::uint16_t queues() const;  // rx/tx queue pairs
  const PortConfig& config() const;

  // Looks after the device, some times a second. ready: workers may use id(). lost: they must not, now or from this
  // moment on, and when none does any more recover() is to be called until the port is ready again. A port whose kind
  // cannot lose its device is always ready.
  enum class Condition : std::uint8_t { ready, lost };
  Condition tend();
  // One attempt to bring a lost device back, without waiting for anything; no worker may use id() meanwhile. Success
  // means that the condition is ready, or soon will be without another attempt; the error says what is missing.
  Result<void> recover();
  // File descriptors (for poll) on which there is something for tend() or recover() to do.
  void add_to(std::vector<pollfd>& list) const;

  // What the device should let through, from now on and after recover(). Until the first call: all multicast. What the
  // driver does not have is logged once.
  void set_multicast(const PortFilter& wanted);
  // What set_multicast() came to: "list", "all multicast", "promiscuous", "point to point".
  std::string multicast_level() const;

  bool link_up() const;
  // The device's own Ethernet address; nothing when there is no device.
  std::optional<MacAddress> mac() const;
  // name, device, link and what was counted since the port was opened, all its devices together; after close() the last
  // values, link down. tx_dropped counts what the driver gave up; frames its full ring refused are the caller's to add.
  PortStatistics statistics() const;
  // By queue, of the present device; empty where the driver does not count by queue.
  std::vector<QueueStatistics> queue_statistics() const;
  // Frames the device received but had no buffer or ring entry for.
  std::uint64_t rx_missed() const;
  // Packet buffers in use now, this pool; for tests that look for leaks.
  std::uint32_t buffers_in_use() const;
  // For frames of the gateway's own that are to be sent here.
  void* pool() const;  // rte_mempool

 private:
  struct State;
  explicit Port(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
