#include "dataplane/dpdk/worker_thread.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ring.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include <atomic>
#include <system_error>
#include <thread>

#include "dataplane/dpdk/lane.h"
#include "dataplane/dpdk/packet_thread.h"

namespace sealcast::dataplane {
namespace {

constexpr unsigned rounds_between_housekeeping = 256;
// Rounds without a frame before a nap: some tens of microseconds of polling, so that a stream's gaps are polled through
// and only a truly idle worker gives its CPU away.
constexpr unsigned empty_rounds_before_nap = 256;
constexpr unsigned hand_off_ring = 1024;

}  // namespace

// One worker's thread and what it owns.
struct alignas(cache_line) WorkerRun {
  std::uint32_t index = 0;
  Worker* worker = nullptr;
  rte_ring* inbox = nullptr;  // frames other workers received whose SPI is ours; null with one worker
  LaneCounters to_black, to_red;
  Counter naps;
  std::thread thread;
};

struct WorkerThreads::State {
  Settings settings;
  std::vector<std::unique_ptr<WorkerRun>> runs;
  std::atomic<bool> stop{false};

  void run(WorkerRun& me);
  unsigned round(WorkerRun& me);
  void speak(WorkerRun& me);
  Result<void> launch(WorkerRun& me);
};

rte_mbuf* own_buffer(rte_mbuf* frame) {
  const std::uint32_t length = rte_pktmbuf_pkt_len(frame);
  rte_mbuf* copy = frame->pool == nullptr ? nullptr : rte_pktmbuf_alloc(frame->pool);
  if (copy != nullptr && length <= rte_pktmbuf_tailroom(copy)) {
    char* const to = rte_pktmbuf_append(copy, static_cast<std::uint16_t>(length));
    const void* const from = rte_pktmbuf_read(frame, 0, length, to);
    if (from != to) rte_memcpy(to, from, length);  // it lay in one piece and was not copied
  } else if (copy != nullptr) {
    rte_pktmbuf_free(copy);
    copy = nullptr;
  }
  rte_pktmbuf_free(frame);
  return copy;
}

unsigned WorkerThreads::State::round(WorkerRun& me) {
  const Snapshot& snapshot = settings.publisher->current();
  const PortPair ports = settings.ports->get();
  Worker& worker = *me.worker;
  const auto queue = static_cast<std::uint16_t>(me.index);
  const auto to_owner = [&](const Frame& f) {
    if (f.target < runs.size() && runs[f.target]->inbox != nullptr &&
        rte_ring_enqueue(runs[f.target]->inbox, f.buffer) == 0)
      return true;
    me.to_red.hand_off_full.add(1);
    return false;
  };
  unsigned work = move_burst(
      ports.red, ports.black, queue, me.to_black,
      [&](std::span<Frame> burst) { worker.red_burst(burst, rte_rdtsc(), snapshot); }, to_owner);
  // Before any later frame of their slots.
  if (worker.parks()) [[unlikely]] {
    std::array<Frame, lane_burst> ready;
    while (const std::size_t n = worker.unpark(ready, rte_rdtsc(), snapshot))
      send_frames({ready.data(), n}, ports.red, ports.black, queue, me.to_red, to_owner);
  }
  work += move_burst(
      ports.black, ports.red, queue, me.to_red,
      [&](std::span<Frame> burst) { worker.black_burst(burst, rte_rdtsc(), snapshot); }, to_owner);
  if (me.inbox != nullptr) {
    void* handed[lane_burst];
    const unsigned n = rte_ring_dequeue_burst(me.inbox, handed, lane_burst, nullptr);
    if (n != 0) {
      rte_mbuf* mbufs[lane_burst];
      for (unsigned i = 0; i < n; ++i)
        mbufs[i] = static_cast<rte_mbuf*>(handed[i]);
      std::array<Frame, lane_burst> frames;
      const std::uint16_t kept = to_frames(mbufs, static_cast<std::uint16_t>(n), frames.data(), me.to_red);
      worker.black_burst({frames.data(), kept}, rte_rdtsc(), snapshot);
      send_frames({frames.data(), kept}, ports.red, ports.black, queue, me.to_red, to_owner);
      work += n;
    }
  }
  return work;
}

// Sends what the gateway's own listener has to say. Without a device it waits: reports are of use when one comes back.
void WorkerThreads::State::speak(WorkerRun& me) {
  const PortPair ports = settings.ports->get();
  auto* const pool = static_cast<rte_mempool*>(settings.black_pool);
  if (ports.black == no_port || pool == nullptr) return;
  HostFrame frame;
  while (me.worker->to_black().pop(frame)) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    char* const to = m == nullptr ? nullptr : rte_pktmbuf_append(m, frame.length);
    if (to != nullptr) {
      rte_memcpy(to, frame.bytes.data(), frame.length);
      if (rte_eth_tx_burst(ports.black, static_cast<std::uint16_t>(me.index), &m, 1) == 1) continue;
    }
    rte_pktmbuf_free(m);
    me.to_black.tx_full.add(1);
  }
}

void WorkerThreads::State::run(WorkerRun& me) {
  const PacketThread registered;
  prctl(PR_SET_TIMERSLACK, 1000UL);  // the default of 50 µs would double every nap
  RcuPublisher& rcu = *settings.publisher;
  const timespec nap{0, static_cast<long>(settings.idle_nap_us) * 1000};
  rcu.enter(me.index);
  unsigned empty_rounds = 0;
  while (!stop.load(std::memory_order_relaxed)) {
    speak(me);
    for (unsigned i = 0; i < rounds_between_housekeeping; ++i) {
      if (round(me) != 0) {
        empty_rounds = 0;
      } else {
        ++empty_rounds;
      }
      rcu.quiescent(me.index);
      if (empty_rounds < empty_rounds_before_nap || settings.idle_nap_us == 0) continue;
      // While it sleeps no grace period waits for this worker.
      rcu.leave(me.index);
      me.naps.add(1);
      nanosleep(&nap, nullptr);
      rcu.enter(me.index);
      break;  // to the housekeeping: it would be rare otherwise
    }
  }
  rcu.leave(me.index);
}

Result<void> WorkerThreads::State::launch(WorkerRun& me) {
  try {
    me.thread = std::thread([this, &me] { run(me); });
  } catch (const std::system_error& error) {
    return fail("worker " + std::to_string(me.index) + ": cannot start a thread: " + error.what());
  }
  const std::string name = "sc-worker-" + std::to_string(me.index);
  pthread_setname_np(me.thread.native_handle(), name.c_str());
  if (settings.cores.empty()) return {};
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(settings.cores[me.index], &cpu);
  if (const int error = pthread_setaffinity_np(me.thread.native_handle(), sizeof(cpu), &cpu); error != 0)
    return fail("worker " + std::to_string(me.index) + ": cannot run on CPU " +
                std::to_string(settings.cores[me.index]) + ": " + std::generic_category().message(error));
  return {};
}

Result<std::unique_ptr<WorkerThreads>> WorkerThreads::start(Settings settings) {
  auto state = std::make_unique<State>();
  state->settings = std::move(settings);
  std::unique_ptr<WorkerThreads> threads(new WorkerThreads(std::move(state)));
  State& s = *threads->state_;
  const auto count = static_cast<std::uint32_t>(s.settings.workers.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    s.runs.push_back(std::make_unique<WorkerRun>());
    WorkerRun& me = *s.runs.back();
    me.index = i;
    me.worker = s.settings.workers[i];
    if (count == 1) continue;
    static std::atomic<unsigned> number{0};
    const std::string name = "sc_inbox" + std::to_string(number++);
    me.inbox = rte_ring_create(name.c_str(), hand_off_ring, SOCKET_ID_ANY, RING_F_SC_DEQ);
    if (me.inbox == nullptr)
      return fail("worker " + std::to_string(i) + ": no memory for its hand-off ring (" + rte_strerror(rte_errno) +
                  "); raise memory_mb");
  }
  for (auto& run : s.runs)
    if (auto ok = s.launch(*run); !ok) return tl::unexpected(ok.error());
  return threads;
}

WorkerThreads::WorkerThreads(std::unique_ptr<State> state) : state_(std::move(state)) {}

void WorkerThreads::stop() {
  state_->stop = true;
  for (auto& run : state_->runs)
    if (run->thread.joinable()) run->thread.join();
  std::array<Frame, lane_burst> parked;
  for (auto& run : state_->runs)
    while (const std::size_t n = run->worker->give_back(parked))
      for (std::size_t i = 0; i < n; ++i)
        rte_pktmbuf_free(static_cast<rte_mbuf*>(parked[i].buffer));
}

WorkerThreads::~WorkerThreads() {
  stop();
  for (auto& run : state_->runs) {
    void* frame = nullptr;
    while (run->inbox != nullptr && rte_ring_dequeue(run->inbox, &frame) == 0)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(frame));
    rte_ring_free(run->inbox);
  }
}

WorkerThreadCounters WorkerThreads::counters() const {
  WorkerThreadCounters sum;
  for (const auto& run : state_->runs) {
    sum.red_tx_full += run->to_red.tx_full.get();
    sum.black_tx_full += run->to_black.tx_full.get();
    sum.not_contiguous += run->to_red.not_contiguous.get() + run->to_black.not_contiguous.get();
    sum.hand_off_full += run->to_red.hand_off_full.get();
    sum.naps += run->naps.get();
  }
  return sum;
}

Result<void> check_cores(const std::vector<std::uint32_t>& cores, std::uint32_t workers) {
  if (cores.empty()) return {};
  if (cores.size() != workers)
    return fail("cores: expected one CPU a worker, " + std::to_string(workers) + " in all, got " +
                std::to_string(cores.size()));
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (const std::uint32_t core : cores)
    if (core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed))
      return fail("cores: this process may not run on CPU " + std::to_string(core) +
                  " (lscpu -e shows those of the machine, taskset -p those of a process)");
  return {};
}

}  // namespace sealcast::dataplane
