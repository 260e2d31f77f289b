// virtio_gateway: one of two gateways that run against each other over vhost-user ↔ virtio-user, each a process and a
// core of its own. A plain recording goes in at one, is sealed, crosses, is opened at the other and ends in a null
// port.
//   virtio_gateway seal SOCKET CPU FRAME_BYTES FOLDER     plays frames from a recording it writes to FOLDER; makes
//   SOCKET virtio_gateway open SOCKET CPU
// Prints READY, then answers lines on standard input: "stats" with one JSON object (seconds of a monotonic clock,
// packets sealed and opened, frames the black and red transmit rings did not take, other drops by reason, link),
// "quit".
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "dataplane/dpdk/gateway.h"
#include "dataplane/dpdk/testing/pcap_file.h"
#include "dataplane/testing/harness.h"

namespace sealcast::bench {
namespace {

constexpr std::uint32_t spi = 0x10000000;
constexpr std::size_t recorded_frames = 512;
constexpr std::size_t plain_headers = 14 + 20 + 8;

int complain(const std::string& message) {
  std::fprintf(stderr, "virtio_gateway: %s\n", message.c_str());
  return 1;
}

GroupEpoch epoch(bool sealing) {
  GroupEpoch made;
  made.group_id = "tv";
  made.epoch = 1;
  made.selectors = {dataplane::testing::selector("239.1.1.0/24")};
  made.spi_prefix = spi;
  made.active = true;
  made.expires = std::chrono::steady_clock::now() + std::chrono::hours(24);
  made.lease_until = made.expires;
  // The same in both processes: they share this machine's clock.
  made.clock = EpochClock{std::chrono::floor<std::chrono::hours>(std::chrono::steady_clock::now()),
                          std::chrono::milliseconds(1), std::chrono::milliseconds(1)};
  if (sealing) {
    made.outbound.push_back({dataplane::testing::key_of(spi)});
  } else {
    made.inbound.push_back({dataplane::testing::key_of(spi), 0});
  }
  return made;
}

void show(const DataPlaneStatistics& now) {
  const std::chrono::duration<double> at = std::chrono::steady_clock::now().time_since_epoch();
  std::printf("{\"seconds\": %.9f, \"sealed\": %llu, \"opened\": %llu, \"red_tx_full\": %llu, \"black_tx_full\": %llu",
              at.count(), static_cast<unsigned long long>(now.sealed), static_cast<unsigned long long>(now.opened),
              static_cast<unsigned long long>(now.ports.at(0).tx_dropped),
              static_cast<unsigned long long>(now.ports.at(1).tx_dropped));
  std::printf(", \"link\": %s, \"engine\": \"%s\", \"drops\": {", now.ports.at(1).link_up ? "true" : "false",
              now.engine.c_str());
  const char* comma = "";
  for (const DropCount& drop : now.drops) {
    if (drop.packets == 0) continue;
    std::printf("%s\"%s\": %llu", comma, drop.reason.c_str(), static_cast<unsigned long long>(drop.packets));
    comma = ", ";
  }
  std::printf("}}\n");
  std::fflush(stdout);
}

int run(const std::vector<std::string>& arguments) {
  const bool sealing = arguments[0] == "seal";
  dataplane::GatewayOptions options;
  options.black = {(sealing ? "virtio-user:" : "vhost-user:") + arguments[1], 1600};
  options.red = {"null", 1500};
  if (sealing) {
    const std::string file = arguments[4] + "/red.pcap";
    const auto bytes = static_cast<std::size_t>(std::atoi(arguments[3].c_str()));
    if (bytes < 64 || bytes > 1514) return complain("frame bytes: expected 64 to 1514, got " + arguments[3]);
    const std::vector<Bytes> frames(recorded_frames, dataplane::testing::udp_frame(bytes - plain_headers));
    if (!dataplane::testing::write_pcap(file, frames)) return complain("cannot write " + file);
    options.red = {"pcap:" + file + "?infinite=1", 1500};
  }
  options.cores = {static_cast<std::uint32_t>(std::atoi(arguments[2].c_str()))};
  options.idle_nap_us = 0;
  options.learn_sources = true;  // as a gateway does by default
  options.log = [](dataplane::LogLevel level, std::string_view line) {
    if (level >= dataplane::LogLevel::warning)
      std::fprintf(stderr, "virtio_gateway: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  auto gateway = dataplane::GatewayDataPlane::create(std::move(options));
  if (!gateway) return complain(gateway.error().message);
  DataPlaneControl& control = (*gateway)->control();
  GroupEpoch keys = epoch(sealing);
  if (auto ok = control.protect("tv", {keys.selectors}); !ok) return complain(ok.error().message);
  if (auto ok = control.install(std::move(keys)); !ok) return complain(ok.error().message);
  if (auto ok = (*gateway)->start(); !ok) return complain(ok.error().message);
  std::cout << "READY" << std::endl;
  std::string line;
  while (std::getline(std::cin, line) && line != "quit")
    show(control.statistics());
  return 0;
}

}  // namespace
}  // namespace sealcast::bench

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  if (!((role == "seal" && argc == 6) || (role == "open" && argc == 4))) {
    std::fputs("usage: virtio_gateway seal SOCKET CPU FRAME_BYTES FOLDER\n       virtio_gateway open SOCKET CPU\n",
               stderr);
    return 2;
  }
  return sealcast::bench::run({argv + 1, argv + argc});
}
