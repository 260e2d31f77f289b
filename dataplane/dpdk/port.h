// One started network port: its device, its packet memory, its counters. No DPDK type in this header; id() is what the
// DPDK calls of this folder (and of tests/wire) take. docs/ports.md says what each kind of port needs and why.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/dataplane_control.h"
#include "base/result.h"
#include "dataplane/dpdk/port_spec.h"

namespace sealcast::dataplane {

struct PortConfig {
  std::string role;          // "red", "black", "port 0": names the port in messages
  PortSpec spec;             // from parse_port
  std::uint16_t mtu = 1500;  // largest IP packet, bytes: 68..9000
  std::uint16_t queues = 1;  // rx/tx queue pairs to set up; the spec must offer as many
  std::uint32_t mbufs = 0;   // packet buffers in this port's pool; 0 = enough for its queues
};

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

  std::uint16_t id() const;      // DPDK port number
  std::uint16_t queues() const;  // rx/tx queue pairs
  const PortConfig& config() const;

  bool link_up() const;
  // name, device, link and what the device counted since it was opened; after close() the last values, link down.
  // tx_dropped counts what the driver gave up; frames its full ring refused are the caller's to add.
  PortStatistics statistics() const;
  // Frames the device received but had no buffer or ring entry for.
  std::uint64_t rx_missed() const;
  // Packet buffers in use now, this pool; for tests that look for leaks.
  std::uint32_t buffers_in_use() const;

 private:
  struct State;
  explicit Port(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
