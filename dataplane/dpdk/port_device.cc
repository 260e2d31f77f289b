// A port's device: from a port string to running queues, and back.
#include <fcntl.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "dataplane/dpdk/device_check.h"
#include "dataplane/dpdk/port_state.h"

namespace sealcast::dataplane {
namespace {

// A gateway that shares its CPU may not run for tens of milliseconds; at 10,000 packets a second this holds 400.
constexpr std::uint32_t default_framecnt = 4096;
// net_tap takes as many buffers from the pool as its queue has descriptors, and uses one at a time.
constexpr std::uint16_t tap_descriptors = 64;

// Moves the calling thread into a named network namespace for its lifetime; with an empty name it does nothing.
class InNamespace {
 public:
  explicit InNamespace(const std::string& name) {
    if (name.empty()) return;
    home_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    const Descriptor there(::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    entered_ = home_ >= 0 && there.get() >= 0 && ::setns(there.get(), CLONE_NEWNET) == 0;
  }
  ~InNamespace() {
    if (home_ < 0) return;
    if (entered_ && ::setns(home_, CLONE_NEWNET) != 0) std::abort();  // never continue in the wrong network
    ::close(home_);
  }
  InNamespace(const InNamespace&) = delete;
  InNamespace& operator=(const InNamespace&) = delete;
  bool entered() const { return entered_; }

 private:
  int home_ = -1;
  bool entered_ = true;
};

std::string mac_text(const std::array<std::uint8_t, 6>& mac) {
  return text(mac);
}

// Called by DPDK's background threads.
int on_link_change(std::uint16_t port, rte_eth_event_type, void* watch, void*) {
  auto* const w = static_cast<DeviceWatch*>(watch);
  rte_eth_link link{};
  const bool up = rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
  const bool first = w->changes++ == 0;
  if (!(first && w->stand_in && !up)) Eal::log(LogLevel::info, w->role + ": link is " + (up ? "up" : "down"));
  return 0;
}

int on_removal(std::uint16_t, rte_eth_event_type, void* watch, void*) {
  static_cast<DeviceWatch*>(watch)->removed = true;
  return 0;
}

}  // namespace

std::string unique_number() {
  static std::atomic<unsigned> next{0};
  return std::to_string(next++);
}

tl::unexpected<Error> Port::State::driver_problem(const std::string& step, int code) const {
  return problem(step + " failed (" + rte_strerror(code < 0 ? -code : code) + "): " + Eal::recent_log());
}

// The driver and its arguments for every kind that is a virtual device.
Result<std::pair<std::string, std::string>> Port::State::driver_arguments() const {
  using Arguments = std::pair<std::string, std::string>;
  const PortSpec& spec = config.spec;
  const std::string queues = std::to_string(spec.queues);
  const std::uint32_t descriptors = spec.descriptors == 0 ? default_descriptors : spec.descriptors;
  switch (spec.kind) {
    case PortKind::virtio_user:
      return Arguments{"net_virtio_user", "path=" + (first_peer ? first_peer->driver_path() : spec.target) +
                                              ",server=" + (spec.socket_server ? "1" : "0") + ",queues=" + queues +
                                              ",queue_size=" + std::to_string(descriptors)};
    case PortKind::vhost_user:
      return Arguments{"net_vhost",
                       "iface=" + spec.target + ",client=" + (spec.socket_server ? "0" : "1") + ",queues=" + queues};
    case PortKind::af_packet: {
      // The driver lays frames out as if blocks had no gaps, so a frame must divide a block; both are powers of two.
      const std::uint32_t block = std::max<std::uint32_t>(framesz, 65536);
      return Arguments{"net_af_packet",
                       "iface=" + spec.target + ",qpairs=" + queues + ",framesz=" + std::to_string(framesz) +
                           ",blocksz=" + std::to_string(block) +
                           ",framecnt=" + std::to_string(spec.framecnt == 0 ? default_framecnt : spec.framecnt)};
    }
    case PortKind::af_xdp:
      return Arguments{"net_af_xdp", "iface=" + spec.target + ",start_queue=" + std::to_string(spec.start_queue) +
                                         ",queue_count=" + queues + (spec.copy ? ",force_copy=1" : "")};
    case PortKind::tap:
      return Arguments{"net_tap", "iface=" + spec.target + (spec.mac ? ",mac=" + mac_text(*spec.mac) : "")};
    case PortKind::memif: {
      std::string arguments = std::string("role=") + (spec.socket_server ? "server" : "client") +
                              ",socket=" + memif->driver_path() +
                              ",socket-abstract=no,zero-copy=no,id=" + std::to_string(spec.memif_id);
      // The client chooses for both; a server follows.
      const std::uint32_t buffer = std::max<std::uint32_t>(2048, (config.mtu + link_overhead + 63U) & ~63U);
      arguments += ",bsize=" + std::to_string(buffer) + ",rsize=" + std::to_string(31 - __builtin_clz(descriptors));
      if (!spec.secret_file.empty()) {
        SEALCAST_TRY_ASSIGN(auto secret, read_memif_secret(spec));
        arguments += ",secret=" + std::string(secret.data(), secret.data() + secret.size());
      }
      return Arguments{"net_memif", arguments};
    }
    case PortKind::pcap: {
      std::string arguments;
      if (!spec.target.empty()) arguments = "rx_pcap=" + spec.target;
      if (!spec.output.empty()) arguments += std::string(arguments.empty() ? "" : ",") + "tx_pcap=" + spec.output;
      if (spec.infinite) arguments += ",infinite_rx=1";
      return Arguments{"net_pcap", arguments};
    }
    default:
      return Arguments{"net_null",
                       spec.frame_bytes == 0 ? std::string("no-rx=1") : "size=" + std::to_string(spec.frame_bytes)};
  }
}

Result<void> Port::State::probe_virtual(const std::string& driver, const std::string& arguments) {
  device = driver + unique_number();
  // check_device() found no listener on it; memif's public socket is not the driver's, nor is virtio-user's yet.
  if (config.spec.socket_server && config.spec.kind == PortKind::vhost_user) ::unlink(config.spec.target.c_str());
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
  if (memif)
    if (auto ok = memif->driver_is_bound(); !ok) return problem(ok.error().message);
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

// A driver took the device when the environment started. After the port was closed or the card pulled, it must be taken
// again.
Result<void> Port::State::probe_pci() {
  const std::string& address = config.spec.target;
  if (rte_eth_dev_get_port_by_name(address.c_str(), &id) == 0) return {};
  if (rte_dev_probe(address.c_str()) == 0 && rte_eth_dev_get_port_by_name(address.c_str(), &id) == 0) return {};
  id = RTE_MAX_ETHPORTS;
  return problem("no driver of DPDK takes the device: " + Eal::recent_log());
}

Result<void> Port::State::probe() {
  const PortSpec& spec = config.spec;
  if (spec.kind == PortKind::ring) return probe_ring();
  if (spec.kind == PortKind::pci) return probe_pci();
  if (spec.kind == PortKind::memif && !memif) {
    auto socket = MemifSocket::open({spec.target, spec.socket_server, spec.socket_mode});
    if (!socket) return problem(socket.error().message);
    memif = std::move(*socket);
  }
  if (spec.kind == PortKind::virtio_user && spec.socket_server) {
    auto opened = FirstPeer::open(spec.target);
    if (!opened) return problem(opened.error().message);
    first_peer = std::move(*opened);
  }
  SEALCAST_TRY_ASSIGN(auto arguments, driver_arguments());
  auto probed = probe_virtual(arguments.first, arguments.second);
  wipe(arguments.second.data(), arguments.second.size());  // it may hold a secret
  return probed;
}

Result<void> Port::State::set_up_queues(std::uint16_t rx, std::uint16_t tx) {
  if (const int result = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx); result != 0)
    return driver_problem("choosing the ring sizes", result);
  for (std::uint16_t queue = 0; queue < config.queues; ++queue) {
    if (const int result = rte_eth_rx_queue_setup(id, queue, rx, SOCKET_ID_ANY, nullptr, pool); result != 0)
      return driver_problem("setting up receive queue " + std::to_string(queue), result);
    if (const int result = rte_eth_tx_queue_setup(id, queue, tx, SOCKET_ID_ANY, nullptr); result != 0)
      return driver_problem("setting up transmit queue " + std::to_string(queue), result);
  }
  return {};
}

void Port::State::watch_events(bool link) {
  watch.role = config.role;
  watch.stand_in = first_peer != nullptr;
  watch.changes = 0;
  watch.removed = false;
  if (link) watching_link = rte_eth_dev_callback_register(id, RTE_ETH_EVENT_INTR_LSC, on_link_change, &watch) == 0;
  watching_removal = rte_eth_dev_callback_register(id, RTE_ETH_EVENT_INTR_RMV, on_removal, &watch) == 0;
}

Result<void> Port::State::configure() {
  const PortKind kind = config.spec.kind;
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(id, &info); result != 0)
    return driver_problem("reading the device's abilities", result);
  if (config.queues > info.max_rx_queues || config.queues > info.max_tx_queues)
    return problem(std::to_string(config.queues) + " queues are needed, one a worker; the device has " +
                   std::to_string(std::min(info.max_rx_queues, info.max_tx_queues)));
  // The other virtual devices report limits that they do not have.
  if ((kind == PortKind::pci || kind == PortKind::af_xdp) &&
      std::uint32_t{config.mtu} + link_overhead > info.max_rx_pktlen)
    return problem("MTU " + std::to_string(config.mtu) + " is more than the device can: " +
                   std::to_string(static_cast<int>(info.max_rx_pktlen) - link_overhead));
  counts_by_queue = info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_AUTOFILL_QUEUE_XSTATS) != 0;
  rte_eth_conf conf{};
  // With the interrupt, a driver watches its link (for virtio-user: its peer) in the background; without it, asking for
  // the link would run the driver's reconnection on the asking thread.
  conf.intr_conf.lsc = info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_INTR_LSC) != 0 ? 1 : 0;
  // The card's own event that it was pulled.
  conf.intr_conf.rmv = info.dev_flags != nullptr && (*info.dev_flags & RTE_ETH_DEV_INTR_RMV) != 0 ? 1 : 0;
  // An af_packet or af_xdp port's kernel interface keeps its owner's MTU; check_device() compared the two.
  conf.rxmode.mtu = kind == PortKind::pci || kind == PortKind::virtio_user ? config.mtu : 0;
  if (kind == PortKind::pci && config.queues > 1) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_ESP) & info.flow_type_rss_offloads;
  }
  if (const int result = rte_eth_dev_configure(id, config.queues, config.queues, &conf); result != 0)
    return driver_problem(
        "setting up " + std::to_string(config.queues) + " queues for MTU " + std::to_string(config.mtu), result);
  const auto entries =
      static_cast<std::uint16_t>(config.spec.descriptors == 0 ? default_descriptors : config.spec.descriptors);
  SEALCAST_TRY(set_up_queues(kind == PortKind::tap ? tap_descriptors : entries, entries));
  if (kind == PortKind::tap)
    if (const int result = rte_eth_dev_set_mtu(id, config.mtu); result != 0)
      return driver_problem("setting the interface's MTU to " + std::to_string(config.mtu), result);
  watch_events(conf.intr_conf.lsc != 0 || kind == PortKind::vhost_user);
  return {};
}

Result<void> Port::State::start_device() {
  if (const int result = rte_eth_dev_start(id); result != 0) return driver_problem("starting the device", result);
  started = true;
  if (first_peer)
    if (auto ok = first_peer->publish(); !ok) return problem(ok.error().message);
  return {};
}

Result<void> Port::State::open_device() {
  const PortSpec& spec = config.spec;
  Eal::mark_log();
  // net_tap opens everything it needs, its queues too, in the calling thread's namespace.
  const InNamespace there(spec.netns);
  if (!there.entered()) return problem("cannot enter network namespace " + spec.netns + ": " + std::strerror(errno));
  asking = std::make_unique<Descriptor>(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (spec.kind != PortKind::tap) interface = present_interface();
  SEALCAST_TRY(probe());
  if (spec.kind == PortKind::tap) interface = present_interface();
  SEALCAST_TRY(configure());
  // A memif client starts when its server is there (recover_memif).
  if (spec.kind != PortKind::memif || spec.socket_server) SEALCAST_TRY(start_device());
  apply_filter();
  lost = spec.kind == PortKind::memif;
  return {};
}

void Port::State::close_device() {
  const auto driver_path_lives = std::move(first_peer);  // until the driver has forgotten it
  if (id == RTE_MAX_ETHPORTS) return;
  if (started) {
    read_counters();
    rte_eth_dev_stop(id);
    started = false;
  }
  // Refused while a callback runs.
  while (watching_link &&
         rte_eth_dev_callback_unregister(id, RTE_ETH_EVENT_INTR_LSC, on_link_change, &watch) == -EAGAIN)
    std::this_thread::yield();
  while (watching_removal && rte_eth_dev_callback_unregister(id, RTE_ETH_EVENT_INTR_RMV, on_removal, &watch) == -EAGAIN)
    std::this_thread::yield();
  watching_link = watching_removal = false;
  if (config.spec.kind == PortKind::ring) {
    rte_eth_dev_close(id);
  } else if (config.spec.kind == PortKind::pci) {
    rte_eth_dev_info info{};
    const bool known = rte_eth_dev_info_get(id, &info) == 0;
    rte_eth_dev_close(id);
    if (known) rte_dev_remove(info.device);
  } else {
    rte_vdev_uninit(device.c_str());  // closes the port, too
  }
  id = RTE_MAX_ETHPORTS;
  if (config.spec.socket_server && !memif) ::unlink(config.spec.target.c_str());
  memif.reset();
  ring_end.reset();
  filter.forget();
  totals.seen = {};
}

}  // namespace sealcast::dataplane
