// The real worker path on a pipe: bytes in, verdict and bytes out, for tables of packets whose expected bytes come from
// another implementation (fixtures_test.py).
//   fixture_tool ENGINE SCENARIO
// Scenarios (what each protects is printed by none of them; fixtures_test.py and this file agree):
//   preserve   "tv": 239.1.1.0/24 and ff1e:1::/32; "radio": UDP ports 5000-5010 of 239.2.2.0/24 and ff1e:2::/32;
//              "ssm": 232.1.1.0/24 from 10.0.0.0/8 and ff3e:3::/32 from 2001:db8::/32; local red: 10.66.0.0/16 and
//              2001:db8:66::/48; black MTU 1500, red MTU 1500
//   fixed4     "tv" in a tunnel from 10.9.0.2 to 239.9.9.9, TTL 32, DSCP 46
//   fixed6     "tv" in a tunnel from 2001:db8:9::2 to ff1e:9::9
//   transport  "tv"
// First prints, for each group, "key NAME own SPI KEYSALT" and "key NAME peer SPI KEYSALT" (hexadecimal), then "ready".
// Then answers each line:
//   red FRAME | black FRAME   "forward FRAME", "reply FRAME", "drop REASON", "fragment BYTES", "hand_off", "park",
//                             "reassemble" or "punt"
#include <cstdio>
#include <iostream>
#include <string>

#include "dataplane/testing/harness.h"

namespace {

using namespace sealcast;
using namespace sealcast::dataplane;
using namespace sealcast::dataplane::testing;

struct Group {
  std::string name;
  GroupProtection protection;
};

OuterTunnel tunnel(const std::string& source, const std::string& destination) {
  OuterTunnel outer;
  outer.source = *IpAddress::parse(source);
  outer.destination = *IpAddress::parse(destination);
  return outer;
}

std::vector<Group> groups_of(const std::string& scenario) {
  GroupProtection tv{{selector("239.1.1.0/24"), selector("ff1e:1::/32")}};
  if (scenario == "preserve") {
    const PortRange ports{5000, 5010};
    return {{"tv", tv},
            {"radio", {{selector("239.2.2.0/24", ports), selector("ff1e:2::/32", ports)}}},
            {"ssm",
             {{selector("232.1.1.0/24", std::nullopt, "10.0.0.0/8"),
               selector("ff3e:3::/32", std::nullopt, "2001:db8::/32")}}}};
  }
  if (scenario == "fixed4") {
    tv.mode = EspMode::tunnel_fixed;
    tv.outer = tunnel("10.9.0.2", "239.9.9.9");
    tv.outer->ttl = std::uint8_t{32};
    tv.outer->dscp = std::uint8_t{46};
  } else if (scenario == "fixed6") {
    tv.mode = EspMode::tunnel_fixed;
    tv.outer = tunnel("2001:db8:9::2", "ff1e:9::9");
  } else if (scenario == "transport") {
    tv.mode = EspMode::transport;
  } else {
    return {};
  }
  return {{"tv", tv}};
}

void print_key(const std::string& group, const char* whose, const SaKey& key) {
  std::printf("key %s %s %08x %s%s\n", group.c_str(), whose, key.spi,
              to_hex(ByteView(key.key.data(), key.key_size)).c_str(), to_hex(key.salt).c_str());
}

bool from_hex(const std::string& text, Bytes& out) {
  if (text.size() % 2 != 0 || text.find_first_not_of("0123456789abcdef") != std::string::npos) return false;
  for (std::size_t i = 0; i < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return true;
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
  const std::vector<Group> groups = argc == 3 ? groups_of(argv[2]) : std::vector<Group>{};
  if (groups.empty()) {
    std::fprintf(stderr, "usage: fixture_tool ENGINE preserve|fixed4|fixed6|transport\n");
    return 2;
  }
  PathSettings settings;
  settings.black_mtu = 1500;
  settings.red_mtu = 1500;
  settings.local_red_sources = {*Prefix::parse("10.66.0.0/16"), *Prefix::parse("2001:db8:66::/48")};
  Harness path(Harness::Options{.engine = argv[1], .path = settings});
  std::uint32_t prefix = 0x10000000;
  for (const Group& group : groups) {
    GroupEpoch epoch = path.epoch(group.name, 1, prefix, group.protection.selectors);
    epoch.mode = group.protection.mode;
    epoch.outbound.push_back({key_of(prefix + 1)});
    epoch.inbound.push_back({key_of(prefix + 2), 0});
    const auto done = path.plane().protect(group.name, group.protection);
    const auto installed = done ? path.plane().install(std::move(epoch)) : done;
    if (!installed) {
      std::fprintf(stderr, "fixture_tool: %s\n", installed.error().message.c_str());
      return 1;
    }
    print_key(group.name, "own", key_of(prefix + 1));
    print_key(group.name, "peer", key_of(prefix + 2));
    prefix += 0x10000;
  }
  std::printf("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    const std::string side = line.substr(0, line.find(' '));
    Bytes frame;
    if ((side != "red" && side != "black") || !from_hex(line.substr(side.size() + 1), frame)) {
      std::fprintf(stderr, "fixture_tool: expected \"red HEX\" or \"black HEX\"\n");
      return 2;
    }
    print(side == "red" ? path.red(frame) : path.black(frame));
  }
  return 0;
}
