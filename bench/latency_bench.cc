// latency/<idle|load80>/<seal|open>/v4/aes128/<frame bytes>: how long one worker keeps a packet, in nanoseconds.
//   idle     one packet at a time through a worker that has nothing else to do but polls: from the return of the rx
//   call
//            that brought it to the tx call that takes it away.
//   load80   packets arrive at random (exponential gaps) at 80 % of the rate this worker reached just before: from the
//            moment of arrival to the tx call. A packet that is due while the worker is busy waits, and the wait
//            counts, however long: the schedule goes on whatever the worker does.
// The moment of the tx call is taken by a callback at the entry of rte_eth_tx_burst. A schedule in the worker's own
// thread stands in for the sender, because a second busy thread would slow down the core it may share.
// Counters: p50, p99, p99.9, max, mean in ns; samples, 2^20 unless --latency_samples= says otherwise; load80: pps
// offered.
#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "bench/gateway_bench.h"

namespace sealcast::bench {

using namespace dataplane;

namespace {

// Polls of both sides between two packets: an idle worker has just looked elsewhere.
constexpr unsigned idle_polls = 16;
constexpr double load = 0.8;

std::uint16_t stamp(std::uint16_t, std::uint16_t, rte_mbuf**, std::uint16_t n, void* at) {
  *static_cast<std::uint64_t*>(at) = rte_rdtsc();
  return n;
}

// Notes when the sink's tx call begins, for its lifetime.
class TxStamp {
 public:
  TxStamp() : callback_(rte_eth_add_tx_callback(sink().id(), 0, stamp, &at_)) {
    if (callback_ == nullptr) give_up("DPDK takes no callback at transmission");
  }
  ~TxStamp() {
    // Only this thread sends, so no thread is inside the callback.
    rte_eth_remove_tx_callback(sink().id(), 0, callback_);
  }
  TxStamp(const TxStamp&) = delete;
  TxStamp& operator=(const TxStamp&) = delete;
  std::uint64_t at() const { return at_; }

 private:
  std::uint64_t at_ = 0;
  const rte_eth_rxtx_callback* callback_;
};

class Lane {
 public:
  Lane(const Traffic& traffic, Side side)
      : plane_(plane_for(traffic, side)), source_(source_for(traffic, side)), side_(side), frames_(traffic.frames) {
    plane_.publisher->enter(0);
  }
  ~Lane() { plane_.publisher->leave(0); }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  // Takes at most want frames, never beyond the end of a pass; returns how many and, in received, when they were there.
  std::uint16_t move(std::uint16_t want, std::uint64_t& received) {
    if (in_pass_ == 0) plane_.rewind();
    std::array<rte_mbuf*, lane_burst> in;
    const auto n = static_cast<std::uint16_t>(std::min<std::size_t>(want, frames_ - in_pass_));
    const std::uint16_t got = rte_eth_rx_burst(source_.id(), 0, in.data(), n);
    received = rte_rdtsc();
    in_pass_ = (in_pass_ + got) % frames_;
    std::array<Frame, lane_burst> frames;
    const std::uint16_t kept = to_frames(in.data(), got, frames.data(), counters_);
    const std::span<Frame> burst(frames.data(), kept);
    const Snapshot& snapshot = plane_.publisher->current();
    if (side_ == Side::seal) {
      plane_.worker().red_burst(burst, received, snapshot);
    } else {
      plane_.worker().black_burst(burst, received, snapshot);
    }
    send_frames(burst, Way{sink().id(), 0}, Way{source_.id(), 0}, counters_, LaneHooks{});
    plane_.publisher->quiescent(0);
    return got;
  }
  // The work of a worker while nothing comes.
  void poll() {
    std::array<rte_mbuf*, lane_burst> in;
    rte_eth_rx_burst(sink().id(), 0, in.data(), lane_burst);
    plane_.publisher->quiescent(0);
  }
  const LaneCounters& counters() const { return counters_; }
  Plane& plane() { return plane_; }

 private:
  Plane& plane_;
  const Port& source_;
  Side side_;
  std::size_t frames_;
  std::size_t in_pass_ = 0;
  LaneCounters counters_;
};

void report(benchmark::State& state, std::vector<std::uint32_t>& ticks) {
  const double ns = 1e9 / static_cast<double>(rte_get_tsc_hz());
  std::sort(ticks.begin(), ticks.end());
  const auto at = [&](double share) {
    const auto index = static_cast<std::size_t>(share * static_cast<double>(ticks.size() - 1));
    return static_cast<double>(ticks[index]) * ns;
  };
  state.counters["p50"] = at(0.5);
  state.counters["p99"] = at(0.99);
  state.counters["p99.9"] = at(0.999);
  state.counters["max"] = at(1);
  state.counters["mean"] = std::accumulate(ticks.begin(), ticks.end(), 0.0) / static_cast<double>(ticks.size()) * ns;
  state.counters["samples"] = static_cast<double>(ticks.size());
}

std::uint32_t clipped(std::uint64_t ticks) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(ticks, ~std::uint32_t{0}));
}

void idle(benchmark::State& state, const Traffic& traffic, Side side) {
  Lane lane(traffic, side);
  const TxStamp tx;
  const std::uint64_t dropped = lane.plane().dropped();
  std::vector<std::uint32_t> ticks;
  ticks.reserve(static_cast<std::size_t>(state.max_iterations));
  for (auto _ : state) {
    for (unsigned i = 0; i < idle_polls; ++i)
      lane.poll();
    std::uint64_t received = 0;
    lane.move(1, received);
    ticks.push_back(clipped(tx.at() - received));
  }
  if (all_passed(state, lane.plane(), dropped, lane.counters())) report(state, ticks);
}

// Packets a tick that the lane can move for a fifth of a second, the same way the loaded run moves them.
double full_rate(Lane& lane) {
  const std::uint64_t start = rte_rdtsc();
  const std::uint64_t end = start + rte_get_tsc_hz() / 5;
  std::uint64_t packets = 0;
  std::uint64_t now = start;
  while (now < end) {
    packets += lane.move(lane_burst, now);
    lane.poll();
  }
  return static_cast<double>(packets) / static_cast<double>(now - start);
}

void loaded(benchmark::State& state, const Traffic& traffic, Side side) {
  Lane lane(traffic, side);
  const TxStamp tx;
  const std::uint64_t dropped = lane.plane().dropped();
  const double rate = full_rate(lane) * load;
  const auto wanted = static_cast<std::size_t>(state.max_iterations);
  std::mt19937_64 random(1);
  std::exponential_distribution<double> gap(rate);
  std::vector<std::uint64_t> arrivals(wanted);
  double at = 0;
  for (std::uint64_t& arrival : arrivals) {
    at += gap(random);
    arrival = static_cast<std::uint64_t>(at);
  }
  std::vector<std::uint32_t> ticks(wanted);
  std::size_t done = 0;
  std::uint64_t start = 0;
  for (auto _ : state) {
    // The whole schedule runs in the first iteration, because it must not stop between two packets.
    if (done == wanted) continue;
    start = rte_rdtsc() + 1000;
    while (done < wanted) {
      const std::uint64_t now = rte_rdtsc();
      std::uint16_t waiting = 0;
      while (waiting < lane_burst && done + waiting < wanted && start + arrivals[done + waiting] <= now)
        ++waiting;
      if (waiting == 0) {
        lane.poll();
        continue;
      }
      std::uint64_t received = 0;
      const std::uint16_t got = lane.move(waiting, received);
      for (std::uint16_t i = 0; i < got; ++i, ++done)
        ticks[done] = clipped(tx.at() - (start + arrivals[done]));
      lane.poll();
    }
  }
  state.counters["pps"] = rate * static_cast<double>(rte_get_tsc_hz());
  if (all_passed(state, lane.plane(), dropped, lane.counters())) report(state, ticks);
}

}  // namespace

void register_latency(std::int64_t samples) {
  for (const Side side : {Side::seal, Side::open}) {
    for (const std::size_t bytes : {64, 1400}) {
      const std::string rest = std::string("/") + name(side) + "/v4/aes128/" + std::to_string(bytes);
      benchmark::RegisterBenchmark(("latency/idle" + rest).c_str(), [=](benchmark::State& state) {
        idle(state, {.frame_bytes = bytes}, side);
      })->Iterations(samples);
      benchmark::RegisterBenchmark(("latency/load80" + rest).c_str(), [=](benchmark::State& state) {
        loaded(state, {.frame_bytes = bytes}, side);
      })->Iterations(samples);
    }
  }
}

}  // namespace sealcast::bench
