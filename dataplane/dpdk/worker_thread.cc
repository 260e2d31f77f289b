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
#include "dataplane/dpdk/reassembly.h"
#include "dataplane/dpdk/worker_run.h"

namespace sealcast::dataplane {
namespace {

constexpr unsigned rounds_between_housekeeping = 256;
// Rounds without a frame before a nap: some tens of microseconds of polling, so that a worker polls through a stream's
// gaps and yields its CPU only when truly idle.
constexpr unsigned empty_rounds_before_nap = 256;
constexpr unsigned hand_off_ring = 1024;

}  // namespace

struct WorkerThreads::State {
  Settings settings;
  std::vector<std::unique_ptr<WorkerRun>> runs;
  std::vector<std::unique_ptr<Spread>> spreads;
  std::vector<rte_ring*> rings;  // for frames; spreads have their own
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};

  void run(WorkerRun& me);
  void send_own_frames(WorkerRun& me);
  static void send_all_of(HostFrameRing& ring, const Way& way, void* buffers, LaneCounters& counters);
  void send_host_frames(WorkerRun& me);
  Result<void> launch(WorkerRun& me);
  Result<void> connect();
  Result<std::vector<rte_ring*>> make_rings(const std::string& what, std::uint32_t count);
};

rte_mbuf* own_buffer(rte_mbuf* frame) {
  const std::uint32_t length = rte_pktmbuf_pkt_len(frame);
  // An indirect buffer's own pool may have no room for data; its owner's has.
  rte_mempool* const pool = RTE_MBUF_CLONED(frame) ? rte_mbuf_from_indirect(frame)->pool : frame->pool;
  rte_mbuf* copy = pool == nullptr ? nullptr : rte_pktmbuf_alloc(pool);
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

// Unique in the process: gateways may exist one after another and side by side.
std::string ring_name(const std::string& what, std::uint32_t index) {
  static std::atomic<unsigned> number{0};
  return "sc_" + what + std::to_string(index) + "_" + std::to_string(number++);
}

Result<std::vector<rte_ring*>> WorkerThreads::State::make_rings(const std::string& what, std::uint32_t count) {
  std::vector<rte_ring*> made;
  for (std::uint32_t i = 0; i < count; ++i) {
    // Workers that put frames in must not wait for each other: one of them may not be running just then.
    rte_ring* const ring =
        rte_ring_create(ring_name(what, i).c_str(), hand_off_ring, SOCKET_ID_ANY, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
    if (ring == nullptr)
      return fail("worker " + std::to_string(i) + ": no memory for its ring of frames from other workers (" +
                  rte_strerror(rte_errno) + "); raise memory_mb");
    rings.push_back(ring);
    made.push_back(ring);
  }
  return made;
}

// Assigns queues and rings. Worker i reads and writes queue i of a port, if there is one; frames of the other workers
// leave by the outbox of worker i mod queues.
Result<void> WorkerThreads::State::connect() {
  const auto workers = static_cast<std::uint32_t>(runs.size());
  const bool spread = settings.spread && workers > 1;
  for (const bool is_red : {true, false}) {
    const std::uint32_t offered = is_red ? settings.red_queues : settings.black_queues;
    const std::uint32_t queues = spread ? 1 : std::min<std::uint32_t>(offered == 0 ? workers : offered, workers);
    const std::string name = is_red ? "red" : "black";
    std::vector<rte_ring*> inboxes(workers, nullptr), outboxes(workers, nullptr);
    const bool hands_over = !spread && workers > 1 && (!is_red || queues < workers);
    if (hands_over) {
      SEALCAST_TRY_ASSIGN(inboxes, make_rings(name + "_in", workers));
    }
    if (queues < workers) {
      SEALCAST_TRY_ASSIGN(auto made, make_rings(name + "_out", queues));
      std::copy(made.begin(), made.end(), outboxes.begin());
    }
    for (auto& run : runs) {
      PortEnd& side = is_red ? run->red : run->black;
      side.receives = run->index < queues;
      side.shared = is_red && hands_over;
      side.receive.queue = side.send.queue = static_cast<std::uint16_t>(run->index % queues);
      if (!side.receives) side.send.ring = outboxes[run->index % queues];
      side.send.host = is_red ? nullptr : settings.host;
      side.send.worker = run->index;
      side.inbox = inboxes[run->index];
      side.outbox = outboxes[run->index];
      if (hands_over) side.others.emplace(inboxes);
    }
    if (!spread) continue;
    SEALCAST_TRY_ASSIGN(auto made, Spread::create(ring_name(name, 0), workers));
    for (auto& run : runs)
      (is_red ? run->red_spread : run->black_spread) = made.get();
    spreads.push_back(std::move(made));
  }
  return {};
}

// Sends the host interface's frames.
void WorkerThreads::State::send_host_frames(WorkerRun& me) {
  if (settings.host == nullptr) return;
  me.black.send.port = settings.ports->get().black;
  rte_mbuf* said[lane_burst];
  const std::uint32_t n = settings.host->take(said, lane_burst);
  const std::uint16_t sent = n == 0 ? std::uint16_t{0} : me.black.send.send(said, static_cast<std::uint16_t>(n));
  if (sent == n) return;
  me.to_black.tx_full.add(n - sent);
  rte_pktmbuf_free_bulk(said + sent, n - sent);
}

// Sends the frames that the control thread made: those of the gateway's own listener on black, and its beacons on red.
// Without a device reports wait, as they are useful when one comes back; an old beacon is not.
void WorkerThreads::State::send_own_frames(WorkerRun& me) {
  const PortPair ports = settings.ports->get();
  me.black.send.port = ports.black;
  me.red.send.port = ports.red;
  send_all_of(me.worker->to_black(), me.black.send, settings.black_pool, me.to_black);
  HostFrame late;
  while (ports.red == no_port && me.worker->to_red().pop(late)) {
  }
  send_all_of(me.worker->to_red(), me.red.send, settings.red_pool, me.to_red);
}

void WorkerThreads::State::send_all_of(HostFrameRing& ring, const Way& way, void* buffers, LaneCounters& counters) {
  auto* const pool = static_cast<rte_mempool*>(buffers);
  if (way.port == no_port || pool == nullptr) return;
  HostFrame frame;
  while (ring.pop(frame)) {
    rte_mbuf* m = rte_pktmbuf_alloc(pool);
    char* const to = m == nullptr ? nullptr : rte_pktmbuf_append(m, frame.length);
    if (to != nullptr) {
      rte_memcpy(to, frame.bytes.data(), frame.length);
      if (way.send(&m, 1) == 1) continue;
    }
    rte_pktmbuf_free(m);
    counters.tx_full.add(1);
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
    send_own_frames(me);
    if (me.index == 0) send_host_frames(me);
    for (unsigned i = 0; i < rounds_between_housekeeping && !stop.load(std::memory_order_relaxed); ++i) {
      if (me.round(settings.ports->get(), rcu.current()) != 0) {
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
      break;  // to the housekeeping, which would otherwise run too rarely
    }
    if (me.reassembler != nullptr) me.reassembler->expire(rte_rdtsc());
  }
  rcu.leave(me.index);
}

Result<void> WorkerThreads::State::launch(WorkerRun& me) {
  try {
    threads.emplace_back([this, &me] { run(me); });
  } catch (const std::system_error& error) {
    return fail("worker " + std::to_string(me.index) + ": cannot start a thread: " + error.what());
  }
  const std::string name = "sc-worker-" + std::to_string(me.index);
  pthread_setname_np(threads.back().native_handle(), name.c_str());
  if (settings.cores.empty()) return {};
  cpu_set_t cpu;
  CPU_ZERO(&cpu);
  CPU_SET(settings.cores[me.index], &cpu);
  if (const int error = pthread_setaffinity_np(threads.back().native_handle(), sizeof(cpu), &cpu); error != 0)
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
    s.runs.back()->index = i;
    s.runs.back()->workers = count;
    s.runs.back()->worker = s.settings.workers[i];
    if (!s.settings.reassemblers.empty()) s.runs.back()->reassembler = s.settings.reassemblers[i];
  }
  SEALCAST_TRY(s.connect());
  for (auto& run : s.runs)
    SEALCAST_TRY(s.launch(*run));
  return threads;
}

WorkerThreads::WorkerThreads(std::unique_ptr<State> state) : state_(std::move(state)) {}

void WorkerThreads::stop() {
  state_->stop = true;
  for (auto& thread : state_->threads)
    if (thread.joinable()) thread.join();
  // All at once, here and below. This thread has no buffer cache: one by one, it would contend with the pool's other
  // users a thousand times. If CPUs are scarce, each time may cost both their time slices, as one waits for the other
  // that does not run.
  std::array<Frame, lane_burst> parked;
  std::array<rte_mbuf*, lane_burst> buffers;
  for (auto& run : state_->runs) {
    while (const std::size_t n = run->worker->give_back(parked)) {
      for (std::size_t i = 0; i < n; ++i)
        buffers[i] = static_cast<rte_mbuf*>(parked[i].buffer);
      rte_pktmbuf_free_bulk(buffers.data(), static_cast<unsigned>(n));
    }
  }
}

WorkerThreads::~WorkerThreads() {
  stop();
  for (rte_ring* ring : state_->rings) {
    void* frames[lane_burst];
    while (const unsigned n = rte_ring_sc_dequeue_burst(ring, frames, lane_burst, nullptr)) {
      rte_mbuf* buffers[lane_burst];
      for (unsigned i = 0; i < n; ++i)
        buffers[i] = static_cast<rte_mbuf*>(frames[i]);
      rte_pktmbuf_free_bulk(buffers, n);
    }
    rte_ring_free(ring);
  }
}

WorkerThreadCounters WorkerThreads::counters() const {
  WorkerThreadCounters sum;
  for (const auto& run : state_->runs) {
    sum.red_tx_full += run->to_red.tx_full.get();
    sum.black_tx_full += run->to_black.tx_full.get();
    sum.not_contiguous += run->to_red.not_contiguous.get() + run->to_black.not_contiguous.get();
    sum.reply_full += run->to_red.reply_full.get() + run->to_black.reply_full.get();
    sum.cut += run->to_black.cut.packets.get();
    sum.cut_no_buffer += run->to_black.cut.no_buffer.get();
    sum.cut_impossible += run->to_black.cut.impossible.get();
    sum.window_full += run->window_full.get();
    for (std::uint32_t target = 0; target < state_->runs.size(); ++target) {
      const std::uint64_t full = (run->red.others ? run->red.others->full(target) : 0) +
                                 (run->black.others ? run->black.others->full(target) : 0);
      sum.hand_off_full += full;
      sum.hand_off_full_of[target] += full;
    }
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
