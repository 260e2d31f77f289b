// gateway/<seal|open|forward>/aes128/<frame bytes>: the whole packet path of one worker on one core, from a recording
// that DPDK's pcap port plays without end to its null port. Frame bytes are those of the plain frame on red, Ethernet
// header included, FCS not; for open the frames received are the sealed ones, 54 to 57 bytes longer.
//   seal     red rx → policy, ESP, AES-128-GCM → black tx
//   open     black rx → replay check, AES-128-GCM, replay commit, selectors → red tx. The recording holds truly sealed
//            packets; the replay window is rewound at the start of each pass over it, which nothing but a benchmark may
//            do.
//   forward  the same loop with every frame forwarded untouched: what I/O alone costs
// Counters: pps (packets a second), cycles_per_packet (TSC ticks).
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "dataplane/control.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/lane.h"
#include "dataplane/dpdk/packet_thread.h"
#include "dataplane/dpdk/port.h"
#include "dataplane/dpdk/rcu_publisher.h"
#include "dataplane/dpdk/testing/pcap_file.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

enum class Path { seal, open, forward };

// A multiple of the burst, so that every pass over the recording begins with a burst; few enough to stay in the cache,
// as a NIC's ring would.
constexpr std::size_t recorded_frames = 512;
static_assert(recorded_frames % lane_burst == 0);
constexpr std::uint32_t spi = 0x10000000;
constexpr std::size_t plain_headers = 14 + 20 + 8;

[[noreturn]] void give_up(const std::string& message) {
  std::fprintf(stderr, "gateway_bench: %s\n", message.c_str());
  std::exit(1);
}

template <typename T>
T need(Result<T> result) {
  if (!result) give_up(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct Bench {
  std::string folder;
  std::unique_ptr<PacketThread> thread;
  std::unique_ptr<Port> sink;
};
Bench& bench() {
  static Bench instance;
  return instance;
}

// A data plane that seals under spi, or opens what was sealed under it.
std::unique_ptr<DataPlane> data_plane(bool sealing, Publisher& publisher) {
  DataPlaneOptions options;
  options.path.black_mtu = 1600;
  options.path.tsc_hz = rte_get_tsc_hz();
  options.now_tsc = [] { return rte_rdtsc(); };
  auto plane = need(DataPlane::create(std::move(options), need(aead::create_engine("auto")), publisher));
  GroupEpoch epoch;
  epoch.group_id = "tv";
  epoch.epoch = 1;
  epoch.selectors = {testing::selector("239.1.1.0/24")};
  epoch.spi_prefix = spi;
  epoch.active = true;
  epoch.expires = std::chrono::steady_clock::now() + std::chrono::hours(24);
  epoch.lease_until = epoch.expires;
  if (sealing) {
    epoch.outbound.push_back({testing::key_of(spi, 16)});
  } else {
    epoch.inbound.push_back({testing::key_of(spi, 16), 0});
  }
  need(plane->protect("tv", {epoch.selectors}));
  need(plane->install(std::move(epoch)));
  return plane;
}

std::vector<Bytes> plain_frames(std::size_t frame_bytes) {
  return {recorded_frames, testing::udp_frame(frame_bytes - plain_headers)};
}

std::vector<Bytes> sealed_frames(std::size_t frame_bytes) {
  testing::ImmediatePublisher publisher;
  const auto plane = data_plane(true, publisher);
  std::vector<Bytes> sealed;
  for (const Bytes& plain : plain_frames(frame_bytes)) {
    Bytes buffer(128 + plain.size() + 128);
    std::copy(plain.begin(), plain.end(), buffer.begin() + 128);
    Frame frame;
    frame.data = buffer.data() + 128;
    frame.length = static_cast<std::uint32_t>(plain.size());
    frame.headroom = 128;
    frame.tailroom = 128;
    plane->worker(0).red_burst({&frame, 1}, rte_rdtsc(), *publisher.current);
    if (frame.verdict != Verdict::forward) give_up("a frame could not be sealed: " + std::string(name(frame.reason)));
    sealed.emplace_back(frame.data, frame.data + frame.length);
  }
  return sealed;
}

std::unique_ptr<Port> recording(Path path, std::size_t frame_bytes) {
  const std::string file = bench().folder + "/frames.pcap";
  if (!testing::write_pcap(file, path == Path::open ? sealed_frames(frame_bytes) : plain_frames(frame_bytes)))
    give_up("cannot write " + file);
  return need(Port::open({"source", need(parse_port("pcap:" + file + "?infinite=1")), 1600, 1, 8192}));
}

void run(benchmark::State& state, Path path, std::size_t frame_bytes) {
  const auto source = recording(path, frame_bytes);
  RcuPublisher publisher(1);
  const auto plane = data_plane(path != Path::open, publisher);
  Worker& worker = plane->worker(0);
  publisher.enter(0);
  const Snapshot& snapshot = publisher.current();
  ReplayWindow* const window = path == Path::open ? &snapshot.spis.find(spi)->sa->replay : nullptr;

  LaneCounters counters;
  std::uint64_t packets = 0;
  const std::uint16_t from = source->id();
  const std::uint16_t to = bench().sink->id();
  const auto nobody = [](const Frame&) { return false; };
  const auto round = [&](auto&& process) {
    packets += move_burst(from, to, 0, counters, process, nobody);
    publisher.quiescent(0);
  };
  const auto measure = [&](auto&& process) {
    const std::uint64_t start = rte_rdtsc();
    for ([[maybe_unused]] auto _ : state)
      round(process);
    const auto ticks = static_cast<double>(rte_rdtsc() - start);
    state.counters["pps"] = benchmark::Counter(static_cast<double>(packets), benchmark::Counter::kIsRate);
    state.counters["cycles_per_packet"] = ticks / static_cast<double>(packets);
  };
  switch (path) {
    case Path::seal:
      measure([&](std::span<Frame> burst) { worker.red_burst(burst, rte_rdtsc(), publisher.current()); });
      break;
    case Path::open: {
      std::uint64_t in_pass = 0;
      measure([&](std::span<Frame> burst) {
        if (in_pass == 0) window->rewind_for_benchmark();
        in_pass = (in_pass + burst.size()) % recorded_frames;
        worker.black_burst(burst, rte_rdtsc(), publisher.current());
      });
      break;
    }
    case Path::forward:
      measure([](std::span<Frame> burst) {
        for (Frame& frame : burst)
          frame.verdict = Verdict::forward;
      });
      break;
  }
  publisher.leave(0);
  // A figure made of dropped packets would be a lie.
  const auto& w = worker.counters();
  const std::uint64_t done = path == Path::seal ? w.sealed.get() : path == Path::open ? w.opened.get() : packets;
  if (done != packets || counters.tx_full.get() != 0)
    state.SkipWithError(
        ("only " + std::to_string(done) + " of " + std::to_string(packets) + " packets passed").c_str());
  state.SetLabel(path == Path::forward ? "" : plane->statistics().engine);
}

void prepare() {
  need(Eal::start({256, {}, {}}));
  std::string folder = (std::filesystem::temp_directory_path() / "sealcast-bench-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) give_up("cannot make a folder for the recordings in " + folder);
  bench().folder = folder;
  // One core: the last one this process may use, which the rest of the system leaves alone most.
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    CPU_ZERO(&allowed);
    CPU_SET(cpu, &allowed);
    pthread_setaffinity_np(pthread_self(), sizeof(allowed), &allowed);
    break;
  }
  bench().thread = std::make_unique<PacketThread>();
  bench().sink = need(Port::open({"sink", need(parse_port("null")), 1600, 1, 0}));
}

int run_all(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  prepare();
  for (const auto& [path, label] : {std::pair{Path::seal, "seal"}, {Path::open, "open"}, {Path::forward, "forward"}})
    for (const std::size_t bytes : {64, 256, 512, 1024, 1400})
      benchmark::RegisterBenchmark(("gateway/" + std::string(label) + "/aes128/" + std::to_string(bytes)).c_str(),
                                   [path = path, bytes](benchmark::State& state) { run(state, path, bytes); });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  bench().sink.reset();
  bench().thread.reset();
  std::error_code ignored;
  std::filesystem::remove_all(bench().folder, ignored);
  return 0;
}

}  // namespace
}  // namespace sealcast::dataplane

int main(int argc, char** argv) {
  return sealcast::dataplane::run_all(argc, argv);
}
