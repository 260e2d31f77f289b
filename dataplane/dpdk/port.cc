#include "dataplane/dpdk/port.h"

#include <net/if.h>
#include <poll.h>
#include <rte_alarm.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "dataplane/dpdk/device_check.h"
#include "dataplane/dpdk/port_state.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;

constexpr unsigned pool_cache = 256;  // buffers that a worker caches
// The longest tail ESP adds after the inner packet (padding, trailer, ICV) and room to spare; its front fits the
// headroom of every buffer.
constexpr std::uint16_t tail_room = 64;
// The size of the kernel's fill ring with net_af_xdp, whatever its queues' size.
constexpr std::uint32_t af_xdp_fill = 2048;

std::uint32_t next_power_of_two(std::uint32_t value) {
  std::uint32_t power = 2048;
  while (power < value)
    power *= 2;
  return std::min<std::uint32_t>(power, 65535);
}

bool is_interface(PortKind kind) {
  return kind == PortKind::af_packet || kind == PortKind::af_xdp || kind == PortKind::tap;
}

// Returns when the thread for drivers' background work has finished its present task.
void wait_for_background() {
  std::atomic<bool> passed{false};
  if (rte_eal_alarm_set(
          1, [](void* flag) { static_cast<std::atomic<bool>*>(flag)->store(true); }, &passed) != 0)
    return;
  while (!passed)
    std::this_thread::sleep_for(100us);
}

class EthernetDevice final : public FilterDevice {
 public:
  explicit EthernetDevice(std::uint16_t id) : id_(id) {}
  int set_list(std::span<const MacAddress> addresses) override {
    std::vector<rte_ether_addr> list(addresses.size());
    for (std::size_t i = 0; i < list.size(); ++i)
      std::copy(addresses[i].begin(), addresses[i].end(), list[i].addr_bytes);
    return rte_eth_dev_set_mc_addr_list(id_, list.data(), static_cast<std::uint32_t>(list.size()));
  }
  int all_multicast(bool on) override {
    return on ? rte_eth_allmulticast_enable(id_) : rte_eth_allmulticast_disable(id_);
  }
  int promiscuous(bool on) override { return on ? rte_eth_promiscuous_enable(id_) : rte_eth_promiscuous_disable(id_); }

 private:
  std::uint16_t id_;
};

}  // namespace

void Totals::add(const rte_eth_stats& now) {
  // A device may count from 0 again; the sum goes on.
  const auto grown = [](std::uint64_t from, std::uint64_t to) { return to >= from ? to - from : to; };
  rx_packets += grown(seen.ipackets, now.ipackets);
  rx_bytes += grown(seen.ibytes, now.ibytes);
  tx_packets += grown(seen.opackets, now.opackets);
  tx_bytes += grown(seen.obytes, now.obytes);
  tx_dropped += grown(seen.oerrors, now.oerrors);
  rx_missed += grown(seen.imissed, now.imissed) + grown(seen.rx_nombuf, now.rx_nombuf);
  seen = now;
}

// A memif device without a peer forgets its counters.
void Port::State::read_counters() {
  rte_eth_stats stats{};
  if (!started || (memif && !device_link()) || rte_eth_stats_get(id, &stats) != 0) return;
  // The vhost driver also counts frames it did not take; the caller counts these itself.
  if (config.spec.kind == PortKind::vhost_user) stats.oerrors = 0;
  totals.add(stats);
}

bool Port::State::device_link() const {
  if (!started || stand_in_present()) return false;
  const PortKind kind = config.spec.kind;
  if (kind == PortKind::af_packet || kind == PortKind::af_xdp)
    // Their drivers report the link as up all the time.
    return present_interface() == interface && interface_runs();
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

int Port::State::present_interface() const {
  ifreq request{};
  config.spec.target.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  return asking && ::ioctl(asking->get(), SIOCGIFINDEX, &request) == 0 ? request.ifr_ifindex : 0;
}

bool Port::State::interface_runs() const {
  ifreq request{};
  config.spec.target.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  constexpr int wanted_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(asking->get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & wanted_flags) == wanted_flags;
}

void Port::State::apply_filter() {
  EthernetDevice ethernet(id);
  const auto before = level;
  level = filter.apply(ethernet, wanted,
                       [&](const std::string& line) { Eal::log(LogLevel::info, config.role + ": " + line); });
  if (level != before)
    Eal::log(LogLevel::debug, config.role + ": multicast reception: " + std::string(dataplane::name(level)));
}

Result<void> Port::State::make_pool() {
  const PortSpec& spec = config.spec;
  const std::uint32_t descriptors = spec.descriptors == 0 ? default_descriptors : spec.descriptors;
  // Receive ring, the other port's transmit ring, both caches' share, a burst in hand.
  std::uint32_t each = 2 * descriptors + 1024;
  // What the device itself holds before the first frame comes, and a cache for each thread that moves frames.
  std::uint32_t least = descriptors + pool_cache;
  if (spec.kind == PortKind::af_xdp) {
    each += 2 * af_xdp_fill;
    least = 2 * af_xdp_fill + pool_cache;
  }
  const std::uint32_t asked = config.mbufs != 0 ? config.mbufs : spec.mbufs;
  const std::uint32_t count = asked != 0 ? asked : config.queues * each + 1024 + config.extra_mbufs;
  if (spec.mbufs != 0 && count < config.queues * least)
    return problem("mbufs " + std::to_string(count) + " is too few for " + std::to_string(config.queues) +
                   " queues: at least " + std::to_string(config.queues * least) + " (" +
                   std::to_string(config.queues * each + 1024) + " if it is left out)");
  const std::uint32_t frame = std::max<std::uint32_t>(framesz, config.mtu + link_overhead + tail_room);
  const std::uint32_t room = std::max<std::uint32_t>(frame, 2048) + RTE_PKTMBUF_HEADROOM;
  if (room > 65535) return problem("framesz is too large for one packet buffer");
  const std::string pool_name = "sc_pool" + unique_number();
  pool = rte_pktmbuf_pool_create(pool_name.c_str(), count - 1, pool_cache, 0, static_cast<std::uint16_t>(room),
                                 SOCKET_ID_ANY);
  if (pool != nullptr) return {};
  const int error = rte_errno;
  return problem("no memory for " + std::to_string(count) + " packet buffers of " + std::to_string(room) + " bytes, " +
                 std::to_string((std::uint64_t{count} * (room + 192) >> 20) + 1) + " MiB (" + rte_strerror(error) +
                 "); raise memory_mb or lower the port's mbufs");
}

Port::State::~State() {
  close_device();
  if (pool == nullptr) return;
  if (rte_mempool_full(pool) == 1) {
    rte_mempool_free(pool);
  } else {
    // Freeing memory that a device still writes to is worse than keeping it until the process ends.
    Eal::log(LogLevel::warning, config.role + ": " + std::to_string(rte_mempool_in_use_count(pool)) +
                                    " packet buffers are still in use; their pool is kept");
  }
}

Result<void> Port::State::check() const {
  if (!Eal::started()) return problem("DPDK is not started");
  if (!mtu_limits.allow(config.mtu))
    return problem("mtu: expected " + mtu_limits.range() + " bytes, got " + std::to_string(config.mtu));
  if (auto ok = check_device(config.spec, config.mtu); !ok) return fail(config.role + ": " + ok.error().message);
  const bool counts_queues = config.spec.kind != PortKind::null && config.spec.kind != PortKind::pci;
  if (config.queues == 0 || (counts_queues && config.queues > config.spec.queues))
    return problem(std::to_string(config.queues) + " queues are needed, one a worker; the port string offers " +
                   std::to_string(config.spec.queues) + " (option queues, where the kind has it)");
  if (config.spec.framesz != 0 && config.spec.framesz < std::uint32_t{config.mtu} + link_overhead + 96)
    return problem("framesz " + std::to_string(config.spec.framesz) + " is too small for MTU " +
                   std::to_string(config.mtu) + "; leave it out and it follows the MTU");
  return {};
}

Result<std::unique_ptr<Port>> Port::open(const PortConfig& config) {
  auto state = std::make_unique<State>();
  state->config = config;
  state->wanted.all_multicast = true;
  SEALCAST_TRY(state->check());
  if (config.spec.kind == PortKind::af_packet)
    // The kernel puts its own header in front of the frame (52 bytes and alignment).
    state->framesz = config.spec.framesz != 0 ? config.spec.framesz
                                              : next_power_of_two(std::uint32_t{config.mtu} + link_overhead + 96);
  Eal::mark_log();
  SEALCAST_TRY(state->make_pool());
  SEALCAST_TRY(state->open_device());
  return std::unique_ptr<Port>(new Port(std::move(state)));
}

Port::Port(std::unique_ptr<State> state) : state_(std::move(state)) {}
Port::~Port() = default;

void Port::close() {
  const std::lock_guard lock(state_->mutex);
  state_->lost = true;
  state_->close_device();
}

Port::Condition Port::tend() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (s.lost && !s.memif) return Condition::lost;
  if (s.memif) {
    const MemifSocket::State state = s.memif->step();
    s.lost = !(state == MemifSocket::State::relaying && s.device_link());
  } else if (s.watch.removed || (is_interface(s.config.spec.kind) && s.present_interface() != s.interface)) {
    s.lost = true;
  }
  return s.lost ? Condition::lost : Condition::ready;
}

Result<void> Port::recover() {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  if (s.memif) return s.recover_memif();
  s.close_device();
  if (auto ok = check_device(s.config.spec, s.config.mtu); !ok) return fail(s.config.role + ": " + ok.error().message);
  auto opened = s.open_device();
  if (!opened) {
    s.close_device();
    s.lost = true;
  }
  return opened;
}

Result<void> Port::State::recover_memif() {
  switch (memif->step()) {
    case MemifSocket::State::waiting:
      return problem("no peer yet");
    case MemifSocket::State::relaying:
      return {};
    case MemifSocket::State::server_found:
      return memif->connect_driver([&] { return start_device(); });
    case MemifSocket::State::left:
      break;
  }
  read_counters();
  memif->hang_up();
  // The driver notices it in the background: first the link goes down, then it unmaps the shared memory.
  for (int i = 0; i < 1000 && device_link(); ++i)
    std::this_thread::sleep_for(1ms);
  wait_for_background();
  if (!config.spec.socket_server && started) {
    rte_eth_dev_stop(id);
    started = false;
  }
  return problem("the peer is gone");
}

void Port::add_to(std::vector<pollfd>& list) const {
  const std::lock_guard lock(state_->mutex);
  if (state_->memif) state_->memif->add_to(list);
}

void Port::set_multicast(const PortFilter& wanted) {
  const std::lock_guard lock(state_->mutex);
  if (state_->wanted == wanted) return;
  state_->wanted = wanted;
  if (state_->id != RTE_MAX_ETHPORTS) state_->apply_filter();
}

std::string Port::multicast_level() const {
  const std::lock_guard lock(state_->mutex);
  return std::string(dataplane::name(state_->level));
}

std::uint16_t Port::id() const {
  const std::lock_guard lock(state_->mutex);
  return state_->id;
}
std::uint16_t Port::queues() const {
  return state_->config.queues;
}
const PortConfig& Port::config() const {
  return state_->config;
}

bool Port::link_up() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->lost && state_->device_link();
}

std::optional<MacAddress> Port::mac() const {
  const std::lock_guard lock(state_->mutex);
  rte_ether_addr address{};
  if (state_->id == RTE_MAX_ETHPORTS || rte_eth_macaddr_get(state_->id, &address) != 0) return std::nullopt;
  MacAddress out;
  std::copy(address.addr_bytes, address.addr_bytes + 6, out.begin());
  return out;
}

PortStatistics Port::statistics() const {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  s.read_counters();
  PortStatistics now;
  now.name = s.config.role;
  now.device = s.config.spec.text;
  now.link_up = !s.lost && s.device_link();
  now.rx_packets = s.totals.rx_packets;
  now.rx_bytes = s.totals.rx_bytes;
  now.tx_packets = s.totals.tx_packets;
  now.tx_bytes = s.totals.tx_bytes;
  now.tx_dropped = s.totals.tx_dropped;
  return now;
}

std::vector<QueueStatistics> Port::queue_statistics() const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  rte_eth_stats stats{};
  if (!s.started || !s.counts_by_queue || rte_eth_stats_get(s.id, &stats) != 0) return {};
  std::vector<QueueStatistics> queues(s.config.queues);
  for (std::size_t i = 0; i < queues.size(); ++i)
    queues[i] = {stats.q_ipackets[i], stats.q_ibytes[i], stats.q_opackets[i], stats.q_obytes[i], stats.q_errors[i]};
  return queues;
}

std::uint64_t Port::rx_missed() const {
  const std::lock_guard lock(state_->mutex);
  state_->read_counters();
  return state_->totals.rx_missed;
}

std::uint32_t Port::buffers_in_use() const {
  return rte_mempool_in_use_count(state_->pool);
}

void* Port::pool() const {
  return state_->pool;
}

}  // namespace sealcast::dataplane
