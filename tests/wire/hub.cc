#include "tests/wire/hub.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/prctl.h>
#include <time.h>

#include <array>
#include <mutex>
#include <thread>

#include "dataplane/dpdk/packet_thread.h"

namespace sealcast::wire {
namespace {

constexpr std::uint16_t burst = 32;
constexpr std::size_t queue_limit = 4096;  // frames of one directed link that wait for their time or their port's ring
constexpr unsigned empty_rounds_before_nap = 64;

std::uint64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

struct Link {
  LinkDice dice;
  LinkQueue<rte_mbuf*> queue;
  LinkStatistics count;
};

}  // namespace

struct Hub::State {
  std::vector<std::unique_ptr<dataplane::Port>> ports;
  HubSettings settings;
  std::unique_ptr<Capture> capture;
  std::vector<Link> links;  // [from * ports + to]
  std::uint64_t captured = 0;
  bool capture_failed = false;
  std::vector<bool> up;                // link state of every port in this round
  std::mutex round;                    // the forwarding thread holds it during a round; commands take it between rounds
  std::atomic<int> orders_waiting{0};  // the mutex is not fair: a busy forwarding thread lets these go first

  Link& link(std::size_t from, std::size_t to) { return links[from * ports.size() + to]; }
  template <typename Action>
  auto order(Action action) {
    ++orders_waiting;
    const std::lock_guard lock(round);
    --orders_waiting;
    return action();
  }
  void look_at_links();
  void write_capture(rte_mbuf* const* frames, std::uint16_t n);
  void spread(std::size_t from, rte_mbuf* frame, std::uint64_t now_ns);
  unsigned receive(std::uint64_t now_ns);
  unsigned send(std::uint64_t now_ns);
  void empty_queues();
};

Hub::Hub(std::vector<std::unique_ptr<dataplane::Port>> ports, HubSettings settings, std::unique_ptr<Capture> capture)
    : state_(std::make_unique<State>()) {
  state_->ports = std::move(ports);
  state_->capture = std::move(capture);
  const auto n = static_cast<std::uint32_t>(state_->ports.size());
  for (std::uint32_t from = 0; from < n; ++from)
    for (std::uint32_t to = 0; to < n; ++to) {
      state_->links.push_back({LinkDice(settings.seed, from, to), {}, {}});
      state_->links.back().count.from = from;
      state_->links.back().count.to = to;
    }
  state_->settings = std::move(settings);
  state_->up.resize(n, false);
}

Hub::~Hub() {
  state_->empty_queues();
  for (auto& port : state_->ports)
    port->close();
}

std::uint32_t Hub::port_count() const {
  return static_cast<std::uint32_t>(state_->ports.size());
}

// As the sender put them on the wire, before anything happens to them.
void Hub::State::write_capture(rte_mbuf* const* frames, std::uint16_t n) {
  if (capture == nullptr || n == 0) return;
  const std::uint64_t now_ns = clock_ns(CLOCK_REALTIME);
  std::array<std::uint8_t, 16384> scratch;
  for (std::uint16_t i = 0; i < n; ++i) {
    const std::uint32_t length = rte_pktmbuf_pkt_len(frames[i]);
    const std::uint32_t kept = std::min<std::uint32_t>(length, scratch.size());
    const void* const data = rte_pktmbuf_read(frames[i], 0, kept, scratch.data());
    capture->write({static_cast<const std::uint8_t*>(data), kept}, length, now_ns);
  }
  captured += n;
}

// Takes over the caller's reference to frame. Ports share one buffer, which stays unchanged.
void Hub::State::spread(std::size_t from, rte_mbuf* frame, std::uint64_t now_ns) {
  for (std::size_t to = 0; to < ports.size(); ++to) {
    if (to == from) continue;
    Link& l = link(from, to);
    if (!settings.partition.connected(static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to))) {
      ++l.count.partitioned;
      continue;
    }
    const Decision decision = l.dice.next(settings.impairments);
    if (decision.copies == 0) {
      ++l.count.dropped;
      continue;
    }
    if (!up[to]) {
      ++l.count.no_peer;
      continue;
    }
    if (l.queue.size() + decision.copies > queue_limit) {
      ++l.count.overflow;
      continue;
    }
    if (decision.copies > 1) ++l.count.duplicated;
    if (decision.overtaken_by != 0) ++l.count.reordered;
    for (std::uint32_t copy = 0; copy < decision.copies; ++copy) {
      rte_pktmbuf_refcnt_update(frame, 1);
      l.queue.put(frame, decision, now_ns);
    }
  }
  rte_pktmbuf_free(frame);
}

void Hub::State::look_at_links() {
  for (std::size_t i = 0; i < ports.size(); ++i)
    up[i] = ports[i]->link_up();
}

unsigned Hub::State::receive(std::uint64_t now_ns) {
  unsigned work = 0;
  for (std::size_t from = 0; from < ports.size(); ++from) {
    rte_mbuf* frames[burst];
    const std::uint16_t n = rte_eth_rx_burst(ports[from]->id(), 0, frames, burst);
    write_capture(frames, n);
    for (std::uint16_t i = 0; i < n; ++i)
      spread(from, frames[i], now_ns);
    work += n;
  }
  return work;
}

unsigned Hub::State::send(std::uint64_t now_ns) {
  unsigned work = 0;
  for (std::size_t to = 0; to < ports.size(); ++to) {
    for (std::size_t from = 0; from < ports.size(); ++from) {
      Link& l = link(from, to);
      while (l.queue.size() != 0) {
        // One at a time: a frame that the ring refuses keeps its place in the queue.
        const auto next = l.queue.peek(now_ns);
        if (!next) break;
        rte_mbuf* frame = *next;
        if (!up[to]) {
          rte_pktmbuf_free(frame);
          ++l.count.no_peer;
        } else if (rte_eth_tx_burst(ports[to]->id(), 0, &frame, 1) == 1) {
          ++l.count.delivered;
        } else {
          break;
        }
        l.queue.pop();
        ++work;
      }
    }
  }
  return work;
}

void Hub::State::empty_queues() {
  for (Link& l : links)
    while (const auto frame = l.queue.peek(UINT64_MAX)) {
      rte_pktmbuf_free(*frame);
      l.queue.pop();
    }
}

void Hub::run(const std::atomic<bool>& stop) {
  const dataplane::PacketThread registered;
  prctl(PR_SET_TIMERSLACK, 1000UL);  // the default of 50 µs would double every nap
  State& s = *state_;
  unsigned empty_rounds = 0;
  while (!stop) {
    unsigned work = 0;
    while (s.orders_waiting != 0)
      std::this_thread::yield();
    {
      const std::lock_guard lock(s.round);
      const std::uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
      s.look_at_links();
      work = s.receive(now_ns);
      work += s.send(now_ns);
      if (s.capture != nullptr && !s.capture->flush()) s.capture_failed = true;
    }
    if (work != 0) {
      empty_rounds = 0;
    } else if (++empty_rounds >= empty_rounds_before_nap) {
      const timespec nap{0, 1000L * s.settings.nap_us};
      nanosleep(&nap, nullptr);
    }
  }
  const std::lock_guard lock(s.round);
  s.empty_queues();
  if (s.capture != nullptr && !s.capture->flush()) s.capture_failed = true;
  for (auto& port : s.ports)
    port->close();
}

void Hub::set_impairments(const Impairments& impairments) {
  state_->order([&] { state_->settings.impairments = impairments; });
}

void Hub::set_partition(const Partition& partition) {
  state_->order([&] { state_->settings.partition = partition; });
}

HubStatistics Hub::statistics() {
  return state_->order([this] {
    HubStatistics all;
    for (const auto& port : state_->ports)
      all.ports.push_back(port->statistics());
    for (const Link& l : state_->links) {
      if (l.count.from == l.count.to) continue;
      all.links.push_back(l.count);
      all.links.back().queued = l.queue.size();
    }
    all.captured = state_->captured;
    all.capture_failed = state_->capture_failed;
    all.settings = state_->settings;
    return all;
  });
}

}  // namespace sealcast::wire
