#include "dataplane/dpdk/port.h"

#include <rte_bus_vdev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "dataplane/dpdk/device_check.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/first_peer.h"
#include "dataplane/dpdk/ring_end.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint16_t default_descriptors = 1024;
// A gateway that shares its CPU can be kept waiting for tens of milliseconds; at 10,000 packets a second this holds
// 400.
constexpr std::uint32_t default_framecnt = 4096;
constexpr unsigned pool_cache = 256;         // buffers a worker keeps to itself
constexpr std::uint16_t link_overhead = 22;  // Ethernet header and two VLAN tags
// The longest tail ESP adds after the inner packet (padding, trailer, ICV) and room to spare; what it adds in front
// fits the headroom every buffer has.
constexpr std::uint16_t tail_room = 64;

std::uint16_t next_power_of_two(std::uint32_t value) {
  std::uint32_t power = 2048;
  while (power < value)
    power *= 2;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(power, 65535));
}

std::string unique_number() {
  static std::atomic<unsigned> next{0};
  return std::to_string(next++);
}

struct LinkWatch {
  std::string role;
  bool stand_in = false;  // the first change is a stand-in peer's leave: no news
  std::atomic<int> changes{0};
};

// Called by DPDK's background threads.
int on_link_change(std::uint16_t port, rte_eth_event_type, void* watch, void*) {
  auto* const w = static_cast<LinkWatch*>(watch);
  rte_eth_link link{};
  rte_eth_link_get_nowait(port, &link);
  const bool up = link.link_status == RTE_ETH_LINK_UP;
  const bool first = w->changes++ == 0;
  if (!(first && w->stand_in && !up)) Eal::log(LogLevel::info, w->role + ": link is " + (up ? "up" : "down"));
  return 0;
}

}  // namespace

struct Port::State {
  PortConfig config;
  std::string device;                   // DPDK device name; empty for pci
  std::uint16_t id = RTE_MAX_ETHPORTS;  // RTE_MAX_ETHPORTS: no device
  std::uint32_t framesz = 0;            // af_packet ring frame, bytes
  rte_mempool* pool = nullptr;
  std::unique_ptr<RingEnd> ring_end;
  std::optional<FirstPeer> first_peer;
  bool started = false;
  LinkWatch watch;
  bool watching = false;
  PortStatistics last;
  std::uint64_t last_missed = 0;

  ~State();
  tl::unexpected<Error> problem(const std::string& text) const {
    return fail(config.role + ": port \"" + config.spec.text + "\": " + text);
  }
  tl::unexpected<Error> driver_problem(const std::string& step, int code) const {
    return problem(step + " failed (" + rte_strerror(code < 0 ? -code : code) + "): " + Eal::recent_log());
  }
  Result<void> probe();
  Result<void> probe_virtual(const std::string& driver, const std::string& arguments);
  Result<void> probe_ring();
  Result<void> make_pool();
  Result<void> configure();
  Result<void> hear_multicast();
  // The driver may take the stand-in for a peer until it has noticed its leave.
  bool stand_in_present() const {
    if (!first_peer) return false;
    const FirstPeer::Outcome outcome = first_peer->outcome();
    return outcome == FirstPeer::Outcome::connected || (outcome == FirstPeer::Outcome::served && watch.changes == 0);
  }
  void close();
  void read_counters(PortStatistics& out, std::uint64_t& missed) const;
};

namespace {

// The driver and its arguments for every kind that is a virtual device.
std::pair<std::string, std::string> driver_arguments(const PortSpec& spec, std::uint32_t framesz) {
  const std::string queues = std::to_string(spec.queues);
  switch (spec.kind) {
    case PortKind::virtio_user:
      return {"net_virtio_user",
              "path=" + spec.target + ",server=" + (spec.socket_server ? "1" : "0") + ",queues=" + queues +
                  ",queue_size=" + std::to_string(spec.descriptors == 0 ? default_descriptors : spec.descriptors)};
    case PortKind::vhost_user:
      return {"net_vhost",
              "iface=" + spec.target + ",client=" + (spec.socket_server ? "0" : "1") + ",queues=" + queues};
    case PortKind::af_packet: {
      // The driver lays frames out as if blocks had no gaps, so a frame must divide a block; both are powers of two.
      const std::uint32_t block = std::max<std::uint32_t>(framesz, 65536);
      return {"net_af_packet", "iface=" + spec.target + ",qpairs=" + queues + ",framesz=" + std::to_string(framesz) +
                                   ",blocksz=" + std::to_string(block) + ",framecnt=" +
                                   std::to_string(spec.framecnt == 0 ? default_framecnt : spec.framecnt)};
    }
    case PortKind::pcap: {
      std::string arguments;
      if (!spec.target.empty()) arguments = "rx_pcap=" + spec.target;
      if (!spec.output.empty()) arguments += std::string(arguments.empty() ? "" : ",") + "tx_pcap=" + spec.output;
      if (spec.infinite) arguments += ",infinite_rx=1";
      return {"net_pcap", arguments};
    }
    default:
      return {"net_null", spec.frame_bytes == 0 ? std::string("no-rx=1") : "size=" + std::to_string(spec.frame_bytes)};
  }
}

}  // namespace

Result<void> Port::State::probe_virtual(const std::string& driver, const std::string& arguments) {
  device = driver + unique_number();
  if (config.spec.socket_server) ::unlink(config.spec.target.c_str());  // check_device() found nobody listening on it
  if (config.spec.kind == PortKind::virtio_user && config.spec.socket_server) first_peer.emplace(config.spec.target);
  const int result = rte_vdev_init(device.c_str(), arguments.c_str());
  if (result != 0) {
    device.clear();
    if (Eal::recent_log().find("PACKET_FANOUT") != std::string::npos)
      return problem(
          "another process' af_packet port has the same fanout number (process id xor interface index) in this "
          "network namespace; start this process again, or give each gateway a namespace of its own");
    return driver_problem("opening the device", result);
  }
  if (rte_eth_dev_get_port_by_name(device.c_str(), &id) != 0) {
    id = RTE_MAX_ETHPORTS;
    return driver_problem("opening the device", ENODEV);
  }
  return {};
}

Result<void> Port::State::probe_ring() {
  const PortSpec& spec = config.spec;
  auto end = RingEnd::open(spec.target, spec.queues, spec.descriptors == 0 ? default_descriptors : spec.descriptors);
  if (!end) return problem(end.error().message);
  device = "sc_ring" + unique_number();
  const int port = rte_eth_from_rings(device.c_str(), (*end)->receive().data(), spec.queues, (*end)->transmit().data(),
                                      spec.queues, SOCKET_ID_ANY);
  if (port < 0) return driver_problem("opening the ring", rte_errno);
  ring_end = std::move(*end);
  id = static_cast<std::uint16_t>(port);
  return {};
}

Result<void> Port::State::probe() {
  const PortSpec& spec = config.spec;
  if (spec.kind == PortKind::ring) return probe_ring();
  if (spec.kind == PortKind::pci) {
    if (rte_eth_dev_get_port_by_name(spec.target.c_str(), &id) != 0) {
      id = RTE_MAX_ETHPORTS;
      return problem("no driver of DPDK took the device when it started: " + Eal::recent_log());
    }
    return {};
  }
  const auto [driver, arguments] = driver_arguments(spec, framesz);
  return probe_virtual(driver, arguments);
}

Result<void> Port::State::make_pool() {
  const PortSpec& spec = config.spec;
  const std::uint32_t descriptors = spec.descriptors == 0 ? default_descriptors : spec.descriptors;
  // Receive ring, the other port's transmit ring, both caches' share, a burst in hand.
  const std::uint32_t wanted = config.mbufs != 0 ? config.mbufs : config.queues * (2 * descriptors + 1024) + 1024;
  const std::uint32_t frame = std::max<std::uint32_t>(framesz, config.mtu + link_overhead + tail_room);
  const std::uint32_t room = std::max<std::uint32_t>(frame, 2048) + RTE_PKTMBUF_HEADROOM;
  if (room > 65535) return problem("framesz is too large for one packet buffer");
  const std::string pool_name = "sc_pool" + unique_number();
  pool = rte_pktmbuf_pool_create(pool_name.c_str(), wanted - 1, pool_cache, 0, static_cast<std::uint16_t>(room),
                                 SOCKET_ID_ANY);
  if (pool != nullptr) return {};
  const int error = rte_errno;
  return problem("no memory for " + std::to_string(wanted) + " packet buffers of " + std::to_string(room) + " bytes (" +
                 rte_strerror(error) + "); raise memory_mb");
}

Result<void> Port::State::configure() {
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(id, &info); result != 0)
    return driver_problem("reading the device's abilities", result);
  if (config.queues > info.max_rx_queues || config.queues > info.max_tx_queues)
    return problem(std::to_string(config.queues) + " queues are needed, one a worker; the device has " +
                   std::to_string(std::min(info.max_rx_queues, info.max_tx_queues)));
  rte_eth_conf conf{};
  // With the interrupt, a driver watches its link (for virtio-user: its peer) in the background; without it, asking for
  // the link would run the driver's reconnection on the asking thread.
  conf.intr_conf.lsc = info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0 ? 1 : 0;
  // The kernel interface of an af_packet port keeps the MTU its owner gave it; check_device() compared the two.
  const bool settable = config.spec.kind == PortKind::pci || config.spec.kind == PortKind::virtio_user;
  conf.rxmode.mtu = settable ? config.mtu : 0;
  if (config.spec.kind == PortKind::pci && config.queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_ESP) & info.flow_type_rss_offloads;
  }
  if (const int result = rte_eth_dev_configure(id, config.queues, config.queues, &conf); result != 0)
    return driver_problem(
        "setting up " + std::to_string(config.queues) + " queues for MTU " + std::to_string(config.mtu), result);
  std::uint16_t rx =
      static_cast<std::uint16_t>(config.spec.descriptors == 0 ? default_descriptors : config.spec.descriptors);
  std::uint16_t tx = rx;
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx); result != 0)
    return driver_problem("choosing the ring sizes", result);
  for (std::uint16_t queue = 0; queue < config.queues; ++queue) {
    if (const int result = rte_eth_rx_queue_setup(id, queue, rx, SOCKET_ID_ANY, nullptr, pool); result != 0)
      return driver_problem("setting up receive queue " + std::to_string(queue), result);
    if (const int result = rte_eth_tx_queue_setup(id, queue, tx, SOCKET_ID_ANY, nullptr); result != 0)
      return driver_problem("setting up transmit queue " + std::to_string(queue), result);
  }
  watch.role = config.role;
  watch.stand_in = first_peer.has_value();
  if (conf.intr_conf.lsc != 0 || config.spec.kind == PortKind::vhost_user)
    watching = rte_eth_dev_callback_register(id, RTE_ETH_EVENT_INTR_LSC, on_link_change, &watch) == 0;
  if (const int result = rte_eth_dev_start(id); result != 0) return driver_problem("starting the device", result);
  started = true;
  if (first_peer) first_peer->hang_up();
  return {};
}

// A bridge has to hear every group's MAC address. Few virtual devices can be told so, and those that cannot are point
// to point and hear everything; so "unsupported" is no error, and is said once.
Result<void> Port::State::hear_multicast() {
  int result = rte_eth_allmulticast_enable(id);
  if (result == 0) return {};
  if (result != -ENOTSUP) return driver_problem("receiving all multicast", result);
  result = rte_eth_promiscuous_enable(id);
  if (result == 0) return {};
  if (result != -ENOTSUP) return driver_problem("receiving all frames (promiscuous)", result);
  Eal::log(LogLevel::debug,
           config.role + ": the driver has neither all-multicast nor promiscuous mode; taken as point to point");
  return {};
}

void Port::State::read_counters(PortStatistics& out, std::uint64_t& missed) const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id, &stats) != 0) return;
  out.rx_packets = stats.ipackets;
  out.rx_bytes = stats.ibytes;
  out.tx_packets = stats.opackets;
  out.tx_bytes = stats.obytes;
  // The vhost driver also counts what it leaves to its caller, who counts that itself.
  out.tx_dropped = config.spec.kind == PortKind::vhost_user ? 0 : stats.oerrors;
  missed = stats.imissed + stats.rx_nombuf;
}

void Port::State::close() {
  first_peer.reset();
  if (id == RTE_MAX_ETHPORTS) return;
  if (started) {
    read_counters(last, last_missed);
    rte_eth_dev_stop(id);
    started = false;
  }
  // Refused while a callback runs.
  while (watching && rte_eth_dev_callback_unregister(id, RTE_ETH_EVENT_INTR_LSC, on_link_change, &watch) == -EAGAIN)
    std::this_thread::yield();
  watching = false;
  if (config.spec.kind == PortKind::ring || config.spec.kind == PortKind::pci) {
    rte_eth_dev_close(id);
  } else {
    rte_vdev_uninit(device.c_str());  // closes the port, too
  }
  id = RTE_MAX_ETHPORTS;
  if (config.spec.socket_server) ::unlink(config.spec.target.c_str());
  ring_end.reset();
}

Port::State::~State() {
  close();
  if (pool == nullptr) return;
  if (rte_mempool_full(pool) == 1) {
    rte_mempool_free(pool);
  } else {
    // Freeing memory somebody still writes to is worse than keeping it until the process ends.
    Eal::log(LogLevel::warning, config.role + ": " + std::to_string(rte_mempool_in_use_count(pool)) +
                                    " packet buffers are still in use; their pool is kept");
  }
}

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config) {
  auto state = std::make_unique<State>();
  state->config = config;
  state->last.name = config.role;
  state->last.device = config.spec.text;
  if (!Eal::started()) return state->problem("DPDK is not started");
  if (config.mtu < 68 || config.mtu > 9000)
    return state->problem("mtu: expected 68 to 9000 bytes, got " + std::to_string(config.mtu));
  if (auto ok = check_device(config.spec, config.mtu); !ok) return fail(config.role + ": " + ok.error().message);
  const bool counts_queues = config.spec.kind != PortKind::null && config.spec.kind != PortKind::pci;
  if (config.queues == 0 || (counts_queues && config.queues > config.spec.queues))
    return state->problem(std::to_string(config.queues) + " queues are needed, one a worker; the port string offers " +
                          std::to_string(config.spec.queues) + " (option queues, where the kind has it)");
  if (config.spec.kind == PortKind::af_packet)
    // In front of the frame the kernel puts its own header (52 bytes and alignment).
    state->framesz = config.spec.framesz != 0 ? config.spec.framesz
                                              : next_power_of_two(std::uint32_t{config.mtu} + link_overhead + 96);
  if (config.spec.framesz != 0 && config.spec.framesz < std::uint32_t{config.mtu} + link_overhead + 96)
    return state->problem("framesz " + std::to_string(config.spec.framesz) + " is too small for MTU " +
                          std::to_string(config.mtu) + "; leave it out and it follows the MTU");

  Eal::mark_log();
  if (auto ok = state->make_pool(); !ok) return tl::unexpected(ok.error());
  if (auto ok = state->probe(); !ok) return tl::unexpected(ok.error());
  if (auto ok = state->configure(); !ok) return tl::unexpected(ok.error());
  if (auto ok = state->hear_multicast(); !ok) return tl::unexpected(ok.error());
  return std::unique_ptr<Port>(new Port(std::move(state)));
}

Port::Port(std::unique_ptr<State> state) : state_(std::move(state)) {}
Port::~Port() = default;

void Port::close() {
  state_->close();
}
std::uint16_t Port::id() const {
  return state_->id;
}
std::uint16_t Port::queues() const {
  return state_->config.queues;
}
const PortConfig& Port::config() const {
  return state_->config;
}

bool Port::link_up() const {
  if (!state_->started || state_->stand_in_present()) return false;
  rte_eth_link link{};
  return rte_eth_link_get_nowait(state_->id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

PortStatistics Port::statistics() const {
  PortStatistics now = state_->last;
  std::uint64_t missed = 0;
  if (state_->started) state_->read_counters(now, missed);
  now.link_up = link_up();
  return now;
}

std::uint64_t Port::rx_missed() const {
  PortStatistics ignored;
  std::uint64_t missed = state_->last_missed;
  if (state_->started) state_->read_counters(ignored, missed);
  return missed;
}

std::uint32_t Port::buffers_in_use() const {
  return rte_mempool_in_use_count(state_->pool);
}

}  // namespace sealcast::dataplane
