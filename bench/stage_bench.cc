// stages/<seal|open>/v<4|6>/aes128/<frame bytes>: what each stage of the path costs, in TSC ticks a packet.
//
// The same traffic runs in turns of a few passes through growing parts of the path; a stage costs what the run with it
// takes longer than the run without it. Out-of-order cores overlap neighbouring stages, so only such differences add up
// to the whole; a clock read around each stage would not. Runs, each between the same two ports:
//   io        rx burst, tx burst, nothing between                        → rx + tx
//   frames    + to_frames, send_frames (dataplane/dpdk/lane.h)           → frames
//   parse     + link and IP header read and checked                      → parse
//   look-up   + seal: policy look-up; open: SPI look-up and replay check → lookup
//   path      the worker itself, with an engine that leaves packets as they are → path
//   whole     the worker with the real engine                            → aead
// A clock read between rx and tx, in a run of its own, separates the two; its cost is subtracted. path is all of the
// worker that the smaller runs do not hold: encapsulation or decapsulation, limits, replay commit, counters.
// Reported is the median over the turns. other = path run − io run: everything but I/O and AEAD, one number.
#include <rte_cycles.h>

#include <algorithm>
#include <numeric>

#include "bench/gateway_bench.h"
#include "dataplane/packet/packet.h"

namespace sealcast::bench {

using namespace dataplane;

namespace {

enum Run { io, split_rx, frames, parse, lookup, path, whole, run_count };

// One turn of a run makes so many passes over the recording; figures are ticks a packet.
constexpr std::size_t passes_a_turn = 16;

// Link and IP header of a multicast packet, as the worker reads them.
template <typename Family>
bool read(Frame& frame, Packet& packet) {
  if constexpr (Family::family == 6) {
    return parse_frame(frame, packet) == DropReason::none;
  } else {
    if (!parse_link(frame, packet.ether_type, packet.ip_offset) || packet.ether_type != ether_type_ipv4) return false;
    if (parse_ipv4(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet) != DropReason::none)
      return false;
    cut_padding(frame, packet);
    return is_multicast(packet);
  }
}

template <typename Family>
bool find_group(Frame& frame, const Snapshot& snapshot) {
  Packet packet;
  PacketKeyOf<typename Family::Address> key;
  std::uint32_t group = 0;
  return read<Family>(frame, packet) && packet_key<Family>(frame.data + packet.ip_offset, packet, key) &&
         snapshot.policy->find(key, group) == Match::found;
}

template <typename Family>
bool find_sa(Frame& frame, const Snapshot& snapshot) {
  Packet packet;
  if (!read<Family>(frame, packet)) return false;
  const std::uint8_t* esp = frame.data + packet.ip_offset + packet.header_bytes;
  const SpiTable::Entry* entry = snapshot.spis.find(load32(esp));
  return entry != nullptr && entry->sa->replay.check(load64(esp + 8));
}

// The cost of reading the clock: the difference of two reads in a row.
std::uint64_t clock_ticks() {
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t start = rte_rdtsc();
    least = std::min(least, rte_rdtsc() - start);
  }
  return least;
}

template <typename Family>
class Turns {
 public:
  Turns(const Traffic& traffic, Side side)
      : traffic_(traffic),
        side_(side),
        real_(plane_for(traffic, side)),
        hollow_(plane_for(traffic, side, "none")),
        real_source_(open_source(traffic, side, "auto")),
        hollow_source_(open_source(traffic, side, "none")),
        clock_(clock_ticks()) {}

  void run(Run which) {
    const Port& source = which == whole ? *real_source_ : *hollow_source_;
    double ticks = 0;
    one_pass(which, source);  // not counted: it refills the caches after the run before
    for (std::size_t i = 0; i < passes_a_turn; ++i)
      ticks += one_pass(which, source);
    samples_[which].push_back(ticks / static_cast<double>(passes_a_turn * traffic_.frames));
  }

  double median(Run which) {
    auto& all = samples_[which];
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
    std::nth_element(all.begin(), middle, all.end());
    return *middle;
  }

  Plane& real() { return real_; }
  Plane& hollow() { return hollow_; }
  const LaneCounters& counters() const { return counters_; }
  std::uint64_t refused() const { return refused_; }

 private:
  double one_pass(Run which, const Port& source) {
    if (which == io || which == split_rx) return bare_pass(which == split_rx, source);
    Plane& plane = which == whole ? real_ : hollow_;
    plane.rewind();
    RcuPublisher& rcu = *plane.publisher;
    rcu.enter(0);
    const Snapshot& snapshot = rcu.current();
    Worker& worker = plane.worker();
    std::uint64_t ticks = 0;
    switch (which) {
      case frames:
        ticks = each(source, [](Frame&) { return true; });
        break;
      case parse:
        ticks = each(source, [](Frame& frame) {
          Packet packet;
          return read<Family>(frame, packet);
        });
        break;
      case lookup:
        ticks = side_ == Side::seal ? each(source, [&](Frame& frame) { return find_group<Family>(frame, snapshot); })
                                    : each(source, [&](Frame& frame) { return find_sa<Family>(frame, snapshot); });
        break;
      default:
        ticks = side_ == Side::seal ? lane_pass(source,
                                                [&](std::span<Frame> burst) {
                                                  worker.red_burst(burst, rte_rdtsc(), rcu.current());
                                                  rcu.quiescent(0);
                                                })
                                    : lane_pass(source, [&](std::span<Frame> burst) {
                                        worker.black_burst(burst, rte_rdtsc(), rcu.current());
                                        rcu.quiescent(0);
                                      });
        break;
    }
    rcu.leave(0);
    return static_cast<double>(ticks);
  }

  // Forwards every frame after step has seen it; counts those that step refuses.
  template <typename Step>
  std::uint64_t each(const Port& source, Step&& step) {
    return lane_pass(source, [&](std::span<Frame> burst) {
      for (Frame& frame : burst) {
        refused_ += !step(frame);
        frame.verdict = Verdict::forward;
      }
    });
  }

  template <typename Process>
  std::uint64_t lane_pass(const Port& source, Process&& process) {
    const std::uint64_t start = rte_rdtsc();
    for (std::size_t moved = 0; moved < traffic_.frames;)
      moved += move_burst(source.id(), sink().id(), 0, counters_, process);
    return rte_rdtsc() - start;
  }

  // Ticks of a pass without the path's frames; only_rx: of receiving alone.
  double bare_pass(bool only_rx, const Port& source) {
    std::array<rte_mbuf*, lane_burst> buffers;
    std::uint64_t receiving = 0;
    const std::uint64_t start = rte_rdtsc();
    for (std::size_t moved = 0; moved < traffic_.frames;) {
      const std::uint64_t before = only_rx ? rte_rdtsc() : 0;
      const std::uint16_t n = rte_eth_rx_burst(source.id(), 0, buffers.data(), lane_burst);
      if (only_rx) receiving += rte_rdtsc() - before - clock_;
      const std::uint16_t sent = n == 0 ? n : rte_eth_tx_burst(sink().id(), 0, buffers.data(), n);
      if (sent < n) {
        rte_pktmbuf_free_bulk(buffers.data() + sent, static_cast<unsigned>(n - sent));
        refused_ += static_cast<std::uint64_t>(n - sent);
      }
      moved += n;
    }
    return static_cast<double>(only_rx ? receiving : rte_rdtsc() - start);
  }

  Traffic traffic_;
  Side side_;
  Plane& real_;
  Plane& hollow_;
  // Frames of the same sizes: sealed ones for the real engine, others for the engine that leaves packets as they are.
  std::unique_ptr<Port> real_source_, hollow_source_;
  std::uint64_t clock_;
  LaneCounters counters_;
  std::uint64_t refused_ = 0;
  std::array<std::vector<double>, run_count> samples_;
};

template <typename Family>
void stages(benchmark::State& state, const Traffic& traffic, Side side) {
  Turns<Family> turns(traffic, side);
  const std::uint64_t dropped[] = {turns.real().dropped(), turns.hollow().dropped()};
  for (auto _ : state) {
    for (int which = 0; which < run_count; ++which)
      turns.run(static_cast<Run>(which));
  }
  if (!all_passed(state, turns.real(), dropped[0], turns.counters()) ||
      !all_passed(state, turns.hollow(), dropped[1], turns.counters()))
    return;
  if (turns.refused() != 0) {
    state.SkipWithError((std::to_string(turns.refused()) + " packets were not found right").c_str());
    return;
  }
  auto& out = state.counters;
  out["rx"] = turns.median(split_rx);
  out["tx"] = turns.median(io) - turns.median(split_rx);
  out["frames"] = turns.median(frames) - turns.median(io);
  out["parse"] = turns.median(parse) - turns.median(frames);
  out["lookup"] = turns.median(lookup) - turns.median(parse);
  out["path"] = turns.median(path) - turns.median(lookup);
  out["aead"] = turns.median(whole) - turns.median(path);
  out["other"] = turns.median(path) - turns.median(io);
  out["ticks"] = turns.median(whole);
}

}  // namespace

void register_stages() {
  for (const Side side : {Side::seal, Side::open}) {
    const std::string label = std::string("stages/") + name(side);
    for (const std::size_t bytes : {64, 1400}) {
      const std::string rest = "/aes128/" + std::to_string(bytes);
      benchmark::RegisterBenchmark((label + "/v4" + rest).c_str(),
                                   [=](benchmark::State& state) { stages<V4>(state, {.frame_bytes = bytes}, side); });
      benchmark::RegisterBenchmark((label + "/v6" + rest).c_str(), [=](benchmark::State& state) {
        stages<V6>(state, {.family = 6, .frame_bytes = bytes}, side);
      });
    }
  }
}

}  // namespace sealcast::bench
