// stages/<seal|open>/v4/aes128/<frame bytes>: what each stage of the path costs, in TSC ticks a packet.
//
// The same traffic runs in turns of a few passes through growing parts of the path; a stage costs what the run with it
// takes longer than the run without it. Out-of-order cores overlap neighbouring stages, so only such differences add up
// to the whole; a clock read around each stage would not. Runs, each between the same two ports:
//   io        rx burst, tx burst, nothing between                        → rx + tx
//   frames    + to_frames, send_frames (dataplane/dpdk/lane.h)           → frames
//   parse     + parse_frame                                              → parse
//   look-up   + seal: policy look-up; open: SPI look-up and replay check → lookup
//   path      the worker itself, with an engine that leaves packets as they are → path
//   whole     the worker with the real engine                            → aead
// rx and tx are told apart by a clock read between them in a run of its own, its cost subtracted. path is all of the
// worker that the smaller runs do not hold: encapsulation or decapsulation, limits, replay commit, counters.
// Reported is the median over the turns. other = path run − io run: everything but I/O and AEAD, one number.
#include <rte_cycles.h>

#include <algorithm>
#include <numeric>

#include "bench/gateway_bench.h"
#include "dataplane/packet.h"

namespace sealcast::bench {

using namespace dataplane;

namespace {

enum Run { io, split_rx, frames, parse, lookup, path, whole, run_count };

// One turn of a run: ticks of so many passes over the recording, in ticks a packet.
constexpr std::size_t passes_a_turn = 16;

// The cost of reading the clock, as it shows between two reads in a row.
std::uint64_t clock_ticks() {
  std::uint64_t least = ~std::uint64_t{0};
  for (int i = 0; i < 1000; ++i) {
    const std::uint64_t start = rte_rdtsc();
    least = std::min(least, rte_rdtsc() - start);
  }
  return least;
}

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
    one_pass(which, source);  // what the run before left in the caches is not this one's fault
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
        ticks = lane_pass(source, [](std::span<Frame> burst) {
          for (Frame& frame : burst)
            frame.verdict = Verdict::forward;
        });
        break;
      case parse:
        ticks = lane_pass(source, [&](std::span<Frame> burst) {
          for (Frame& frame : burst) {
            Packet packet;
            refused_ += parse_frame(frame, packet) != DropReason::none;
            frame.verdict = Verdict::forward;
          }
        });
        break;
      case lookup:
        if (side_ == Side::seal) {
          ticks = lane_pass(source, [&](std::span<Frame> burst) {
            for (Frame& frame : burst)
              find_group(frame, snapshot);
          });
        } else {
          ticks = lane_pass(source, [&](std::span<Frame> burst) {
            for (Frame& frame : burst)
              find_sa(frame, snapshot);
          });
        }
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

  void find_group(Frame& frame, const Snapshot& snapshot) {
    Packet packet;
    PacketKey key;
    std::uint32_t group = 0;
    const bool ok = parse_frame(frame, packet) == DropReason::none &&
                    packet_key(frame.data + packet.ip_offset, packet, key) &&
                    snapshot.policy->find(key, group) == Match::found;
    refused_ += !ok;
    frame.verdict = Verdict::forward;
  }

  void find_sa(Frame& frame, const Snapshot& snapshot) {
    Packet packet;
    bool ok = parse_frame(frame, packet) == DropReason::none;
    if (ok) {
      const std::uint8_t* esp = frame.data + packet.ip_offset + packet.header_bytes;
      const SpiTable::Entry* entry = snapshot.spis.find(load32(esp));
      ok = entry != nullptr && entry->sa->replay.check(load64(esp + 8));
    }
    refused_ += !ok;
    frame.verdict = Verdict::forward;
  }

  template <typename Process>
  std::uint64_t lane_pass(const Port& source, Process&& process) {
    const std::uint64_t start = rte_rdtsc();
    for (std::size_t moved = 0; moved < traffic_.frames;)
      moved += move_burst(source.id(), sink().id(), 0, counters_, process);
    return rte_rdtsc() - start;
  }

  // Ticks of a pass without the path's frames; of its receiving alone where only_rx.
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
  // Frames of the same sizes; truly sealed ones for the real engine to open, others for the one that leaves them alone.
  std::unique_ptr<Port> real_source_, hollow_source_;
  std::uint64_t clock_;
  LaneCounters counters_;
  std::uint64_t refused_ = 0;
  std::array<std::vector<double>, run_count> samples_;
};

void stages(benchmark::State& state, const Traffic& traffic, Side side) {
  Turns turns(traffic, side);
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
  for (const Side side : {Side::seal, Side::open})
    for (const std::size_t bytes : {64, 1400})
      benchmark::RegisterBenchmark(
          (std::string("stages/") + name(side) + "/v4/aes128/" + std::to_string(bytes)).c_str(),
          [=](benchmark::State& state) { stages(state, {.frame_bytes = bytes}, side); });
}

}  // namespace sealcast::bench
