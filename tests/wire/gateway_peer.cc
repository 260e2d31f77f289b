// sealcast-gateway-peer: a gateway's data plane with fixed keys, for tests that need one they can kill.
//   sealcast-gateway-peer RED BLACK OWN_SLOT PEER_SLOT...
// Protects 239.1.1.0/24, seals under OWN_SLOT, opens what the PEER_SLOTs sealed. Answers on standard input:
//   stats -> "sealed N opened N red UP black UP", drops -> "reason=N …" of those that are not 0, quit
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "dataplane/dpdk/gateway.h"
#include "dataplane/testing/harness.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t prefix = 0x10000000;

int complain(const std::string& message) {
  std::fprintf(stderr, "sealcast-gateway-peer: %s\n", message.c_str());
  return 1;
}

GroupEpoch epoch(const std::vector<std::string>& slots) {
  GroupEpoch made;
  made.group_id = "tv";
  made.epoch = 1;
  made.selectors = {dataplane::testing::selector("239.1.1.0/24")};
  made.spi_prefix = prefix;
  made.active = true;
  made.expires = std::chrono::steady_clock::now() + 1h;
  made.lease_until = made.expires;
  const auto key = [](const std::string& slot) {
    return dataplane::testing::key_of(prefix + static_cast<std::uint32_t>(std::atoi(slot.c_str())));
  };
  made.outbound.push_back({key(slots[0])});
  for (std::size_t i = 1; i < slots.size(); ++i)
    made.inbound.push_back({key(slots[i]), 0});
  return made;
}

int run(const std::vector<std::string>& arguments) {
  dataplane::GatewayOptions options;
  options.red = {arguments[0], 1500};
  options.black = {arguments[1], 1600};
  options.memory_mb = 64;
  options.log = [](dataplane::LogLevel level, std::string_view line) {
    if (level >= dataplane::LogLevel::warning)
      std::fprintf(stderr, "sealcast-gateway-peer: %.*s\n", static_cast<int>(line.size()), line.data());
  };
  auto gateway = dataplane::GatewayDataPlane::create(std::move(options));
  if (!gateway) return complain(gateway.error().message);
  DataPlaneControl& control = (*gateway)->control();
  GroupEpoch keys = epoch({arguments.begin() + 2, arguments.end()});
  if (auto ok = control.protect("tv", {keys.selectors}); !ok) return complain(ok.error().message);
  if (auto ok = control.install(std::move(keys)); !ok) return complain(ok.error().message);
  if (auto ok = (*gateway)->start(); !ok) return complain(ok.error().message);
  std::cout << "READY" << std::endl;
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    const DataPlaneStatistics now = control.statistics();
    if (line == "stats") {
      std::cout << "sealed " << now.sealed << " opened " << now.opened << " red " << now.ports[0].link_up << " black "
                << now.ports[1].link_up;
    } else {
      for (const DropCount& drop : now.drops)
        if (drop.packets != 0) std::cout << drop.reason << "=" << drop.packets << " ";
    }
    std::cout << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace sealcast::wire

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs("usage: sealcast-gateway-peer RED BLACK OWN_SLOT PEER_SLOT...\n", stderr);
    return 2;
  }
  return sealcast::wire::run({argv + 1, argv + argc});
}
