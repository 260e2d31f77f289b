// control_bench: what thousands of groups cost the control side of the data plane: protecting them all at start, and
// one group's rekey (install, activate, retire) beside so many others.
//   control/protect/<groups>         all groups, empty data plane to policy in force
//   control/rekey/<other groups>     one group's next epoch, as a member installs it
//   control/events/<groups>          one look for events
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>

#include "dataplane/control/control.h"
#include "dataplane/testing/harness.h"

namespace sealcast::bench {
namespace {

using dataplane::testing::Harness;
using dataplane::testing::key_of;

Selector selector_of(std::uint32_t group) {
  Selector out;
  out.destination = *Prefix::parse(IpAddress::v4((239U << 24) + 256 + group).text());
  return out;
}

std::vector<DataPlaneControl::NamedProtection> groups_of(std::uint32_t count) {
  std::vector<DataPlaneControl::NamedProtection> out;
  for (std::uint32_t i = 0; i < count; ++i)
    out.push_back({"group-" + std::to_string(i), {{selector_of(i)}}});
  return out;
}

void must(const Result<void>& done) {
  if (done) return;
  std::fprintf(stderr, "control_bench: %s\n", done.error().message.c_str());
  std::exit(1);
}

// SPIs of 16 slots: the first epoch of group i begins at 0x10000000 + 16 i.
GroupEpoch epoch_of(const Harness& path, std::uint32_t group, std::uint64_t number, std::uint32_t prefix) {
  GroupEpoch epoch = path.epoch("group-" + std::to_string(group), number, prefix, {selector_of(group)}, false);
  epoch.spi_slot_bits = 4;
  epoch.replay_window = 1024;
  epoch.inbound.clear();
  for (std::uint32_t slot = 1; slot < 5; ++slot)
    epoch.inbound.push_back({key_of(prefix | slot)});
  epoch.outbound.clear();
  epoch.outbound.push_back({key_of(prefix)});
  return epoch;
}

void protect(benchmark::State& state) {
  const auto groups = groups_of(static_cast<std::uint32_t>(state.range(0)));
  for (auto _ : state) {
    state.PauseTiming();
    auto path = std::make_unique<Harness>();
    state.ResumeTiming();
    must(path->plane().protect_all(groups));
    state.PauseTiming();
    path.reset();
    state.ResumeTiming();
  }
}

// All of a gateway's groups go at once.
void unprotect(benchmark::State& state) {
  const auto groups = groups_of(static_cast<std::uint32_t>(state.range(0)));
  std::vector<std::string> ids;
  for (const auto& group : groups)
    ids.push_back(group.group_id);
  for (auto _ : state) {
    state.PauseTiming();
    auto path = std::make_unique<Harness>();
    must(path->plane().protect_all(groups));
    state.ResumeTiming();
    must(path->plane().unprotect_all(ids));
    state.PauseTiming();
    path.reset();
    state.ResumeTiming();
  }
}

void rekey(benchmark::State& state) {
  const auto others = static_cast<std::uint32_t>(state.range(0));
  Harness path;
  must(path.plane().protect_all(groups_of(others + 1)));
  for (std::uint32_t i = 0; i <= others; ++i) {
    must(path.plane().install(epoch_of(path, i, 1, 0x10000000 + 16 * i)));
    must(path.plane().activate("group-" + std::to_string(i), 1));
  }
  // In the middle of the others: a table that grows with them shows most there.
  const std::uint32_t group = others / 2;
  const std::string id = "group-" + std::to_string(group);
  std::uint32_t prefix = 0x40000000;
  std::uint64_t number = 1;
  for (auto _ : state) {
    must(path.plane().install(epoch_of(path, group, ++number, prefix)));
    must(path.plane().activate(id, number));
    must(path.plane().retire(id, number - 1));
    prefix += 16;
  }
}

void events(benchmark::State& state) {
  Harness path;
  must(path.plane().protect_all(groups_of(static_cast<std::uint32_t>(state.range(0)))));
  for (auto _ : state)
    benchmark::DoNotOptimize(path.plane().take_events());
}

BENCHMARK(protect)->Name("control/protect")->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);
BENCHMARK(unprotect)->Name("control/unprotect")->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond);
BENCHMARK(rekey)->Name("control/rekey")->Arg(1)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);
BENCHMARK(events)->Name("control/events")->Arg(1)->Arg(100)->Arg(10000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace sealcast::bench

BENCHMARK_MAIN();
