// A port's state. Internal to port.cc and port_device.cc.
#pragma once

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <atomic>
#include <memory>
#include <mutex>

#include "base/descriptor.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/first_peer.h"
#include "dataplane/dpdk/memif_socket.h"
#include "dataplane/dpdk/multicast_filter.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/ring_end.h"

namespace sealcast::dataplane {

inline constexpr std::uint16_t default_descriptors = 1024;
inline constexpr std::uint16_t link_overhead = 22;  // Ethernet header and two VLAN tags

// Events of a device, from DPDK's background threads.
struct DeviceWatch {
  std::string role;
  bool stand_in = false;  // the first change only means that the stand-in peer left
  std::atomic<int> changes{0};
  std::atomic<bool> removed{false};  // reported by the bus
};

// One device's counters at the last look, and the sum over all of the port's devices.
struct Totals {
  rte_eth_stats seen{};
  std::uint64_t rx_packets = 0, rx_bytes = 0, tx_packets = 0, tx_bytes = 0, tx_dropped = 0, rx_missed = 0;
  void add(const rte_eth_stats& now);
};

struct Port::State {
  mutable std::mutex mutex;  // guards everything below except config and pool
  PortConfig config;
  rte_mempool* pool = nullptr;

  std::string device;                   // DPDK device name; empty for pci
  std::uint16_t id = RTE_MAX_ETHPORTS;  // RTE_MAX_ETHPORTS: no device
  int interface = 0;                    // kernel's number of the opened interface, if there is one
  std::unique_ptr<Descriptor> asking;   // a socket in the interface's network namespace
  std::uint32_t framesz = 0;            // af_packet ring frame, bytes
  std::unique_ptr<RingEnd> ring_end;
  std::unique_ptr<FirstPeer> first_peer;
  std::unique_ptr<MemifSocket> memif;
  bool started = false;
  bool lost = false;
  DeviceWatch watch;
  bool watching_link = false, watching_removal = false;

  Totals totals;
  bool counts_by_queue = false;
  MulticastFilter filter;
  PortFilter wanted;
  MulticastFilter::Level level = MulticastFilter::Level::none;

  ~State();
  tl::unexpected<Error> problem(const std::string& text) const {
    return fail(config.role + ": port \"" + config.spec.text + "\": " + text);
  }
  tl::unexpected<Error> driver_problem(const std::string& step, int code) const;

  // Call it before the first device.
  Result<void> check() const;
  Result<void> make_pool();
  // The device, from nothing to running (port_device.cc). A memif port's device runs when its peer is there.
  Result<void> open_device();
  Result<void> probe();
  Result<void> probe_virtual(const std::string& driver, const std::string& arguments);
  Result<void> probe_ring();
  Result<void> probe_pci();
  Result<std::pair<std::string, std::string>> driver_arguments() const;
  Result<void> configure();
  Result<void> set_up_queues(std::uint16_t rx, std::uint16_t tx);
  Result<void> start_device();
  void watch_events(bool link);
  void close_device();

  void apply_filter();
  void read_counters();
  bool device_link() const;
  // The kernel's number of the interface with the port's name now, 0 if there is none; and whether it is up and
  // running.
  int present_interface() const;
  bool interface_runs() const;
  // The driver takes the stand-in for a peer until it notices that it left: that is the link's first change.
  bool stand_in_present() const { return first_peer && watch.changes == 0; }
  Result<void> recover_memif();
};

std::string unique_number();

}  // namespace sealcast::dataplane
