#include "dataplane/dpdk/gateway.h"

#include <rte_cycles.h>
#include <rte_random.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

#include "dataplane/aead/engine.h"
#include "dataplane/control/control.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/host_interface.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/port_keeper.h"
#include "dataplane/dpdk/rcu_publisher.h"
#include "dataplane/dpdk/reassembly.h"
#include "dataplane/dpdk/spread.h"
#include "dataplane/dpdk/telemetry.h"
#include "dataplane/dpdk/worker_thread.h"
#include "dataplane/membership/black_listener.h"
#include "dataplane/neighbours/red_beacon.h"
#include "dataplane/packet/red_mark.h"

namespace sealcast::dataplane {
namespace {

WorkerThreadCounters operator+(WorkerThreadCounters a, const WorkerThreadCounters& b) {
  a.red_tx_full += b.red_tx_full;
  a.black_tx_full += b.black_tx_full;
  a.not_contiguous += b.not_contiguous;
  a.hand_off_full += b.hand_off_full;
  a.reply_full += b.reply_full;
  a.cut += b.cut;
  a.cut_no_buffer += b.cut_no_buffer;
  a.cut_impossible += b.cut_impossible;
  a.naps += b.naps;
  a.window_full += b.window_full;
  for (std::size_t i = 0; i < a.hand_off_full_of.size(); ++i)
    a.hand_off_full_of[i] += b.hand_off_full_of[i];
  return a;
}

}  // namespace

// The plane's own control; adds this layer's counters to its statistics.
class GatewayControl final : public DataPlaneControl {
 public:
  GatewayControl(DataPlane& plane, std::function<void(DataPlaneStatistics&)> add, std::function<void()> policy_changed)
      : plane_(plane), add_(std::move(add)), policy_changed_(std::move(policy_changed)) {}

  std::uint32_t workers() const override { return plane_.workers(); }
  Result<void> protect_all(const std::vector<NamedProtection>& groups) override {
    auto done = plane_.protect_all(groups);
    if (done) policy_changed_();
    return done;
  }
  Result<void> unprotect_all(const std::vector<std::string>& group_ids) override {
    auto done = plane_.unprotect_all(group_ids);
    if (done) policy_changed_();
    return done;
  }
  Result<void> install(GroupEpoch epoch) override { return plane_.install(std::move(epoch)); }
  Result<void> add_inbound(const std::string& group_id, std::uint64_t epoch,
                           std::vector<sealcast::InboundSa> slots) override {
    return plane_.add_inbound(group_id, epoch, std::move(slots));
  }
  Result<void> replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                std::vector<sealcast::OutboundSa> slots) override {
    return plane_.replace_outbound(group_id, epoch, std::move(slots));
  }
  Result<void> activate(const std::string& group_id, std::uint64_t epoch) override {
    return plane_.activate(group_id, epoch);
  }
  Result<void> extend_lease(const std::string& group_id, SteadyTime until) override {
    return plane_.extend_lease(group_id, until);
  }
  Result<void> set_clock(const std::string& group_id, std::uint64_t epoch, const EpochClock& clock) override {
    return plane_.set_clock(group_id, epoch, clock);
  }
  Result<void> retire(const std::string& group_id, std::uint64_t epoch) override {
    return plane_.retire(group_id, epoch);
  }
  void drop_all_outbound() override { plane_.drop_all_outbound(); }
  Result<void> send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) override {
    return plane_.send_sealed(group_id, esp);
  }
  DataPlaneEvents take_events() override { return plane_.take_events(); }
  DataPlaneStatistics statistics() const override {
    DataPlaneStatistics all = plane_.statistics();
    add_(all);
    return all;
  }
  std::vector<SaStatistics> statistics_of_group(const std::string& group_id) const override {
    return plane_.statistics_of_group(group_id);
  }

 private:
  DataPlane& plane_;
  std::function<void(DataPlaneStatistics&)> add_;
  std::function<void()> policy_changed_;
};

// Destroyed in reverse: threads, ports, plane, publisher.
struct GatewayDataPlane::State {
  GatewayOptions options;
  PortSpec red_spec, black_spec;
  std::unique_ptr<RcuPublisher> publisher;
  std::unique_ptr<HostInterface> host;  // before the plane: its workers use the filter
  std::unique_ptr<DataPlane> plane;
  std::unique_ptr<GatewayControl> control;
  std::vector<std::unique_ptr<Reassembler>> reassemblers;  // their buffers may be in the ports' rings
  std::unique_ptr<Port> red, black;
  ActivePorts active;
  std::unique_ptr<WorkerThreads> threads;
  std::unique_ptr<PortKeeper> keeper;
  WorkerThreadCounters before;  // of threads that have ended

  // What the black port must receive, set by two threads: for the policy, and for the host interface's addresses.
  std::mutex filter_mutex;
  PortFilter black_filter;
  std::vector<MacAddress> host_groups;

  WorkerThreadCounters counters() const { return threads ? before + threads->counters() : before; }
  std::vector<PortStatistics> port_statistics() const;
  void add_to(DataPlaneStatistics& all) const;
  Result<std::unique_ptr<Port>> open(const char* role, const PortSpec& spec, std::uint16_t mtu) const;
  void listen();
  void leave();
  void policy_changed();
  void host_changed(const HostAddresses& addresses);
  void filter_black();  // filter_mutex is held
  Result<void> start_host();
  void stop();
};

// Also called with every group before the ports are open, when it costs nothing.
void GatewayDataPlane::State::policy_changed() {
  if (!red || !black) return;
  PortFilter wanted = plane->listener().red_filter();
  if (plane->beacon().sends() && !wanted.all_multicast)
    wanted.multicast.insert(std::lower_bound(wanted.multicast.begin(), wanted.multicast.end(), beacon_mac), beacon_mac);
  red->set_multicast(wanted);
  const std::lock_guard lock(filter_mutex);
  black_filter = plane->listener().black_filter();
  filter_black();
}

// Neighbours ask for an IPv6 address at the group made of its last three bytes (RFC 4861 §4.3).
void GatewayDataPlane::State::host_changed(const HostAddresses& addresses) {
  const std::lock_guard lock(filter_mutex);
  host_groups.clear();
  for (const IpAddress& own : addresses.addresses)
    if (own.family == 6) host_groups.push_back({0x33, 0x33, 0xff, own.bytes[13], own.bytes[14], own.bytes[15]});
  filter_black();
}

void GatewayDataPlane::State::filter_black() {
  PortFilter wanted = black_filter;
  if (!wanted.all_multicast) {
    wanted.multicast.insert(wanted.multicast.end(), host_groups.begin(), host_groups.end());
    std::sort(wanted.multicast.begin(), wanted.multicast.end());
    wanted.multicast.erase(std::unique(wanted.multicast.begin(), wanted.multicast.end()), wanted.multicast.end());
  }
  black->set_multicast(wanted);
}

Result<void> GatewayDataPlane::State::start_host() {
  if (!host) return {};
  HostInterface::Run run;
  run.pool = black->pool();
  run.workers = options.workers;
  run.tsc_hz = rte_get_tsc_hz();
  // A card receives only its own address, unless a bypass rule makes it promiscuous; virtual devices receive
  // everything, and their address is not always theirs alone.
  if (black_spec.kind == PortKind::pci) run.mac = black->mac();
  run.synchronize = [this] { publisher->synchronize(); };
  run.changed = [this](const HostAddresses& addresses) { host_changed(addresses); };
  return host->start(std::move(run));
}

std::vector<PortStatistics> GatewayDataPlane::State::port_statistics() const {
  const auto of = [](const std::unique_ptr<Port>& port, const char* role, const GatewayPort& configured) {
    if (port) return port->statistics();
    PortStatistics none;
    none.name = role;
    none.device = configured.device;
    return none;
  };
  const WorkerThreadCounters mine = counters();
  std::vector<PortStatistics> both{of(red, "red", options.red), of(black, "black", options.black)};
  both[0].tx_dropped += mine.red_tx_full;
  both[1].tx_dropped += mine.black_tx_full;
  return both;
}

void GatewayDataPlane::State::add_to(DataPlaneStatistics& all) const {
  const WorkerThreadCounters mine = counters();
  all.drops.push_back({"not_contiguous", mine.not_contiguous});
  all.drops.push_back({"hand_off_full", mine.hand_off_full});
  for (WorkerStatistics& worker : all.workers)
    if (const std::uint64_t full = mine.hand_off_full_of.at(worker.index); full != 0)
      worker.drops.push_back({"hand_off_full", full});
  all.spread_waits = mine.window_full;
  all.drops.push_back({"reply_full", mine.reply_full});
  all.drops.push_back({"no_fragment_buffer", mine.cut_no_buffer});
  all.drops.push_back({"not_cut", mine.cut_impossible});
  DropCount refused{"reassembly_refused"}, no_buffer{"reassembly_no_buffer"}, expired{"reassembly_expired"};
  for (const auto& reassembler : reassemblers) {
    const Reassembler::Counters& counters = reassembler->counters();
    refused.packets += counters.refused.get();
    no_buffer.packets += counters.no_buffer.get();
    expired.packets += counters.expired.get();
    all.reassembled += counters.packets.get();
  }
  all.drops.push_back(refused);
  all.drops.push_back(no_buffer);
  all.drops.push_back(expired);
  all.cut += mine.cut;
  all.drops.push_back({"red_rx_missed", red ? red->rx_missed() : 0});
  all.drops.push_back({"black_rx_missed", black ? black->rx_missed() : 0});
  if (!host) return;
  const HostCounters its = host->counters();
  all.drops.push_back({"host_not_allowed", its.not_allowed});
  all.drops.push_back({"host_limited", its.limited});
}

Result<std::unique_ptr<Port>> GatewayDataPlane::State::open(const char* role, const PortSpec& spec,
                                                            std::uint16_t mtu) const {
  PortConfig config;
  config.role = role;
  config.spec = spec;
  config.mtu = mtu;
  // As many queues as workers; if the port offers fewer, workers share them. A single queue keeps a spread stream in
  // order.
  const bool any_number = spec.kind == PortKind::null || (spec.kind == PortKind::pci && spec.queues <= 1);
  const std::uint16_t offered = any_number ? std::uint16_t{16} : spec.queues;
  config.queues = options.spread
                      ? std::uint16_t{1}
                      : std::min(static_cast<std::uint16_t>(options.workers), std::max<std::uint16_t>(offered, 1));
  // Frames between workers: in their rings or, spread, in the window; and those parked.
  if (options.workers > 1)
    config.extra_mbufs = options.spread ? 2 * Spread::window : 2048 * (options.workers - config.queues + 1U);
  if (std::string_view(role) == "black" && options.reassemble)
    config.extra_mbufs += options.workers * Reassembler::buffers_held;
  return Port::open(config);
}

// Makes the gateway a listener on black, and opens both ports' filters as needed.
void GatewayDataPlane::State::listen() {
  BlackListener& listener = plane->listener();
  policy_changed();
  membership::Listener::Options own;
  own.mac = black->mac().value_or(MacAddress{});
  own.address4 = options.black_address4;
  own.address6 = options.black_address6;
  own.mtu = std::min<std::uint32_t>(options.black.mtu, 1500);
  own.random = [](std::uint32_t bound) { return static_cast<std::uint32_t>(rte_rand_max(std::uint64_t{bound} + 1)); };
  listener.start(own);
  plane->beacon().start(red->mac().value_or(MacAddress{}), std::chrono::steady_clock::now(),
                        [this] { return red && red->link_up(); });
}

// Leaves the groups on black, if black is open, and tells the neighbours on red.
void GatewayDataPlane::State::leave() {
  constexpr auto longest = std::chrono::milliseconds(100);
  const auto start = std::chrono::steady_clock::now();
  plane->listener().stop();
  plane->listener().tick(start);
  plane->beacon().stop();
  while (!(plane->listener().idle() && plane->beacon().idle()) && std::chrono::steady_clock::now() - start < longest)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void GatewayDataPlane::State::stop() {
  if (threads && keeper) leave();
  keeper.reset();
  if (threads) {
    threads->stop();
    before = counters();
    threads.reset();
  }
  if (host) host->stop();
  // The objects stay for their last figures, and until both devices have released each other's buffers.
  if (red) red->close();
  if (black) black->close();
}

Result<std::unique_ptr<GatewayDataPlane>> GatewayDataPlane::create(GatewayOptions options) {
  auto state = std::make_unique<State>();
  if (!worker_limits.allow(options.workers))
    return fail("workers: expected " + worker_limits.range() + ", got " + std::to_string(options.workers));
  if (!idle_nap_limits.allow(options.idle_nap_us))
    return fail("idle_nap_us: expected " + idle_nap_limits.range() + ", got " + std::to_string(options.idle_nap_us));
  EalOptions eal;
  eal.memory_mb = options.memory_mb;
  eal.log = options.log;
  eal.telemetry = options.telemetry;
  for (const auto& [role, port, spec] :
       {std::tuple{"red", &options.red, &state->red_spec}, std::tuple{"black", &options.black, &state->black_spec}}) {
    auto parsed = parse_port(port->device);
    if (!parsed) return fail(std::string(role) + ": " + parsed.error().message);
    if (!mtu_limits.allow(port->mtu))
      return fail(std::string(role) + ": mtu: expected " + mtu_limits.range() + ", got " + std::to_string(port->mtu));
    if (options.spread && parsed->queues > 1)
      return fail(std::string(role) + ": port \"" + port->device +
                  "\": expected one queue, as spread = true needs it, got " + std::to_string(parsed->queues));
    if (parsed->kind == PortKind::pci) eal.pci_devices.push_back(parsed->target);
    *spec = *parsed;
  }
  SEALCAST_TRY(check_cores(options.cores, options.workers));
  SEALCAST_TRY_ASSIGN(auto engine, aead::create_engine(options.engine));
  SEALCAST_TRY(Eal::start(eal));
  if (!options.telemetry.empty()) SEALCAST_TRY(register_telemetry());

  DataPlaneOptions plane;
  plane.workers = options.workers;
  plane.path.black_mtu = options.black.mtu;
  plane.path.red_mtu = options.red.mtu;
  plane.path.local_red_sources = options.local_red_sources;
  plane.path.learn_sources = options.learn_sources;
  plane.path.bypass = options.bypass;
  // The least of entropy is enough, and waiting for it at boot is right.
  std::array<std::uint64_t, 3> random{};
  if (getrandom(random.data(), sizeof random, 0) != sizeof random) return fail("the kernel gives no random numbers");
  plane.path.bypass_seed = random[0];
  if (options.mark_red) {
    std::copy(red_mark.begin(), red_mark.end(), plane.path.red_mac.begin());
    std::memcpy(&plane.path.red_mac[red_mark.size()], &random[2], plane.path.red_mac.size() - red_mark.size());
  }
  plane.beacon = options.beacon;
  if (plane.beacon) plane.beacon->nonce = random[1];
  if (options.red_address6) plane.path.red_address6 = options.red_address6->bytes;
  plane.path.reassemble = options.reassemble;
  plane.path.tsc_hz = rte_get_tsc_hz();
  plane.now_tsc = [] { return rte_rdtsc(); };
  // Now, not at start(): a key server in this process may want to listen on the interface's address.
  if (options.black_host) {
    SEALCAST_TRY_ASSIGN(state->host, HostInterface::open(*options.black_host, options.black.mtu));
    plane.path.host = &state->host->filter();
  }
  state->publisher = std::make_unique<RcuPublisher>(options.workers);
  SEALCAST_TRY_ASSIGN(state->plane, DataPlane::create(std::move(plane), std::move(engine), *state->publisher));
  state->options = std::move(options);
  State* const raw = state.get();
  state->plane->set_port_statistics([raw] { return raw->port_statistics(); });
  state->control = std::make_unique<GatewayControl>(
      *state->plane, [raw](DataPlaneStatistics& all) { raw->add_to(all); }, [raw] { raw->policy_changed(); });
  return std::unique_ptr<GatewayDataPlane>(new GatewayDataPlane(std::move(state)));
}

GatewayDataPlane::GatewayDataPlane(std::unique_ptr<State> state) : state_(std::move(state)) {}
GatewayDataPlane::~GatewayDataPlane() {
  stop();
}

DataPlaneControl& GatewayDataPlane::control() {
  return *state_->control;
}

Result<WhatIfAnswer> GatewayDataPlane::what_if(const WhatIfQuestion& question) const {
  return state_->plane->what_if(question);
}

std::vector<DropSample> GatewayDataPlane::drop_samples(std::uint32_t further) {
  return state_->plane->drop_samples(further);
}

Result<void> GatewayDataPlane::start() {
  State& s = *state_;
  if (s.threads) return fail("the data plane is running already");
  s.red.reset();
  s.black.reset();
  for (std::size_t i = s.reassemblers.size(); s.options.reassemble && i < s.options.workers; ++i) {
    static std::atomic<unsigned> number{0};
    SEALCAST_TRY_ASSIGN(auto made, Reassembler::create(number++, rte_get_tsc_hz()));
    s.reassemblers.push_back(std::move(made));
  }
  SEALCAST_TRY_ASSIGN(s.red, s.open("red", s.red_spec, s.options.red.mtu));
  auto black = s.open("black", s.black_spec, s.options.black.mtu);
  if (!black) {
    s.stop();
    return tl::unexpected(black.error());
  }
  s.black = std::move(*black);
  if (auto ok = s.start_host(); !ok) {
    s.stop();
    return ok;
  }

  WorkerThreads::Settings settings;
  s.active.set({});  // the keeper gives the devices out
  settings.ports = &s.active;
  for (std::uint32_t i = 0; i < s.options.workers; ++i)
    settings.workers.push_back(&s.plane->worker(i));
  settings.red_queues = s.red->queues();
  settings.black_queues = s.black->queues();
  settings.spread = s.options.spread;
  settings.cores = s.options.cores;
  settings.idle_nap_us = s.options.idle_nap_us;
  settings.publisher = s.publisher.get();
  settings.red_pool = s.red->pool();
  settings.black_pool = s.black->pool();
  s.listen();
  for (const auto& reassembler : s.reassemblers)
    settings.reassemblers.push_back(reassembler.get());
  settings.host = s.host.get();
  auto threads = WorkerThreads::start(std::move(settings));
  if (!threads) {
    s.stop();
    return tl::unexpected(threads.error());
  }
  s.threads = std::move(*threads);
  PortKeeper::Settings keeping;
  keeping.red = s.red.get();
  keeping.black = s.black.get();
  keeping.active = &s.active;
  keeping.synchronize = [&s] { s.publisher->synchronize(); };
  auto keeper = PortKeeper::start(std::move(keeping));
  if (!keeper) {
    s.stop();
    return tl::unexpected(keeper.error());
  }
  s.keeper = std::move(*keeper);
  return {};
}

void GatewayDataPlane::stop() {
  state_->stop();
}

}  // namespace sealcast::dataplane
