// The modes beside address preservation: a tunnel to given addresses in all four pairs of families, and transport mode
// in both.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

GroupProtection both_families(EspMode mode, std::optional<OuterTunnel> outer = std::nullopt) {
  return {{selector("239.1.1.0/24"), selector("ff1e::1:0/112")}, mode, std::move(outer)};
}

const OuterTunnel outer4{ip("239.9.9.9"), ip("10.9.0.2"), std::nullopt, std::nullopt};
const OuterTunnel outer6{ip("ff1e::9:9"), ip("fd09::2"), std::nullopt, std::nullopt};

void expect_drop(const Outcome& outcome, DropReason reason) {
  EXPECT_EQ(outcome.verdict, Verdict::drop);
  EXPECT_EQ(name(outcome.reason), name(reason));
}

TEST(TunnelFixed, ByteExactInIpv4) {
  Harness path;
  OuterTunnel outer = outer4;
  outer.ttl = 32;
  outer.dscp = 46;
  path.install(both_families(EspMode::tunnel_fixed, outer));
  Ipv4Fields inner;
  inner.ttl = 1;
  inner.tos = 0x20 | 2;  // CS1, ECT(0)
  const Bytes frame = udp_frame(33, inner);
  const Outcome sealed = path.red(frame);
  ASSERT_EQ(sealed.verdict, Verdict::forward) << name(sealed.reason);
  EspFields same;
  same.spi = 0x10000000;
  same.outer = {.source = "10.9.0.2", .destination = "239.9.9.9", .ttl = 32, .tos = (46 << 2) | 2, .id = 1};
  // RFC 1112 §6.4: the outer group's MAC; the sender's stays.
  EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, packet_of(frame))));
  EXPECT_EQ(to_hex(Bytes(sealed.frame.begin(), sealed.frame.begin() + 6)), "01005e090909");
  // An inner IPv6 packet in it: next header 41, DF set, since IPv6 may not be cut on its way.
  const Bytes frame6 = udp6_frame(33);
  same.number = 2;
  same.next_header = 41;
  same.outer.id = 2;
  same.outer.tos = 46 << 2;
  EXPECT_EQ(to_hex(path.red(frame6).frame), to_hex(esp_frame(same, packet_of(frame6))));
}

TEST(TunnelFixed, ByteExactInIpv6) {
  Harness path;
  path.install(both_families(EspMode::tunnel_fixed, outer6));
  Ipv4Fields inner;
  inner.ttl = 7;
  inner.tos = 0xb8 | 1;
  inner.fragment = 0;
  const Bytes frame = udp_frame(33, inner);
  const Outcome sealed = path.red(frame);
  ASSERT_EQ(sealed.verdict, Verdict::forward) << name(sealed.reason);
  EspFields same;
  same.spi = 0x10000000;
  same.outer6 = Ipv6Fields{.source = "fd09::2",
                           .destination = "ff1e::9:9",
                           .hop_limit = 7,
                           .traffic_class = 0xb8 | 1,
                           .flow_label = (0x10000000U * 2654435769U) >> 12};
  EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, packet_of(frame))));
  EXPECT_EQ(to_hex(Bytes(sealed.frame.begin(), sealed.frame.begin() + 6)), "333300090009");
  EXPECT_EQ(sealed.frame.size(), 14 + sealed_bytes(EspMode::tunnel_fixed, 6, 61));
}

TEST(TunnelFixed, RoundTripInAllPairsOfFamiliesAndWithTags) {
  for (const OuterTunnel& outer : {outer4, outer6}) {
    const GroupProtection protection = both_families(EspMode::tunnel_fixed, outer);
    Harness receiver;
    receiver.install(protection);
    Sender sender(0x10000008, protection);
    for (const auto& tags : std::vector<std::vector<std::uint16_t>>{{}, {7}, {100, 7}}) {
      for (std::size_t bytes = 0; bytes < 9; ++bytes) {
        const Bytes four = ethernet(ipv4({}, udp(1, 5000, pattern(bytes))), tags);
        const Bytes six = ethernet(ipv6({}, udp(1, 5000, pattern(bytes), 1)), tags, ether_type_ipv6);
        for (const Bytes& frame : {four, six}) {
          const Bytes sealed = sender.seal(frame);
          // The EtherType is that of the outer packet.
          const std::size_t at = 12 + 4 * tags.size();
          EXPECT_EQ((sealed[at] << 8) | sealed[at + 1], outer.destination.family == 4 ? 0x0800 : ether_type_ipv6);
          const Outcome opened = receiver.black(sealed);
          ASSERT_EQ(opened.verdict, Verdict::forward) << name(opened.reason);
          ASSERT_EQ(to_hex(opened.frame), to_hex(frame));
        }
      }
    }
  }
}

TEST(TunnelFixed, H16_OnlyTheConfiguredOuterGroupAndTheGroupsOwnPackets) {
  Harness path;
  path.install(both_families(EspMode::tunnel_fixed, outer4));
  EspFields fields;
  fields.outer = {.source = "10.9.0.77", .destination = "239.9.9.9"};  // another sender's source is as good
  const Bytes inner = packet_of(udp_frame(10));
  EXPECT_EQ(path.black(esp_frame(fields, inner)).verdict, Verdict::forward);
  const auto again = [&](EspFields other, const Bytes& text) {
    other.number = ++fields.number;
    return path.black(esp_frame(other, text));
  };
  EspFields elsewhere = fields;
  elsewhere.outer.destination = "239.9.9.8";
  expect_drop(again(elsewhere, inner), DropReason::selector_mismatch);
  elsewhere.outer.destination = "239.1.1.5";  // the inner group itself
  expect_drop(again(elsewhere, inner), DropReason::selector_mismatch);
  elsewhere.outer6 = Ipv6Fields{.destination = "ff1e::9:9"};
  expect_drop(again(elsewhere, inner), DropReason::selector_mismatch);
  expect_drop(again(fields, packet_of(udp_frame(10, {.destination = "239.2.2.2"}))), DropReason::selector_mismatch);
  EspFields six = fields;
  six.next_header = 41;
  expect_drop(again(six, packet_of(udp6_frame(10, {.destination = "ff1e::2:1"}))), DropReason::selector_mismatch);
  EXPECT_EQ(again(six, packet_of(udp6_frame(10))).verdict, Verdict::forward);
}

// RFC 6040 §4.2 across families.
TEST(TunnelFixed, RFC6040_CongestionOnTheWayReachesTheInnerPacket) {
  Harness path;
  path.install(both_families(EspMode::tunnel_fixed, outer6));
  EspFields fields;
  fields.outer6 = Ipv6Fields{.destination = "ff1e::9:9", .traffic_class = 3};
  const Outcome opened = path.black(esp_frame(fields, packet_of(udp_frame(10, {.tos = 0xb8 | 2}))));
  ASSERT_EQ(opened.verdict, Verdict::forward) << name(opened.reason);
  EXPECT_EQ(to_hex(opened.frame), to_hex(udp_frame(10, {.tos = 0xb8 | 3})));
}

TEST(TunnelFixed, H12_OuterHeadersAreChecked) {
  const auto error = [](const OuterTunnel& outer) {
    const auto result = Harness().plane().protect("tv", both_families(EspMode::tunnel_fixed, outer));
    return result ? "" : result.error().message;
  };
  EXPECT_EQ(error(outer4), "");
  EXPECT_EQ(error(outer6), "");
  EXPECT_NE(error({ip("10.1.1.1"), ip("10.9.0.2"), {}, {}}), "");
  EXPECT_NE(error({ip("224.0.0.9"), ip("10.9.0.2"), {}, {}}), "");
  EXPECT_NE(error({ip("ff02::9"), ip("fd09::2"), {}, {}}), "");
  EXPECT_NE(error({ip("239.9.9.9"), ip("fd09::2"), {}, {}}), "");
  EXPECT_NE(error({ip("239.9.9.9"), ip("0.0.0.0"), {}, {}}), "");
  EXPECT_NE(error({ip("239.9.9.9"), ip("239.9.9.9"), {}, {}}), "");
  EXPECT_NE(error({ip("239.9.9.9"), ip("10.9.0.2"), std::uint8_t{0}, {}}), "");
  EXPECT_NE(error({ip("239.9.9.9"), ip("10.9.0.2"), {}, std::uint8_t{64}}), "");
  Harness path;
  EXPECT_FALSE(path.plane().protect("tv", both_families(EspMode::tunnel_fixed)));
  EXPECT_FALSE(path.plane().protect("tv", both_families(EspMode::transport, outer4)));
  EXPECT_FALSE(path.plane().protect("tv", both_families(EspMode::tunnel_preserve, outer4)));
}

TEST(Modes, H12_AnEpochOfAnotherModeIsRefused) {
  Harness path;
  ASSERT_TRUE(path.plane().protect("tv", both_families(EspMode::transport)));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, {selector("239.1.1.0/24")});
  const auto refused = path.plane().install(std::move(epoch));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("expected ESP mode transport"), std::string::npos) << refused.error().message;
}

// RFC 4303 §3.1.1: the packet's own header, options included, then ESP.
TEST(Transport, RFC4303_ByteExactInIpv4) {
  Harness path;
  path.install(both_families(EspMode::transport));
  for (const Bytes& options : {Bytes{}, router_alert}) {
    const Ipv4Fields fields{.ttl = 1, .tos = 0xba, .id = 77, .options = options};
    const Bytes datagram = udp(4000, 5000, pattern(21), 0x1234);
    const Outcome sealed = path.red(ethernet(ipv4(fields, datagram)));
    ASSERT_EQ(sealed.verdict, Verdict::forward) << name(sealed.reason);
    EspFields same;
    same.spi = 0x10000000;
    same.number = options.empty() ? 1 : 2;
    same.next_header = 17;
    same.outer = fields;
    EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, datagram)));
    EXPECT_EQ(sealed.frame.size(),
              14 + sealed_bytes(EspMode::transport, 4, static_cast<std::uint32_t>(20 + options.size() + 29)));
  }
}

TEST(Transport, RFC4303_StandsBehindTheHeadersThatRoutersRead) {
  Harness path;
  path.install(both_families(EspMode::transport));
  const Bytes datagram = udp(4000, 5000, pattern(21), 0x1234);
  const Bytes segment = {4, 0, 0, 0, 0, 0};
  struct Case {
    std::uint8_t first;
    Bytes before_with_udp;  // as the sender has it
    Bytes before_with_esp;  // what stays in front, ending in ESP
    std::uint8_t next;      // ESP's next header
    Bytes inside;           // headers that go inside
  };
  std::uint64_t number = 0;
  for (const Case& c : std::vector<Case>{
           {17, {}, {}, 17, {}},
           {0, extension(17), extension(50), 17, {}},
           {60, extension(17), {}, 60, extension(17)},
           {0, extension(60) + extension(17), extension(50), 60, extension(17)},
           {60, extension(43) + extension(60, segment) + extension(17), extension(43) + extension(50, segment), 60,
            extension(17)},
       }) {
    Ipv6Fields fields;
    fields.next_header = c.first;
    fields.extensions = c.before_with_udp;
    const Outcome sealed = path.red(ethernet(ipv6(fields, datagram), {}, ether_type_ipv6));
    ASSERT_EQ(sealed.verdict, Verdict::forward) << name(sealed.reason);
    EspFields same;
    same.spi = 0x10000000;
    same.number = ++number;
    same.next_header = c.next;
    same.outer6 = fields;
    same.outer6->extensions = c.before_with_esp;
    EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, c.inside + datagram)));
  }
}

TEST(Transport, RoundTripInBothFamiliesAndWithTags) {
  const GroupProtection protection = both_families(EspMode::transport);
  Harness receiver;
  receiver.install(protection);
  Sender sender(0x10000008, protection);
  const Ipv6Fields chain{.next_header = 0, .extensions = extension(60) + extension(17)};
  for (const auto& tags : std::vector<std::vector<std::uint16_t>>{{}, {7}, {100, 7}}) {
    for (std::size_t bytes = 0; bytes < 9; ++bytes) {
      const Bytes datagram = udp(1, 5000, pattern(bytes), 1);
      for (const Bytes& frame :
           {ethernet(ipv4({}, datagram), tags), ethernet(ipv4({.options = router_alert}, datagram), tags),
            ethernet(ipv6({}, datagram), tags, ether_type_ipv6), ethernet(ipv6(chain, datagram), tags, ether_type_ipv6),
            ethernet(ipv4({.protocol = 99}, Bytes(bytes)), tags)}) {
        const Outcome opened = receiver.black(sender.seal(frame));
        ASSERT_EQ(opened.verdict, Verdict::forward) << name(opened.reason);
        ASSERT_EQ(to_hex(opened.frame), to_hex(frame));
      }
    }
  }
}

TEST(Transport, RFC4303_FragmentsNeverPass) {
  Harness path;
  path.install(both_families(EspMode::transport));
  for (const std::uint16_t fragment : {0x2000, 0x0010, 0x2010})
    expect_drop(path.red(ethernet(ipv4({.fragment = fragment}, pattern(40)))), DropReason::fragment);
  const Ipv6Fields first{.next_header = 44, .extensions = fragment_header(17, 0, true)};
  const Ipv6Fields later{.next_header = 44, .extensions = fragment_header(17, 80, false)};
  for (const Ipv6Fields& fields : {first, later})
    expect_drop(path.red(ethernet(ipv6(fields, pattern(40)), {}, ether_type_ipv6)), DropReason::fragment);
  // Nor may a sender hide one behind ESP.
  EspFields hidden;
  hidden.next_header = 44;
  hidden.outer6 = Ipv6Fields{};
  expect_drop(path.black(esp_frame(hidden, fragment_header(17, 0, true) + pattern(40))), DropReason::bad_next_header);
}

TEST(Transport, H16_WhatComesOutMatchesTheSelectors) {
  Harness path;
  path.install({{selector("239.1.1.0/24", PortRange{5000, 5001})}, EspMode::transport, std::nullopt});
  EspFields fields;
  fields.next_header = 17;
  const auto opened = [&](const Bytes& text, EspFields other) {
    other.number = ++fields.number;
    return path.black(esp_frame(other, text));
  };
  EXPECT_EQ(opened(udp(1, 5000, pattern(9)), fields).verdict, Verdict::forward);
  expect_drop(opened(udp(1, 4999, pattern(9)), fields), DropReason::selector_mismatch);
  expect_drop(opened(pattern(7), fields), DropReason::bad_inner_packet);  // no whole UDP header
  EspFields other = fields;
  other.next_header = 6;
  expect_drop(opened(pattern(20), other), DropReason::selector_mismatch);
  for (const std::uint8_t nested : {50, 51}) {
    other.next_header = nested;
    expect_drop(opened(pattern(20), other), DropReason::nested_esp);
  }
  other.next_header = 59;
  expect_drop(opened(pattern(20), other), DropReason::bad_next_header);
  other.next_header = 2;
  expect_drop(opened(igmp(0x16, 0, "239.1.1.5"), other), DropReason::igmp_not_allowed);
  other = fields;
  other.outer.destination = "239.2.2.2";
  expect_drop(opened(udp(1, 5000, pattern(9)), other), DropReason::selector_mismatch);
}

TEST(Transport, WhatReceiversWouldNotTakeForTrafficIsNotSealed) {
  Harness path;
  path.install(both_families(EspMode::transport));
  for (const std::uint8_t number : {std::uint8_t{59}, group_datagram_next_header}) {
    Ipv4Fields v4;
    v4.protocol = number;
    expect_drop(path.red(ethernet(ipv4(v4, pattern(20)))), DropReason::bad_next_header);
    Ipv6Fields v6;
    v6.next_header = number;
    expect_drop(path.red(ethernet(ipv6(v6, pattern(20)), {}, 0x86dd)), DropReason::bad_next_header);
  }
  EXPECT_EQ(path.red(udp_frame(20)).verdict, Verdict::forward);
}

TEST(Transport, ARefusedPacketsTextIsNotInItsBuffer) {
  Harness path;
  path.install(both_families(EspMode::transport));
  EspFields fields;
  fields.next_header = 2;
  const Outcome refused = path.black(esp_frame(fields, Bytes(200, 0x5a)));
  ASSERT_EQ(name(refused.reason), "igmp_not_allowed");
  EXPECT_EQ(std::count(refused.frame.begin(), refused.frame.end(), 0x5a), 0);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
