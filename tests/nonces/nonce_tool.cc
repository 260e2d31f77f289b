// nonce_tool seal|die|announce NUMBER: a process with recorded nonces, for nonces_test.py.
//   seal      a data plane with two workers seals packets in every way there is; the keys are the same in each process,
//             so a second one repeats the first one's nonces
//   die       the same, then kill -9 of itself
//   announce  seals one datagram as a key server does, under NUMBER
// Prints each packet's SPI and IV as they stand in it.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "controlplane/keyserver/group/announcement.h"
#include "dataplane/testing/harness.h"

namespace sealcast::nonces {
namespace {

using namespace dataplane::testing;
using dataplane::Verdict;

void print(const std::uint8_t* esp) {
  std::printf("%08x %llu\n", load_be<std::uint32_t>(esp),
              static_cast<unsigned long long>(load_be<std::uint64_t>(esp + 8)));
}

int complain(const std::string& message) {
  std::fprintf(stderr, "nonce_tool: %s\n", message.c_str());
  return 1;
}

bool print_sealed(const std::vector<Outcome>& outcomes) {
  for (const Outcome& outcome : outcomes) {
    if (outcome.verdict != Verdict::forward) return false;
    const std::uint8_t* const ip = outcome.frame.data() + 14;
    print(ip + (ip[0] >> 4 == 4 ? (ip[0] & 15) * 4 : 40));
  }
  return true;
}

struct Way {
  const char* group;
  EspMode mode;
  std::uint32_t prefix;
  const char *net4, *net6;
};
constexpr Way ways[] = {
    {"preserve", EspMode::tunnel_preserve, 0x10000000, "239.1.1.0/24", "ff1e::1:0/112"},
    {"fixed", EspMode::tunnel_fixed, 0x10010000, "239.1.2.0/24", "ff1e::2:0/112"},
    {"transport", EspMode::transport, 0x10020000, "239.1.3.0/24", "ff1e::3:0/112"},
};

int seal(bool die) {
  Harness::Options options;
  options.workers = 2;
  Harness harness(options);
  for (const Way& way : ways) {
    GroupProtection protection;
    protection.selectors = {selector(way.net4), selector(way.net6)};
    protection.mode = way.mode;
    if (way.mode == EspMode::tunnel_fixed)
      protection.outer = OuterTunnel{*IpAddress::parse("239.9.9.9"), *IpAddress::parse("10.0.0.9")};
    if (auto ok = harness.plane().protect(way.group, protection); !ok) return complain(ok.error().message);
    GroupEpoch epoch = harness.epoch(way.group, 1, way.prefix, protection.selectors);
    epoch.mode = way.mode;
    epoch.outbound.clear();
    for (std::uint32_t worker = 0; worker < options.workers; ++worker)
      epoch.outbound.push_back({key_of(way.prefix + worker, 32)});
    if (auto ok = harness.plane().install(std::move(epoch)); !ok) return complain(ok.error().message);
  }
  // Bursts of one flow and of many, so that runs and single packets, lean ones and others, take turns.
  for (int round = 0; round < 40; ++round) {
    std::vector<Bytes> frames;
    for (int i = 0; i < 70; ++i) {
      const std::string number = std::to_string(1 + (round % 4 == 0 ? 0 : i % 3));
      const std::size_t bytes = static_cast<std::size_t>(20 + 7 * i);
      Ipv4Fields v4;
      v4.destination = "239.1." + number + ".5";
      if (round % 4 == 1 && i % 5 == 0) v4.options = {148, 4, 0, 0};
      Ipv6Fields v6;
      v6.destination = "ff1e::" + number + ":5";
      const bool six = round % 4 == 2 && i % 4 == 0;
      // A first fragment with its ports, as made by cutting before sealing; transport mode takes none.
      if (round % 4 == 3 && number != "3") v4.fragment = 0x2000;
      frames.push_back(six ? udp6_frame(bytes, v6)
                           : udp_frame(v4.fragment == 0x2000 ? 8 * (1 + bytes / 8) : bytes, v4));
    }
    if (!print_sealed(harness.red(frames, static_cast<std::uint32_t>(round % 2))))
      return complain("a packet of round " + std::to_string(round) + " was not sealed");
  }
  std::fflush(stdout);
  if (die) kill(getpid(), SIGKILL);
  return 0;
}

int announce(std::uint64_t number) {
  const Bytes packet = keyserver::seal_announcement(key_of(0x10000064, 32), number, Bytes(100, 7));
  print(packet.data());
  return 0;
}

}  // namespace
}  // namespace sealcast::nonces

int main(int argc, char** argv) {
  const std::string verb = argc > 1 ? argv[1] : "";
  if (argc == 2 && (verb == "seal" || verb == "die")) return sealcast::nonces::seal(verb == "die");
  if (argc == 3 && verb == "announce") return sealcast::nonces::announce(std::strtoull(argv[2], nullptr, 10));
  std::fputs("usage: nonce_tool seal | die | announce NUMBER\n", stderr);
  return 2;
}
