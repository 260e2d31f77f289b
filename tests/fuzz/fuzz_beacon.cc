// Gateways' beacons from hosts on red: raw frames, and beacons of any content, over time. Frames lie in exactly sized
// buffers.
#include <algorithm>

#include "base/limits.h"
#include "dataplane/neighbours/neighbours.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;             // NOLINT: a fuzzer of it
using namespace sealcast::dataplane;  // NOLINT
using fuzz::Input;
using fuzz::require;

bool printable(const std::string& text) {
  return !text.empty() && text.size() <= max_name_bytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  SteadyTime now{std::chrono::seconds(1000)};
  Neighbours gateway({.name = "m", .site = "hq", .nonce = 5, .ignored = {"b"}, .vlans = {7}});
  gateway.start({2, 0, 0, 0, 0, 1}, now);
  for (int count = 0; count < 64 && !input.empty(); ++count) {
    switch (input.pick(3)) {
      case 0: {
        const Bytes frame = fuzz::copy(input.block());
        gateway.hear(frame, now);
        const auto heard = read_beacon(frame);
        if (!heard) break;
        require(printable(heard->beacon.name) && printable(heard->beacon.site));
        const auto again = read_beacon(write_beacon(heard->beacon, heard->source, std::nullopt));
        require(again && again->beacon.name == heard->beacon.name && again->beacon.site == heard->beacon.site &&
                again->beacon.nonce == heard->beacon.nonce && again->beacon.standing == heard->beacon.standing);
        break;
      }
      case 1: {
        Beacon beacon;
        beacon.standing = static_cast<Standing>(input.pick(3));
        beacon.nonce = input.u8();
        beacon.name = std::string(1, static_cast<char>('a' + input.pick(26)));
        beacon.site = "s";
        const bool counts = beacon.standing == Standing::works && beacon.nonce != 5 && beacon.name != "b";
        gateway.hear(write_beacon(beacon, {2, 0, 0, 0, 0, 9}, std::nullopt), now);
        gateway.tick(now);
        // Beside one that works it works only as the lower one that worked before.
        if (counts && std::pair(beacon.name, beacon.nonce) < std::pair(std::string("m"), std::uint64_t{5}))
          require(gateway.standing() == Standing::stands_by);
        break;
      }
      default: {
        now += std::chrono::milliseconds(input.u8() * 4);
        gateway.tick(now);
        for (const Bytes& frame : gateway.due(now))
          require(read_beacon(frame).has_value());
      }
    }
    require(gateway.statistics().neighbours.size() <= Neighbours::most);
  }
  // Whatever was heard, a gateway that hears no more works again.
  for (int i = 0; i < 60; ++i) {
    now += std::chrono::milliseconds(50);
    gateway.tick(now);
  }
  require(gateway.standing() == Standing::works);
  return 0;
}
