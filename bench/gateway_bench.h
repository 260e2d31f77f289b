// What the parts of gateway_bench share: the sink, and the scene of the benchmark that is running.
#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "bench/traffic.h"
#include "dataplane/dpdk/lane.h"

namespace sealcast::bench {

// The null port that all frames leave by. Polling it yields nothing: it stands in for the silent side.
const dataplane::Port& sink();

enum class Side { seal, open };
inline const char* name(Side side) {
  return side == Side::seal ? "seal" : "open";
}

// The plane for a traffic, side and engine, made once and kept: thousands of groups take seconds to install.
Plane& plane_for(const Traffic& traffic, Side side, const std::string& engine = "auto");

// The recording that a plane of that side and engine works on; the last one asked for stays open.
const dataplane::Port& source_for(const Traffic& traffic, Side side, std::string_view engine = "auto");
// The same as a port of the caller's own.
std::unique_ptr<dataplane::Port> open_source(const Traffic& traffic, Side side, const std::string& engine);
// Bytes of the plain frames in one pass.
std::uint64_t plain_bytes(const Traffic& traffic);

// Reports an error if a single packet was dropped: a figure made of dropped packets would be a lie. before: the plane's
// drops when the measurement began.
bool all_passed(benchmark::State& state, const Plane& plane, std::uint64_t dropped_before,
                const dataplane::LaneCounters& counters);

void register_path();
void register_stages();
void register_latency(std::int64_t samples);

}  // namespace sealcast::bench
