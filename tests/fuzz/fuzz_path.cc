// The whole receive path of both sides, in every mode and both IP versions: raw frames, clear ones and their fragments,
// packets sealed by other members, packets sealed by members that lie, and traffic that may cross in clear; with tags
// and edits (H9, H10, H16, DATA-1, DATA-2). Another member of the group opens what the gateway seals. The gateways are
// scenario.h's, so that the tables of fixtures_test.py are the seeds. Frames lie in exactly sized buffers.
#include <algorithm>
#include <memory>
#include <set>

#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/scenario.h"
#include "tests/fuzz/input.h"

namespace {

using namespace sealcast;                      // NOLINT: a fuzzer of it
using namespace sealcast::dataplane;           // NOLINT
using namespace sealcast::dataplane::testing;  // NOLINT
using fuzz::Input;
using fuzz::require;

constexpr std::uint32_t own_slot = 1, peer_slot = 2;  // slots
constexpr std::size_t link_bytes = 14 + 8;            // Ethernet and two tags

// The bytes behind a frame's tags. Only of forwarded frames: their headers are whole.
struct Seen {
  std::size_t at = 12;  // of the EtherType
  std::uint16_t type = 0;
  ByteView packet;
};

Seen look(const Bytes& frame) {
  Seen seen;
  require(frame.size() >= 14);
  while (frame.size() >= seen.at + 6 &&
         (load_be<std::uint16_t>(&frame[seen.at]) == 0x8100 || load_be<std::uint16_t>(&frame[seen.at]) == 0x88a8))
    seen.at += 4;
  seen.type = load_be<std::uint16_t>(&frame[seen.at]);
  seen.packet = ByteView(frame).subspan(seen.at + 2);
  return seen;
}

bool v4(const Seen& seen) {
  return seen.type == 0x0800 && seen.packet.size() >= 20;
}
bool v6(const Seen& seen) {
  return seen.type == 0x86dd && seen.packet.size() >= 40;
}

// Where ESP begins in a packet that we sealed ourselves; 0: there is none.
std::size_t esp_at(const Seen& seen) {
  if (v4(seen)) return seen.packet[9] == 50 ? (seen.packet[0] & 15U) * 4 : 0;
  if (!v6(seen)) return 0;
  std::size_t at = 40;
  for (std::uint8_t next = seen.packet[6]; next != 50;) {
    if ((next != 0 && next != 43 && next != 44 && next != 60) || at + 8 > seen.packet.size()) return 0;
    const std::size_t length = next == 44 ? 8 : (seen.packet[at + 1] + 1U) * 8;  // 44: of a whole packet
    next = seen.packet[at];
    at += length;
  }
  return at;
}

// Of a group that every scenario protects. Reports and queries may be addressed to one.
bool protected_packet(const Seen& seen) {
  if (v4(seen)) return seen.packet[9] != 2 && seen.packet[16] == 239 && seen.packet[17] == 1 && seen.packet[18] == 1;
  return v6(seen) && seen.packet[6] != 0 && load_be<std::uint32_t>(&seen.packet[24]) == 0xff1e0001;
}

class World {
 public:
  World(std::size_t scenario, std::uint8_t shape)
      : groups_(scenario_groups(scenario_names[scenario])), transport_(scenario == 3) {
    Harness::Options options;
    options.engine = (shape & 1) != 0 ? "openssl" : "auto";
    options.path = scenario_settings();
    if ((shape & 2) != 0) options.headroom = options.tailroom = 0;
    if ((shape & 4) != 0) options.path.red_mtu = 576;
    if ((shape & 8) != 0) {
      for (const BypassProtocol protocol : {BypassProtocol::arp, BypassProtocol::nd, BypassProtocol::pim,
                                            BypassProtocol::ospf, BypassProtocol::vrrp, BypassProtocol::stp}) {
        BypassRule rule;
        rule.name = std::string(name(protocol));
        rule.protocol = protocol;
        options.path.bypass.push_back(rule);
      }
    }
    if ((shape & 16) != 0) options.path.red_address6[0] = 0xfd;
    options.path.reassemble = (shape & 32) != 0;
    gateway_ = std::make_unique<Harness>(options);
    require(install_scenario(*gateway_, groups_, own_slot, peer_slot).has_value());
    Harness::Options other;
    other.path.red_mtu = 9000;
    other_ = std::make_unique<Harness>(other);
    require(install_scenario(*other_, groups_, peer_slot, own_slot).has_value());
  }

  Harness& gateway() { return *gateway_; }

  void red(const Bytes& frame) {
    const Outcome outcome = gateway_->red(frame);
    switch (outcome.verdict) {
      case Verdict::drop:
        require(outcome.reason != DropReason::none);
        return;
      case Verdict::forward:
        break;
      case Verdict::reply: {
        const Seen seen = look(outcome.frame);
        require(v6(seen) && seen.packet[6] == 58 && seen.packet[40] == 2);  // Packet Too Big
        require(seen.packet.size() <= 1280 && seen.packet[8] == 0xfd);
        require(seen.packet[24] != 0xff);  // never to a group
        return;
      }
      case Verdict::fragment: {
        const Seen seen = look(frame);
        require(!transport_ && v4(seen) && (seen.packet[6] & 0x40) == 0);
        require(outcome.target >= 68 && outcome.target < seen.packet.size());
        return;
      }
      default:
        require(false);  // no other change to frames from red is allowed
    }
    require(outcome.frame.size() <= link_bytes + 1500 || esp_at(look(outcome.frame)) == 0);
    require(std::equal(frame.begin() + 12, frame.begin() + static_cast<std::ptrdiff_t>(look(frame).at),
                       outcome.frame.begin() + 12));  // tags stay
    const Seen sealed = look(outcome.frame);
    const std::size_t esp = esp_at(sealed);
    if (esp == 0) {
      require(outcome.frame == frame && !protected_packet(sealed));  // H10
      return;
    }
    require(sealed.packet.size() >= esp + 36);
    const auto spi = load_be<std::uint32_t>(&sealed.packet[esp]);
    const auto number = load_be<std::uint64_t>(&sealed.packet[esp + 8]);
    require((spi & 0xffff) == own_slot && (spi >> 16) - 0x1000 < groups_.size());
    require(numbers_.emplace(spi, number).second);  // H9
    require(load_be<std::uint32_t>(&sealed.packet[esp + 4]) == static_cast<std::uint32_t>(number));
    require(gateway_->black(outcome.frame).verdict == Verdict::drop);  // our own packet came back
    // Another member opens what we sealed, unless it is a fragment and the member has not seen the first one; the
    // result is the original.
    const Outcome opened = other_->black(outcome.frame);
    if (opened.verdict == Verdict::forward) {
      const Seen before = look(frame), after = look(opened.frame);
      require(after.packet.size() <= before.packet.size());
      require(std::equal(after.packet.begin() + (v4(after) ? 20 : 40), after.packet.end(),
                         before.packet.begin() + (v4(after) ? 20 : 40)));
    } else {
      // In transport mode IPv6's headers are not for IPv4.
      require(opened.verdict == Verdict::drop &&
              (opened.reason == DropReason::fragment_orphan || opened.reason == DropReason::bad_fragment ||
               (transport_ && opened.reason == DropReason::bad_next_header)));
    }
  }

  void black(const Bytes& frame, bool authentic) {
    const Outcome outcome = gateway_->black(frame);
    if (outcome.verdict != Verdict::forward) {
      require(outcome.verdict == Verdict::park || outcome.verdict == Verdict::reassemble ||
              (outcome.verdict == Verdict::drop && outcome.reason != DropReason::none));
      return;
    }
    const Seen before = look(frame), after = look(outcome.frame);
    require(std::equal(frame.begin() + 12, frame.begin() + static_cast<std::ptrdiff_t>(before.at),
                       outcome.frame.begin() + 12));
    if (outcome.frame == frame) {  // crossed in clear
      require(!protected_packet(after));
      return;
    }
    require(authentic);
    require(v4(after) || v6(after));
    require(after.packet.size() <= 1500);
    require((v4(after) ? after.packet[9] : after.packet[6]) != 50);
    const Outcome again = gateway_->black(frame);  // never a second time
    require(again.verdict == Verdict::drop && again.reason != DropReason::none);
  }

  // The frame as another member seals it; empty: it does not.
  Bytes sealed(const Bytes& frame) {
    Outcome outcome = other_->red(frame);
    return outcome.verdict == Verdict::forward ? std::move(outcome.frame) : Bytes{};
  }

  bool transport() const { return transport_; }
  std::size_t groups() const { return groups_.size(); }

 private:
  const std::vector<ScenarioGroup> groups_;
  const bool transport_;
  std::unique_ptr<Harness> gateway_, other_;
  std::set<std::pair<std::uint32_t, std::uint64_t>> numbers_;
};

Bytes edited(Bytes frame, Input& input) {
  for (std::size_t n = input.pick(4); n > 0 && !frame.empty(); --n) {
    const std::size_t place = input.u16() % frame.size();
    frame[place] = static_cast<std::uint8_t>(frame[place] ^ input.u8());
  }
  return frame;
}

// An IP packet of some group, valid except for the changes that the input asks for.
Bytes clear_packet(Input& input, std::uint16_t& type) {
  const std::uint8_t kind = input.u8();
  const std::uint16_t port = (kind & 1) != 0 ? input.u16() : 5000;
  const Bytes payload = testing::udp(4000, port, pattern((kind & 2) != 0 ? input.u16() % 3000 : input.u8()), 0x1234);
  if ((kind & 4) == 0) {
    type = 0x0800;
    Ipv4Fields fields;
    const char* const groups[] = {"239.1.1.5", "239.2.2.7", "232.1.1.9", "239.7.7.7"};
    fields.destination = groups[input.pick(4)];
    if ((kind & 8) != 0) fields.fragment = input.u16();
    if ((kind & 16) != 0) fields.options = Bytes(input.pick(11) * 4, 1);
    if ((kind & 32) != 0) fields.tos = input.u8();
    if ((kind & 64) != 0) fields.protocol = input.u8();
    if ((kind & 128) != 0) fields.id = input.u8();
    return testing::ipv4(fields, payload);
  }
  type = 0x86dd;
  Ipv6Fields fields;
  const char* const groups[] = {"ff1e:1::5", "ff1e:2::7", "ff3e:3::1", "ff1e:7::7"};
  fields.destination = groups[input.pick(4)];
  fields.source = "2001:db8::1";
  if ((kind & 8) != 0) {
    fields.next_header = 44;
    fields.extensions =
        testing::fragment_header(17, static_cast<std::uint16_t>(input.u8() * 8), (kind & 128) != 0, input.u8());
  } else if ((kind & 16) != 0) {
    fields.next_header = (kind & 128) != 0 ? 0 : 60;
    fields.extensions = testing::extension(17);
  }
  if ((kind & 32) != 0) fields.traffic_class = input.u8();
  if ((kind & 64) != 0) fields.flow_label = input.u32() & 0xfffff;
  return testing::ipv6(fields, payload);
}

Bytes clear_frame(Input& input) {
  std::uint16_t type = 0;
  const Bytes packet = clear_packet(input, type);
  const std::vector<std::uint16_t> tags[] = {{}, {}, {7}, {100, 200}};
  return edited(testing::ethernet(packet, tags[input.pick(4)], type), input);
}

// ESP that authenticates, whatever its content.
Bytes lie(Input& input, const World& world) {
  EspFields fields;
  const std::uint8_t lies = input.u8();
  fields.spi = scenario_prefix(input.pick(world.groups())) + peer_slot + ((lies & 1) != 0 ? input.u8() % 3 : 0U);
  fields.number = 1000 + ((lies & 2) != 0 ? input.u64() : input.u8());
  if ((lies & 4) != 0) fields.sequence = input.u32();
  const char* const outer4[] = {"239.1.1.5", "239.9.9.9", "239.2.2.7", "232.1.1.9"};
  const char* const outer6[] = {"ff1e:1::5", "ff1e:9::9", "ff1e:2::7", "ff3e:3::1"};
  const std::size_t outer = input.pick(4);
  fields.outer.destination = outer4[outer];
  if ((lies & 8) != 0) {
    fields.outer6.emplace();
    fields.outer6->source = "2001:db8::1";
    fields.outer6->destination = outer6[outer];
  }
  if ((lies & 16) != 0) fields.trailer = fuzz::copy(input.short_block());
  if ((lies & 32) != 0) fields.outer.fragment = input.u16();
  std::uint16_t type = 0;
  Bytes inner = (lies & 64) != 0 ? fuzz::copy(input.block()) : clear_packet(input, type);
  if (world.transport() && type != 0) inner.erase(inner.begin(), inner.begin() + (type == 0x0800 ? 20 : 40));
  fields.next_header = world.transport() ? 17 : type == 0x86dd ? 41 : 4;
  if ((lies & 128) != 0) fields.next_header = input.u8();
  return esp_frame(fields, edited(std::move(inner), input));
}

Bytes in_clear(Input& input) {
  switch (input.pick(5)) {
    case 0:
      return arp_frame(input.u8() % 4, "10.0.0.1", "10.0.0.2");
    case 1: {
      Ipv4Fields fields;
      fields.protocol = 2;
      fields.ttl = 1;
      fields.options = router_alert;
      fields.destination = "239.1.1.5";
      return testing::ethernet(testing::ipv4(fields, testing::igmp(static_cast<std::uint8_t>(0x11 + input.u8() % 0x20),
                                                                   0, "239.1.1.5", fuzz::copy(input.short_block()))));
    }
    case 2:
      return frame6(mld_packet({}, static_cast<std::uint8_t>(130 + input.u8() % 14), fuzz::copy(input.short_block())));
    case 3:
      return frame6(icmp6({"fe80::1", "ff02::1:ff00:2", 58, 255}, static_cast<std::uint8_t>(133 + input.u8() % 5), 0,
                          fuzz::copy(input.short_block())));
    default: {
      Ipv4Fields fields;
      const std::uint8_t protocols[] = {103, 89, 112};
      const char* const to[] = {"224.0.0.13", "224.0.0.5", "224.0.0.18"};
      const std::size_t which = input.pick(3);
      fields.protocol = protocols[which];
      fields.destination = to[which];
      fields.ttl = which == 2 ? 255 : 1;
      return testing::ethernet(testing::ipv4(fields, fuzz::copy(input.short_block())));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::size_t scenario = input.pick(4);
  World world(scenario, input.u8());
  for (int count = 0; count < 16 && !input.empty(); ++count) {
    switch (input.pick(9)) {
      case 0:
        world.black(fuzz::copy(input.block()), true);  // the corpus holds authentic ones
        break;
      case 1:
        world.red(fuzz::copy(input.block()));
        break;
      case 2:
        world.gateway().advance(std::chrono::milliseconds(input.u16()));
        break;
      case 3:
        world.black(edited(in_clear(input), input), false);
        break;
      case 4:
        world.red(edited(in_clear(input), input));
        break;
      case 5: {
        const Bytes frame = world.sealed(clear_frame(input));
        if (!frame.empty()) world.black(edited(frame, input), true);
        break;
      }
      case 6:
        world.black(edited(lie(input, world), input), true);
        break;
      default:
        world.red(clear_frame(input));
    }
  }
  return 0;
}
