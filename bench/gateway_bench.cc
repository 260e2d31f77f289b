// gateway_bench: one worker on one core between a recording that DPDK's pcap port plays without end and its null port.
//   gateway/<seal|open>/v<4|6>/aes<128|256>/<frame bytes|imix>[/groups:N][/tunnel_fixed|/transport]
//   gateway/forward/<frame bytes|imix>       the same loop with every frame forwarded untouched: what I/O alone costs
//   stages/…                                 where the time goes (stage_bench.cc)
//   latency/…                                how long a packet stays (latency_bench.cc)
// Frame bytes are those of the plain frame on red, Ethernet header included, FCS not; for open the frames received are
// the sealed ones. Time is taken over whole passes of the recording; between passes the replay windows of an opening
// plane are rewound, off the clock. Counters: pps (packets a second), gbps (plain frames' bits), ticks (TSC a packet).
#include "bench/gateway_bench.h"

#include <pthread.h>
#include <rte_cycles.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/packet_thread.h"

namespace sealcast::bench {

using namespace dataplane;

namespace {

constexpr std::uint32_t memory_mb = 384;

struct Stage {
  std::string folder;
  std::unique_ptr<PacketThread> thread;
  std::unique_ptr<Port> sink;
  std::map<std::tuple<Traffic, Side, std::string>, std::unique_ptr<Plane>> planes;
  std::map<std::tuple<Traffic, Side, std::string>, std::vector<Bytes>> frames;
  std::optional<std::tuple<Traffic, Side, std::string>> playing;
  std::unique_ptr<Port> source;
};
Stage& stage() {
  static Stage instance;
  return instance;
}

const std::vector<Bytes>& frames_for(const Traffic& traffic, Side side, const std::string& engine) {
  auto& frames = stage().frames[{traffic, side, side == Side::seal ? "" : engine}];
  if (frames.empty())
    frames =
        side == Side::seal ? plain_frames(traffic) : sealed_frames(traffic, plane_for(traffic, Side::seal, engine));
  return frames;
}

// Moves one pass of the recording; returns its TSC ticks.
template <typename Process>
std::uint64_t pass(std::size_t frames, const Port& source, LaneCounters& counters, Process&& process) {
  const std::uint64_t start = rte_rdtsc();
  for (std::size_t moved = 0; moved < frames;)
    moved += move_burst(source.id(), sink().id(), 0, counters, process);
  return rte_rdtsc() - start;
}

void report(benchmark::State& state, const Traffic& traffic, std::uint64_t ticks) {
  const double packets = static_cast<double>(state.iterations()) * static_cast<double>(traffic.frames);
  const double seconds = static_cast<double>(ticks) / static_cast<double>(rte_get_tsc_hz());
  state.counters["ticks"] = static_cast<double>(ticks) / packets;
  state.counters["pps"] = packets / seconds;
  state.counters["gbps"] =
      static_cast<double>(state.iterations()) * static_cast<double>(plain_bytes(traffic)) * 8e-9 / seconds;
}

void through_worker(benchmark::State& state, const Traffic& traffic, Side side) {
  Plane& plane = plane_for(traffic, side);
  const Port& source = source_for(traffic, side);
  Worker& worker = plane.worker();
  RcuPublisher& rcu = *plane.publisher;
  const std::uint64_t dropped = plane.dropped();
  const std::uint64_t passed = plane.sealed() + plane.opened();
  LaneCounters counters;
  std::uint64_t ticks = 0;
  rcu.enter(0);
  for (auto _ : state) {
    plane.rewind();
    const std::uint64_t spent = side == Side::seal
                                    ? pass(traffic.frames, source, counters,
                                           [&](std::span<Frame> burst) {
                                             worker.red_burst(burst, rte_rdtsc(), rcu.current());
                                             rcu.quiescent(0);
                                           })
                                    : pass(traffic.frames, source, counters, [&](std::span<Frame> burst) {
                                        worker.black_burst(burst, rte_rdtsc(), rcu.current());
                                        rcu.quiescent(0);
                                      });
    ticks += spent;
    state.SetIterationTime(static_cast<double>(spent) / static_cast<double>(rte_get_tsc_hz()));
  }
  rcu.leave(0);
  report(state, traffic, ticks);
  if (!all_passed(state, plane, dropped, counters)) return;
  const std::uint64_t expected = static_cast<std::uint64_t>(state.iterations()) * traffic.frames;
  if (plane.sealed() + plane.opened() - passed != expected)
    state.SkipWithError("packets passed that were not expected");
  state.SetLabel(plane.plane->statistics().engine);
}

void forward(benchmark::State& state, const Traffic& traffic) {
  const Port& source = source_for(traffic, Side::seal);
  LaneCounters counters;
  std::uint64_t ticks = 0;
  for (auto _ : state) {
    const std::uint64_t spent = pass(traffic.frames, source, counters, [](std::span<Frame> burst) {
      for (Frame& frame : burst)
        frame.verdict = Verdict::forward;
    });
    ticks += spent;
    state.SetIterationTime(static_cast<double>(spent) / static_cast<double>(rte_get_tsc_hz()));
  }
  report(state, traffic, ticks);
}

std::string size_name(const Traffic& traffic) {
  return traffic.frame_bytes == imix ? "imix" : std::to_string(traffic.frame_bytes);
}

void add(const Traffic& traffic, const std::string& suffix = "") {
  for (const Side side : {Side::seal, Side::open}) {
    const std::string label = std::string("gateway/") + name(side) + "/v" + std::to_string(traffic.family) + "/aes" +
                              std::to_string(traffic.key_bytes * 8) + "/" + size_name(traffic) + suffix;
    benchmark::RegisterBenchmark(label.c_str(), [=](benchmark::State& state) {
      through_worker(state, traffic, side);
    })->UseManualTime();
  }
}

}  // namespace

void register_path() {
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{256}, std::size_t{512}, std::size_t{1024},
                                  std::size_t{1400}, std::size_t{9000}, imix}) {
    add({.frame_bytes = bytes});
    add({.key_bytes = 32, .frame_bytes = bytes});
    add({.family = 6, .frame_bytes = bytes});
    benchmark::RegisterBenchmark(("gateway/forward/" + size_name({.frame_bytes = bytes})).c_str(),
                                 [=](benchmark::State& state) { forward(state, {.frame_bytes = bytes}); })
        ->UseManualTime();
  }
  for (const std::size_t bytes : {64, 1400}) {
    add({.mode = EspMode::tunnel_fixed, .frame_bytes = bytes}, "/tunnel_fixed");
    add({.mode = EspMode::transport, .frame_bytes = bytes}, "/transport");
  }
  // The same length for all three, so that only the groups differ: with more frames than groups each pass hits every
  // one.
  for (const std::size_t groups : {1, 100, 10'000})
    add({.groups = groups, .frames = 16'384}, "/groups:" + std::to_string(groups));
}

const Port& sink() {
  return *stage().sink;
}

Plane& plane_for(const Traffic& traffic, Side side, const std::string& engine) {
  auto& plane = stage().planes[{traffic, side, engine}];
  if (!plane) plane = make_plane(traffic, side == Side::seal, engine);
  return *plane;
}

const Port& source_for(const Traffic& traffic, Side side, std::string_view engine) {
  const std::tuple wanted{traffic, side, std::string(side == Side::seal ? "" : engine)};
  if (stage().playing != wanted) {
    stage().source.reset();
    stage().source = open_source(traffic, side, std::string(engine));
    stage().playing = wanted;
  }
  return *stage().source;
}

std::unique_ptr<Port> open_source(const Traffic& traffic, Side side, const std::string& engine) {
  return recording(stage().folder, frames_for(traffic, side, engine));
}

std::uint64_t plain_bytes(const Traffic& traffic) {
  return frame_bytes_of(frames_for(traffic, Side::seal, ""));
}

bool all_passed(benchmark::State& state, const Plane& plane, std::uint64_t dropped_before,
                const LaneCounters& counters) {
  const std::uint64_t lost = plane.dropped() - dropped_before + counters.tx_full.get() + counters.not_contiguous.get();
  if (lost != 0)
    state.SkipWithError((std::to_string(lost) + " packets were dropped; in all: " + plane.drops()).c_str());
  return lost == 0;
}

namespace {

// Binds to the last core this process may use: the rest of the system uses it least.
void bind_to_one_cpu() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&allowed);
    CPU_SET(cpu, &allowed);
    pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
    return;
  }
}

// Takes --latency_samples=N out of the arguments.
std::int64_t latency_samples(int& argc, char** argv) {
  constexpr std::string_view option = "--latency_samples=";
  std::int64_t samples = 1 << 20;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument.substr(0, option.size()) == option) {
      samples = std::max(1L, std::atol(argv[i] + option.size()));
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return samples;
}

int run_all(int argc, char** argv) {
  register_path();
  register_stages();
  benchmark::Initialize(&argc, argv);
  register_latency(latency_samples(argc, argv));
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  need(Eal::start({memory_mb, {}, {}}));
  std::string folder = (std::filesystem::temp_directory_path() / "sealcast-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) give_up("cannot make a folder for the recordings in " + folder);
  stage().folder = folder;
  bind_to_one_cpu();
  stage().thread = std::make_unique<PacketThread>();
  stage().sink = need(Port::open({"sink", need(parse_port("null")), 1600, 1, 0}));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  stage().planes.clear();
  stage().source.reset();
  stage().sink.reset();
  stage().thread.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}

}  // namespace
}  // namespace sealcast::bench

int main(int argc, char** argv) {
  return sealcast::bench::run_all(argc, argv);
}
