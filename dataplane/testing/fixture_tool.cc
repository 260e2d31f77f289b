// The real worker path on a pipe: bytes in, verdict and bytes out. For tables of packets; another implementation
// computes the expected bytes (fixtures_test.py).
//   fixture_tool ENGINE SCENARIO
// Scenarios: scenario.h.
// First prints, for each group, "key NAME own SPI KEYSALT" and "key NAME peer SPI KEYSALT" (hexadecimal), then "ready".
// Then answers each line:
//   red FRAME | black FRAME   "forward FRAME", "reply FRAME", "drop REASON", "fragment BYTES", "hand_off", "park",
//                             "reassemble" or "punt"
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>

#include "dataplane/testing/scenario.h"

namespace {

using namespace sealcast;
using namespace sealcast::dataplane;
using namespace sealcast::dataplane::testing;

void print_key(const std::string& group, const char* owner, const SaKey& key) {
  std::printf("key %s %s %08x %s%s\n", group.c_str(), owner, key.spi,
              to_hex(ByteView(key.key.data(), key.key_size)).c_str(), to_hex(key.salt).c_str());
}

void print(const Outcome& outcome) {
  switch (outcome.verdict) {
    case Verdict::forward:
      std::printf("forward %s\n", to_hex(outcome.frame).c_str());
      break;
    case Verdict::reply:
      std::printf("reply %s\n", to_hex(outcome.frame).c_str());
      break;
    case Verdict::drop:
      std::printf("drop %s\n", std::string(name(outcome.reason)).c_str());
      break;
    case Verdict::fragment:
      std::printf("fragment %u\n", outcome.target);
      break;
    case Verdict::hand_off:
      std::printf("hand_off\n");
      break;
    case Verdict::park:
      std::printf("park\n");
      break;
    case Verdict::reassemble:
      std::printf("reassemble\n");
      break;
    case Verdict::punt:
      std::printf("punt\n");
      break;
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto groups = argc == 3 ? scenario_groups(argv[2]) : std::vector<ScenarioGroup>{};
  if (groups.empty()) {
    std::fprintf(stderr, "usage: fixture_tool ENGINE preserve|fixed4|fixed6|transport\n");
    return 2;
  }
  Harness path(Harness::Options{.engine = argv[1], .path = scenario_settings()});
  if (const auto installed = install_scenario(path, groups); !installed) {
    std::fprintf(stderr, "fixture_tool: %s\n", installed.error().message.c_str());
    return 1;
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    print_key(groups[i].name, "own", key_of(scenario_prefix(i) + 1));
    print_key(groups[i].name, "peer", key_of(scenario_prefix(i) + 2));
  }
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string side = line.substr(0, line.find(' '));
    const auto bytes = from_hex(std::string_view(line).substr(std::min(line.size(), side.size() + 1)));
    if ((side != "red" && side != "black") || !bytes) {
      std::fprintf(stderr, "fixture_tool: expected \"red HEX\" or \"black HEX\"\n");
      return 2;
    }
    print(side == "red" ? path.red(*bytes) : path.black(*bytes));
  }
  return 0;
}
