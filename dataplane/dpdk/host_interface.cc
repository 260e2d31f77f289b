#include "dataplane/dpdk/host_interface.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/descriptor.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/packet/packet.h"
#include "dataplane/path/bypass.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr unsigned queue_entries = 256;
// Workers cannot wake this thread: it polls often while frames move, seldom otherwise.
constexpr auto look_when_busy = 1ms;
constexpr auto look_when_idle = 5ms;
constexpr auto busy_for = 200ms;
constexpr auto between_address_looks = 500ms;

struct in6_request {  // linux/ipv6.h: struct in6_ifreq, which clashes with netinet/in.h
  in6_addr address;
  std::uint32_t prefix_length;
  int interface;
};

tl::unexpected<Error> host_interface_problem(const std::string& name, const std::string& what) {
  return fail("host interface " + name + ": " + what + " (" + std::strerror(errno) + ")");
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, sizeof(request.ifr_name) - 1);
  return request;
}

}  // namespace

// One worker's counters and rates.
struct alignas(cache_line) HostLane {
  TokenBucket resolution, key_server;
  Counter limited;
};

struct HostInterface::State {
  explicit State(const HostOptions& given) : options(given), filter(given.remote, given.local) {}
  ~State() {
    rte_ring_free(to_host);
    rte_ring_free(from_host);
  }

  HostOptions options;
  std::uint16_t mtu = 1500;
  std::string last_outcome;
  HostFilter filter;
  std::unique_ptr<Descriptor> tap, asking;
  rte_ring* to_host = nullptr;
  rte_ring* from_host = nullptr;
  Run running;
  std::vector<HostLane> lanes;
  HostAddresses addresses;  // used by the interface's thread, and by open() before it runs
  TokenBucket out_resolution, out_key_server;
  std::atomic<std::uint64_t> to_host_count{0}, from_host_count{0}, not_allowed{0}, limited{0};
  std::atomic<bool> stop{false};
  std::thread thread;

  Result<void> make();
  void remake();
  Result<void> give_address();
  Result<void> set_mac(const MacAddress& mac);
  HostAddresses look() const;
  void update_addresses();
  bool deliver();
  bool collect();
  void run();
};

Result<void> HostInterface::State::make() {
  const std::string& name = options.interface;
  if (::if_nametoindex(name.c_str()) != 0)
    return fail("host interface " + name +
                ": an interface of that name exists already; choose another, or ip link del " + name);
  tap = std::make_unique<Descriptor>(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (tap->get() < 0) return host_interface_problem(name, "cannot open /dev/net/tun; it needs CAP_NET_ADMIN");
  asking = std::make_unique<Descriptor>(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = request_for(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(tap->get(), TUNSETIFF, &request) != 0)
    return host_interface_problem(name, "cannot make it; it needs CAP_NET_ADMIN");
  request = request_for(name);
  request.ifr_mtu = mtu;
  if (::ioctl(asking->get(), SIOCSIFMTU, &request) != 0) return host_interface_problem(name, "cannot set its MTU");
  request = request_for(name);
  ::ioctl(asking->get(), SIOCGIFFLAGS, &request);
  request.ifr_flags |= IFF_UP;
  if (::ioctl(asking->get(), SIOCSIFFLAGS, &request) != 0) return host_interface_problem(name, "cannot set it up");
  return give_address();
}

Result<void> HostInterface::State::give_address() {
  if (!options.address) return {};
  const std::string& name = options.interface;
  const IpAddress& own = *options.address;
  if (own.family == 6) {
    const Descriptor six(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    in6_request request{};
    std::memcpy(&request.address, own.bytes.data(), 16);
    request.prefix_length = options.prefix_length;
    request.interface = static_cast<int>(::if_nametoindex(name.c_str()));
    if (::ioctl(six.get(), SIOCSIFADDR, &request) != 0 && errno != EEXIST)
      return host_interface_problem(name, "cannot give it " + own.text());
    return {};
  }
  const auto set = [&](unsigned long what, const std::uint8_t* bytes) {
    ifreq request = request_for(name);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, bytes, 4);
    std::memcpy(&request.ifr_addr, &address, sizeof address);
    return ::ioctl(asking->get(), what, &request) == 0;
  };
  std::uint8_t mask[4];
  store32(mask, options.prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - options.prefix_length));
  if (!set(SIOCSIFADDR, own.bytes.data()) || !set(SIOCSIFNETMASK, mask))
    return host_interface_problem(name, "cannot give it " + own.text());
  return {};
}

Result<void> HostInterface::State::set_mac(const MacAddress& mac) {
  ifreq request = request_for(options.interface);
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::copy(mac.begin(), mac.end(), request.ifr_hwaddr.sa_data);
  if (::ioctl(asking->get(), SIOCSIFHWADDR, &request) != 0)
    return host_interface_problem(options.interface, "cannot give it the card's address " + text(mac));
  return {};
}

HostAddresses HostInterface::State::look() const {
  HostAddresses now;
  ifreq request = request_for(options.interface);
  if (::ioctl(asking->get(), SIOCGIFHWADDR, &request) == 0)
    std::copy(request.ifr_hwaddr.sa_data, request.ifr_hwaddr.sa_data + 6, now.mac.begin());
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return now;
  for (const ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
    if (i->ifa_addr == nullptr || options.interface != i->ifa_name) continue;
    IpAddress address;
    if (i->ifa_addr->sa_family == AF_INET) {
      sockaddr_in four;
      std::memcpy(&four, i->ifa_addr, sizeof four);
      std::memcpy(address.bytes.data(), &four.sin_addr, 4);
    } else if (i->ifa_addr->sa_family == AF_INET6) {
      sockaddr_in6 six;
      std::memcpy(&six, i->ifa_addr, sizeof six);
      address.family = 6;
      std::memcpy(address.bytes.data(), &six.sin6_addr, 16);
    } else {
      continue;
    }
    now.addresses.push_back(address);
  }
  ::freeifaddrs(list);
  std::sort(now.addresses.begin(), now.addresses.end());
  return now;
}

// The interface was deleted from outside: makes it again, with the configured address.
void HostInterface::State::remake() {
  if (::if_nametoindex(options.interface.c_str()) != 0) return;
  const auto made = make();
  if (made && running.mac) static_cast<void>(set_mac(*running.mac));
  const std::string outcome =
      made ? "host interface " + options.interface + " was deleted and is made again" : made.error().message;
  if (outcome != last_outcome) Eal::log(LogLevel::warning, outcome);
  last_outcome = made ? std::string() : outcome;
}

void HostInterface::State::update_addresses() {
  HostAddresses now = look();
  if (now == addresses) return;
  addresses = now;
  const auto former = filter.set_addresses(std::move(now));
  if (running.synchronize) running.synchronize();
  if (running.changed) running.changed(addresses);
}

// From the workers to the kernel.
bool HostInterface::State::deliver() {
  void* frames[32];
  const unsigned n = rte_ring_dequeue_burst(to_host, frames, 32, nullptr);
  for (unsigned i = 0; i < n; ++i) {
    auto* const m = static_cast<rte_mbuf*>(frames[i]);
    if (::write(tap->get(), rte_pktmbuf_mtod(m, void*), m->data_len) == m->data_len)
      to_host_count.fetch_add(1, std::memory_order_relaxed);
    else
      limited.fetch_add(1, std::memory_order_relaxed);
  }
  rte_pktmbuf_free_bulk(reinterpret_cast<rte_mbuf**>(frames), n);
  return n != 0;
}

// From the kernel to the first worker.
bool HostInterface::State::collect() {
  bool any = false;
  std::uint8_t bytes[9216];
  auto* const pool = static_cast<rte_mempool*>(running.pool);
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = ::read(tap->get(), bytes, sizeof bytes);
    if (n <= 0) break;
    any = true;
    const auto length = static_cast<std::uint32_t>(n);
    const HostFilter::Class what = filter.may_send(bytes, length);
    if (what == HostFilter::Class::none) {
      not_allowed.fetch_add(1, std::memory_order_relaxed);
      continue;
    }
    const bool resolution = what == HostFilter::Class::resolution;
    TokenBucket& bucket = resolution ? out_resolution : out_key_server;
    const std::uint32_t rate = resolution ? resolution_per_second : key_server_per_second;
    rte_mbuf* const m = bucket.take(1, rate, running.tsc_hz, rte_rdtsc()) ? rte_pktmbuf_alloc(pool) : nullptr;
    // Ethernet's shortest frame (IEEE 802.3 §3.2.8); the rest is zeros.
    const auto padded = static_cast<std::uint16_t>(std::max<std::uint32_t>(length, 60));
    char* const to = m == nullptr ? nullptr : rte_pktmbuf_append(m, padded);
    if (to != nullptr) {
      std::memcpy(to, bytes, length);
      std::memset(to + length, 0, padded - length);
      if (rte_ring_enqueue(from_host, m) == 0) {
        from_host_count.fetch_add(1, std::memory_order_relaxed);
        continue;
      }
    }
    rte_pktmbuf_free(m);
    limited.fetch_add(1, std::memory_order_relaxed);
  }
  return any;
}

void HostInterface::State::run() {
  auto busy_until = Clock::now();
  auto next_look = Clock::now();
  while (!stop) {
    const auto now = Clock::now();
    if (now >= next_look) {
      remake();
      update_addresses();
      next_look = now + between_address_looks;
    }
    const bool delivered = deliver();
    if (collect() || delivered) busy_until = now + busy_for;
    pollfd readable{tap->get(), POLLIN, 0};
    ::poll(&readable, 1, static_cast<int>((now < busy_until ? look_when_busy : look_when_idle).count()));
    // The interface is gone: without it there is nothing to wait for.
    if ((readable.revents & (POLLERR | POLLHUP)) != 0) std::this_thread::sleep_for(look_when_idle);
  }
}

Result<std::unique_ptr<HostInterface>> HostInterface::open(const HostOptions& options, std::uint16_t mtu) {
  auto state = std::make_unique<State>(options);
  state->mtu = mtu;
  SEALCAST_TRY(state->make());
  static std::atomic<unsigned> number{0};
  const std::string suffix = std::to_string(number++);
  state->to_host = rte_ring_create(("sc_to_host" + suffix).c_str(), queue_entries, SOCKET_ID_ANY, RING_F_SC_DEQ);
  state->from_host =
      rte_ring_create(("sc_from_host" + suffix).c_str(), queue_entries, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
  if (state->to_host == nullptr || state->from_host == nullptr)
    return fail(std::string("host interface: no memory for its queues (") + rte_strerror(rte_errno) +
                "); raise memory_mb");
  return std::unique_ptr<HostInterface>(new HostInterface(std::move(state)));
}

HostInterface::HostInterface(std::unique_ptr<State> state) : state_(std::move(state)) {}
HostInterface::~HostInterface() {
  stop();
}

const HostFilter& HostInterface::filter() const {
  return state_->filter;
}

MacAddress HostInterface::mac() const {
  return state_->look().mac;
}

Result<void> HostInterface::start(Run run) {
  State& s = *state_;
  s.running = std::move(run);
  s.lanes = std::vector<HostLane>(s.running.workers);
  if (s.running.mac) SEALCAST_TRY(s.set_mac(*s.running.mac));
  s.addresses = {};
  s.update_addresses();
  s.stop = false;
  try {
    s.thread = std::thread([&s] { s.run(); });
  } catch (const std::system_error& error) {
    return fail(std::string("host interface: cannot start a thread: ") + error.what());
  }
  pthread_setname_np(s.thread.native_handle(), "sc-host");
  return {};
}

void HostInterface::stop() {
  State& s = *state_;
  s.stop = true;
  if (s.thread.joinable()) s.thread.join();
  for (rte_ring* ring : {s.to_host, s.from_host}) {
    void* frame = nullptr;
    while (ring != nullptr && rte_ring_dequeue(ring, &frame) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
  }
}

bool HostInterface::punt(std::uint32_t worker, rte_mbuf* frame, std::uint64_t now_tsc) {
  State& s = *state_;
  HostLane& lane = s.lanes[worker];
  // The filter passed only address resolution and TCP.
  const std::uint8_t* const bytes = rte_pktmbuf_mtod(frame, const std::uint8_t*);
  const std::uint16_t type = load16(bytes + 12);
  const bool key_server = (type == ether_type_ipv4 && bytes[ethernet_bytes + 9] == 6) ||
                          (type == ether_type_ipv6 && bytes[ethernet_bytes + 6] == 6);
  TokenBucket& bucket = key_server ? lane.key_server : lane.resolution;
  const std::uint32_t rate = key_server ? key_server_per_second : resolution_per_second;
  if (bucket.take(1, rate, s.running.tsc_hz, now_tsc) && rte_ring_enqueue(s.to_host, frame) == 0) return true;
  lane.limited.add(1);
  return false;
}

std::uint32_t HostInterface::take(rte_mbuf** frames, std::uint32_t most) {
  return rte_ring_dequeue_burst(state_->from_host, reinterpret_cast<void**>(frames), most, nullptr);
}

HostCounters HostInterface::counters() const {
  const State& s = *state_;
  HostCounters all{s.to_host_count, s.from_host_count, s.not_allowed, s.limited};
  for (const HostLane& lane : s.lanes)
    all.limited += lane.limited.get();
  return all;
}

}  // namespace sealcast::dataplane
