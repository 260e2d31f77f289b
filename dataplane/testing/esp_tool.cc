// One member of a group on a pipe: other ESP implementations check the gateway against it.
//
//   esp_tool --engines            prints the engines that this CPU runs, one a line
//   esp_tool ENGINE KEYBYTES
//
// First prints "own SPI KEYSALT" and "peer SPI KEYSALT" (hexadecimal): what it seals under and what it opens. Then
// answers each line "seal FRAME" or "open FRAME" (an Ethernet frame, hexadecimal) with "ok FRAME" or "drop REASON".
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>

#include "dataplane/testing/harness.h"

namespace {

using namespace sealcast;
using namespace sealcast::dataplane;
using namespace sealcast::dataplane::testing;

constexpr std::uint32_t own_spi = 0x10000001;
constexpr std::uint32_t peer_spi = 0x10000002;

void print_key(const char* owner, const SaKey& key) {
  const ByteView bytes(key.key.data(), key.key_size);
  std::printf("%s %08x %s%s\n", owner, key.spi, to_hex(bytes).c_str(), to_hex(key.salt).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--engines") {
    for (const std::string& engine : runnable_engines())
      std::printf("%s\n", engine.c_str());
    return 0;
  }
  if (argc != 3) {
    std::fprintf(stderr, "usage: esp_tool --engines | ENGINE KEYBYTES\n");
    return 2;
  }
  const auto key_bytes = static_cast<std::uint8_t>(std::stoi(argv[2]));
  Harness path(Harness::Options{.engine = argv[1]});
  const std::vector<Selector> selectors = {selector("239.1.1.0/24")};
  GroupEpoch epoch = path.epoch("tv", 1, own_spi & 0xffff0000, selectors);
  epoch.outbound.push_back({key_of(own_spi, key_bytes)});
  epoch.inbound.push_back({key_of(peer_spi, key_bytes), 0});
  if (!path.plane().protect("tv", {selectors}) || !path.plane().install(std::move(epoch))) return 1;
  print_key("own", key_of(own_spi, key_bytes));
  print_key("peer", key_of(peer_spi, key_bytes));
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string command = line.substr(0, line.find(' '));
    const auto bytes = from_hex(std::string_view(line).substr(std::min(line.size(), command.size() + 1)));
    if ((command != "seal" && command != "open") || !bytes) {
      std::fprintf(stderr, "esp_tool: expected \"seal HEX\" or \"open HEX\"\n");
      return 2;
    }
    const Outcome outcome = command == "seal" ? path.red(*bytes) : path.black(*bytes);
    if (outcome.verdict == Verdict::forward) {
      std::printf("ok %s\n", to_hex(outcome.frame).c_str());
    } else {
      std::printf("drop %s\n", std::string(name(outcome.reason)).c_str());
    }
    std::fflush(stdout);
  }
  return 0;
}
