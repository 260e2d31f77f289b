#include "dataplane/dpdk/worker_run.h"

#include <rte_cycles.h>

#include "dataplane/dpdk/flow.h"
#include "dataplane/dpdk/reassembly.h"

namespace sealcast::dataplane {
namespace {

// A spread stream moves from worker to worker in bursts of this size: enough for the engines, and small enough that the
// next worker starts soon.
constexpr std::uint16_t spread_burst = 32;

// Gives sink the frames of a cut line under the places of their originals.
template <typename Sink>
struct PlacedSink {
  Sink& sink;
  std::span<const std::uint8_t> places;
  std::size_t first;
  void add(std::size_t i, rte_mbuf* frame) { sink.add(first + places[i], frame); }
  void flush() {}  // the burst's caller flushes
};

}  // namespace

struct WorkerRun::RedHooks : LaneHooks {
  WorkerRun& run;
  const Snapshot& snapshot;

  RedHooks(WorkerRun& r, const Snapshot& now) : run(r), snapshot(now) {}
  template <typename Sink>
  [[gnu::cold, gnu::noinline]] void cut(std::span<Frame> rest, std::size_t first, Sink& sink) {
    cut_rest(
        rest, run.to_black.cut, [&](std::span<Frame> frames) { run.worker->red_burst(frames, rte_rdtsc(), snapshot); },
        [&](std::span<Frame> frames, std::span<const std::uint8_t> places) {
          PlacedSink<Sink> placed{sink, places, first};
          finish_frames(frames, placed, run.red.send, run.to_black, LaneHooks{});
        });
  }
};

struct WorkerRun::BlackHooks : LaneHooks {
  WorkerRun& run;

  explicit BlackHooks(WorkerRun& r) : run(r) {}
  bool hand_off(std::size_t, const Frame& f) { return run.black.others && run.black.others->add(f.target, f.buffer); }
  [[gnu::cold, gnu::noinline]] void reassemble(const Frame& f) {
    if (run.reassembler == nullptr || run.whole_count == run.whole.size()) return LaneHooks::reassemble(f);
    if (rte_mbuf* const packet = run.reassembler->add(f, rte_rdtsc())) run.whole[run.whole_count++] = packet;
  }
};

struct WorkerRun::SpreadBlackHooks : BlackHooks {
  const std::uint16_t* numbers;
  std::uint64_t given = 0;  // bit i: frame i is another worker's

  SpreadBlackHooks(WorkerRun& r, const std::uint16_t* n) : BlackHooks(r), numbers(n) {}
  bool hand_off(std::size_t i, const Frame& f) {
    if (f.target == 0 || f.target >= run.workers) return false;
    run.black_spread->give(f.target, numbers[i], static_cast<rte_mbuf*>(f.buffer));
    given |= std::uint64_t{1} << i;
    return true;
  }
};

unsigned WorkerRun::round(const PortPair& ports, const Snapshot& snapshot) {
  red.receive.port = red.send.port = ports.red;
  black.receive.port = black.send.port = ports.black;
  unsigned work = 0;
  if (red_spread == nullptr) [[likely]] {
    work = plain(snapshot);
  } else if (index == 0) {
    work = spread_first(snapshot);
  } else {
    work = spread_others(snapshot);
  }
  if (red.outbox != nullptr) work += empty_outbox(red, to_red);
  if (black.outbox != nullptr) work += empty_outbox(black, to_black);
  return work;
}

unsigned WorkerRun::plain(const Snapshot& snapshot) {
  unsigned work = 0;
  rte_mbuf* mbufs[lane_burst];
  if (red.shared) {
    if (red.receives) work += share_red(snapshot);
    if (const unsigned n = inbox(red.inbox, mbufs); n != 0) {
      red_frames(mbufs, static_cast<std::uint16_t>(n), snapshot);
      work += n;
    }
  } else if (red.receives) {
    work += move_burst(
        red.receive, black.send, red.send, to_black,
        [&](std::span<Frame> burst) { worker->red_burst(burst, rte_rdtsc(), snapshot); }, RedHooks(*this, snapshot));
  }
  unpark(snapshot);
  if (black.receives) {
    work += move_burst(
        black.receive, red.send, black.send, to_red,
        [&](std::span<Frame> burst) { worker->black_burst(burst, rte_rdtsc(), snapshot); }, BlackHooks(*this));
    if (black.others) black.others->flush();
    if (whole_count != 0) [[unlikely]]
      work += whole_packets(snapshot);
  }
  if (black.inbox != nullptr) {
    if (const unsigned n = inbox(black.inbox, mbufs); n != 0) {
      black_frames(mbufs, static_cast<std::uint16_t>(n), snapshot);
      work += n;
    }
  }
  return work;
}

// Streams keep their worker, and every path from here to the transmit queue is first in, first out.
unsigned WorkerRun::share_red(const Snapshot& snapshot) {
  rte_mbuf* in[lane_burst];
  const std::uint16_t n = red.receive.receive(in, lane_burst);
  if (n == 0) return 0;
  rte_mbuf* own[lane_burst];
  std::uint16_t kept = 0;
  for (std::uint16_t i = 0; i < n; ++i) {
    if (i + 4 < n) rte_prefetch0(rte_pktmbuf_mtod(in[i + 4], void*));
    const Flow flow = flow_of(in[i]);
    const std::uint32_t target = flow.ip ? worker_of_flow(flow.hash, workers) : index;
    if (target == index || !red.others->add(target, in[i])) own[kept++] = in[i];
  }
  red.others->flush();
  if (kept != 0) red_frames(own, kept, snapshot);
  return n;
}

void WorkerRun::red_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot) {
  FrameRoom room;
  const std::span<Frame> frames(room.frames, to_frames(mbufs, n, room.frames, to_black));
  worker->red_burst(frames, rte_rdtsc(), snapshot);
  send_frames(frames, black.send, red.send, to_black, RedHooks(*this, snapshot));
}

void WorkerRun::black_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot) {
  FrameRoom room;
  const std::span<Frame> frames(room.frames, to_frames(mbufs, n, room.frames, to_red));
  worker->black_burst(frames, rte_rdtsc(), snapshot);
  send_frames(frames, red.send, black.send, to_red, LaneHooks{});
}

// Runs before any later frame of the parked slots.
void WorkerRun::unpark(const Snapshot& snapshot) {
  if (!worker->parks()) [[likely]]
    return;
  std::array<Frame, lane_burst> ready;
  while (const std::size_t n = worker->unpark(ready, rte_rdtsc(), snapshot))
    send_frames({ready.data(), n}, red.send, black.send, to_red, LaneHooks{});
}

unsigned WorkerRun::inbox(rte_ring* ring, rte_mbuf** mbufs) {
  void* handed[lane_burst];
  const unsigned n = rte_ring_sc_dequeue_burst(ring, handed, lane_burst, nullptr);
  for (unsigned i = 0; i < n; ++i)
    mbufs[i] = static_cast<rte_mbuf*>(handed[i]);
  return n;
}

unsigned WorkerRun::empty_outbox(PortEnd& side, LaneCounters& counters) {
  unsigned all = 0;
  rte_mbuf* mbufs[lane_burst];
  // No more than it held at first: other workers may fill it as fast as this one empties it.
  for (unsigned left = rte_ring_count(side.outbox); left != 0;) {
    const unsigned n = inbox(side.outbox, mbufs);
    if (n == 0) break;
    WaySink sink(side.send, counters);
    for (unsigned i = 0; i < n; ++i)
      sink.add(i, mbufs[i]);
    sink.flush();
    all += n;
    left -= std::min(left, n);
  }
  return all;
}

// ---- Spreading. Worker 0 receives, numbers and sends, and processes frames in between.

unsigned WorkerRun::spread_first(const Snapshot& snapshot) {
  unsigned work = red_spread->collect() + black_spread->collect();
  // Packets that waited for a key at another worker were put here before any later result of their slot: they leave
  // first.
  work += empty_outbox(red, to_red);
  unpark(snapshot);
  work += red_spread->emit(black.send, to_black) + black_spread->emit(red.send, to_red);
  work += spread_red(snapshot);
  work += spread_black(snapshot);
  return work;
}

unsigned WorkerRun::spread_red(const Snapshot& snapshot) {
  Spread& spread = *red_spread;
  const auto room = static_cast<std::uint16_t>(std::min<std::uint32_t>(spread.room(), spread_burst));
  if (room == 0) {
    window_full.add(1);
    return 0;
  }
  rte_mbuf* in[spread_burst];
  const std::uint16_t n = red.receive.receive(in, room);
  if (n == 0) return 0;
  const std::uint32_t turn_of = turn;
  turn = turn + 1 == workers ? 0 : turn + 1;
  std::array<Frame, lane_burst> frames;
  const std::uint16_t kept = to_frames(in, n, frames.data(), to_black);
  std::array<Frame, spread_burst> own;
  std::uint16_t numbers[spread_burst];
  std::uint16_t own_count = 0;
  for (std::uint16_t i = 0; i < kept; ++i) {
    auto* const m = static_cast<rte_mbuf*>(frames[i].buffer);
    // Fragments follow their first one, and rate-limited frames stay with one worker.
    const Flow flow = flow_of(m);
    const std::uint32_t target = !flow.ip ? 0 : flow.fragment ? worker_of_flow(flow.hash, workers) : turn_of;
    const std::uint16_t number = spread.begin();
    if (target == 0) {
      numbers[own_count] = number;
      own[own_count++] = frames[i];
    } else {
      spread.give(target, number, m);
    }
  }
  spread.flush();
  if (own_count == 0) return n;
  worker->red_burst({own.data(), own_count}, rte_rdtsc(), snapshot);
  struct {
    Spread& spread;
    const std::uint16_t* numbers;
    void add(std::size_t i, rte_mbuf* frame) { spread.piece(numbers[i], frame); }
    void flush() {}
  } sink{spread, numbers};
  finish_frames({own.data(), own_count}, sink, red.send, to_black, RedHooks(*this, snapshot));
  for (std::uint16_t i = 0; i < own_count; ++i)
    spread.done(numbers[i]);
  return n;
}

unsigned WorkerRun::spread_black(const Snapshot& snapshot) {
  Spread& spread = *black_spread;
  const auto room = static_cast<std::uint16_t>(std::min<std::uint32_t>(spread.room(), lane_burst));
  if (room == 0) {
    window_full.add(1);
    return 0;
  }
  rte_mbuf* in[lane_burst];
  const std::uint16_t n = black.receive.receive(in, room);
  if (n == 0) return 0;
  spread_black_frames(in, n, snapshot);
  return whole_count == 0 ? n : n + whole_packets(snapshot);
}

unsigned WorkerRun::whole_packets(const Snapshot& snapshot) {
  std::array<rte_mbuf*, lane_burst> ready = whole;
  std::uint16_t n = whole_count;
  whole_count = 0;
  if (black_spread == nullptr) {
    std::array<Frame, lane_burst> frames;
    const std::uint16_t kept = to_frames(ready.data(), n, frames.data(), to_red);
    worker->black_burst({frames.data(), kept}, rte_rdtsc(), snapshot);
    send_frames({frames.data(), kept}, red.send, black.send, to_red, BlackHooks(*this));
    if (black.others) black.others->flush();
    return n;
  }
  const auto room = static_cast<std::uint16_t>(std::min<std::uint32_t>(black_spread->room(), n));
  if (room < n) {
    to_red.tx_full.add(static_cast<std::uint64_t>(n - room));
    rte_pktmbuf_free_bulk(ready.data() + room, static_cast<unsigned>(n - room));
  }
  if (room != 0) spread_black_frames(ready.data(), room, snapshot);
  return room;
}

void WorkerRun::spread_black_frames(rte_mbuf** mbufs, std::uint16_t n, const Snapshot& snapshot) {
  Spread& spread = *black_spread;
  std::array<Frame, lane_burst> frames;
  const std::uint16_t kept = to_frames(mbufs, n, frames.data(), to_red);
  worker->black_burst({frames.data(), kept}, rte_rdtsc(), snapshot);
  std::uint16_t numbers[lane_burst];
  for (std::uint16_t i = 0; i < kept; ++i)
    numbers[i] = spread.begin();
  static_assert(lane_burst <= 64);
  struct {
    Spread& spread;
    const std::uint16_t* numbers;
    void add(std::size_t i, rte_mbuf* frame) { spread.piece(numbers[i], frame); }
    void flush() {}
  } sink{spread, numbers};
  SpreadBlackHooks hooks(*this, numbers);
  finish_frames({frames.data(), kept}, sink, black.send, to_red, hooks);
  spread.flush();
  for (std::uint16_t i = 0; i < kept; ++i)
    if ((hooks.given >> i & 1) == 0) spread.done(numbers[i]);
}

unsigned WorkerRun::spread_others(const Snapshot& snapshot) {
  rte_mbuf* mbufs[lane_burst];
  std::uint16_t numbers[lane_burst];
  std::array<Frame, lane_burst> frames;
  const unsigned red_count = red_spread->take(index, mbufs, numbers);
  if (red_count != 0) {
    to_frames(mbufs, static_cast<std::uint16_t>(red_count), frames.data(), to_black);  // all: worker 0 has checked them
    worker->red_burst({frames.data(), red_count}, rte_rdtsc(), snapshot);
    Spread::Results results(*red_spread, index, {numbers, red_count}, to_black);
    finish_frames({frames.data(), red_count}, results, red.send, to_black, RedHooks(*this, snapshot));
  }
  unpark(snapshot);
  const unsigned black_count = black_spread->take(index, mbufs, numbers);
  if (black_count != 0) {
    to_frames(mbufs, static_cast<std::uint16_t>(black_count), frames.data(), to_red);
    worker->black_burst({frames.data(), black_count}, rte_rdtsc(), snapshot);
    Spread::Results results(*black_spread, index, {numbers, black_count}, to_red);
    finish_frames({frames.data(), black_count}, results, black.send, to_red, LaneHooks{});
  }
  return red_count + black_count;
}

}  // namespace sealcast::dataplane
