// IGMP and MLD of any kind: read as messages that may cross in clear, taken out of reports, received by the gateway's
// own listener; its reports must be right whatever it received (RFC 3376, 3810; H10). Frames lie in exactly sized
// buffers.
#include <cstring>

#include "dataplane/membership/listener.h"
#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"
#include "dataplane/packet/report_filter.h"
#include "dataplane/path/bypass.h"
#include "dataplane/testing/clear_packets.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;                      // NOLINT: a fuzzer of it
using namespace sealcast::dataplane;           // NOLINT
using namespace sealcast::dataplane::testing;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr std::uint32_t listener_mtu = 600;
constexpr std::uint64_t second_ns = 1'000'000'000;

bool is_report(const ClearPacket& packet) {
  return packet.family == 4   ? packet.protocol == 2 && check_igmp_report(packet) == DropReason::none
         : packet.family == 6 ? packet.protocol == 58 && check_mld_report(packet) == DropReason::none
                              : false;
}

DropReason read(const Bytes& frame, ClearPacket& packet) {
  if (frame.size() < ethernet_bytes) return DropReason::short_frame;
  return read_clear(frame.data() + ethernet_bytes, static_cast<std::uint32_t>(frame.size()) - ethernet_bytes,
                    load16(&frame[12]), packet);
}

std::string group_of(Input& input, bool four) {
  const auto last = std::to_string(input.pick(4));
  return four ? "239.1." + std::to_string(input.pick(2)) + "." + last : "ff3e::" + last;
}

// A message with a right checksum and errors elsewhere.
Bytes message(Input& input) {
  const bool four = input.flag();
  const auto type = input.u8();
  const auto code = input.u8();
  const std::string group = input.flag() ? (four ? "0.0.0.0" : "::") : group_of(input, four);
  const ByteView block = input.short_block();
  const Bytes rest(block.begin(), block.end());
  if (four) {
    const char* const fixed[] = {"224.0.0.1", "224.0.0.22", "224.0.0.2"};
    const std::size_t where = input.pick(4);
    const std::string to = where < 3 ? fixed[where] : group == "0.0.0.0" ? "224.0.0.1" : group;
    return testing::ethernet(
        testing::ipv4({.destination = to, .protocol = 2, .ttl = 1, .options = input.flag() ? router_alert : Bytes{}},
                      testing::igmp(type, code, group, rest)));
  }
  const char* const fixed[] = {"ff02::1", "ff02::16", "ff02::2"};
  const std::size_t where = input.pick(4);
  const Header6 header{.destination = where < 3 ? fixed[where] : group == "::" ? "ff02::1" : group};
  return frame6(mld_packet(header, type, mld_group(group, input.u16()) + rest));
}

Bytes any_frame(Input& input) {
  Bytes frame;
  if (input.flag()) {
    frame = message(input);
  } else {
    const ByteView raw = input.block();
    frame.assign(raw.begin(), raw.end());
  }
  for (std::size_t n = input.pick(4); n > 0 && !frame.empty(); --n) {
    const std::size_t place = input.u16() % frame.size();
    frame[place] = static_cast<std::uint8_t>(frame[place] ^ input.u8());
  }
  return frame;
}

void cross(Bypass& bypass, const GroupRanges& stopped, const Bytes& frame, Side from, std::uint64_t now) {
  ClearPacket packet;
  if (read(frame, packet) != DropReason::none) return;
  const Bypass::Answer answer =
      bypass.admit(from, packet, frame.data(), static_cast<std::uint32_t>(frame.size()), DropReason::no_policy, now);
  const bool report = is_report(packet);
  // The default: reports from red, queries from black, nothing else.
  if (answer.reason == DropReason::none)
    require(from == Side::red    ? report
            : packet.family == 4 ? check_igmp_query(packet) == DropReason::none
                                 : check_mld_query(packet) == DropReason::none);
  if (!report) return;
  Bytes copy = frame;
  auto bytes = static_cast<std::uint32_t>(copy.size());
  require(read(copy, packet) == DropReason::none);
  const Filtered filtered = filter_report(copy.data(), bytes, packet, stopped);
  require(bytes <= copy.size());
  if (filtered == Filtered::untouched) require(copy == frame);
  if (filtered != Filtered::shortened) return;
  copy.resize(bytes);
  require(read(copy, packet) == DropReason::none && is_report(packet));
  require(filter_report(copy.data(), bytes, packet, stopped) == Filtered::untouched);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  membership::Listener::Options options;
  options.mac = {2, 0, 0, 0, 0, 1};
  options.mtu = listener_mtu;
  options.random = [&](std::uint32_t bound) {
    return static_cast<std::uint32_t>(input.u16() % (std::uint64_t{bound} + 1));
  };
  membership::Listener listener(options);
  Bypass bypass(default_bypass_rules(), second_ns, 1);
  const GroupRanges stopped({Prefix::parse("239.1.1.0/24").value(), Prefix::parse("ff3e::/127").value()});
  membership::Time now{std::chrono::hours(1)};
  std::size_t wanted = 0;
  for (int steps = 0; steps < 200 && !input.empty(); ++steps) {
    switch (input.pick(4)) {
      case 0:
        listener.receive(any_frame(input), now);
        break;
      case 1:
        now += std::chrono::milliseconds(input.u16() * 10);
        break;
      case 2: {
        membership::Interests interests;
        for (std::size_t n = input.pick(8); n > 0; --n) {
          const bool four = input.flag();
          membership::Filter filter{input.flag(), {}};
          for (std::size_t s = input.pick(4); s > 0; --s)
            filter.sources.insert(
                IpAddress::parse(four ? "10.0.0." + std::to_string(input.pick(9)) : "2001:db8::1").value());
          interests[IpAddress::parse(group_of(input, four)).value()] = filter;
        }
        wanted = std::max(wanted, interests.size());
        listener.want(interests, now);
        break;
      }
      default: {
        const Side from = input.flag() ? Side::red : Side::black;
        cross(bypass, stopped, any_frame(input), from, static_cast<std::uint64_t>(now.time_since_epoch().count()));
        break;
      }
    }
    // Inputs name at most 24 groups: 8 and 4 of them, each family.
    require(listener.host4().groups() <= 8 && listener.host6().groups() <= 4);
    for (const Bytes& frame : listener.due(now, 4)) {
      ClearPacket packet;
      require(frame.size() <= ethernet_bytes + 1280 && read(frame, packet) == DropReason::none);
      require(is_report(packet) && packet.total_bytes + ethernet_bytes == frame.size());
    }
  }
  return 0;
}
