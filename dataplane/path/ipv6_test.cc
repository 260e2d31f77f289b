// IPv6 through the whole path: address preservation byte for byte, extension headers judged or refused, both families
// in one epoch.
#include <gtest/gtest.h>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

class Ipv6 : public ::testing::Test {
 protected:
  Ipv6() { path_.install({{selector("ff1e::1:0/112"), selector("239.1.1.0/24")}}); }
  void expect_drop(const Outcome& outcome, DropReason reason) {
    EXPECT_EQ(outcome.verdict, Verdict::drop);
    EXPECT_EQ(name(outcome.reason), name(reason));
  }
  void red_drops(const Bytes& frame, DropReason reason) { expect_drop(path_.red(frame), reason); }
  void black_drops(const Bytes& frame, DropReason reason) { expect_drop(path_.black(frame), reason); }
  static Ipv6Fields with(std::uint8_t first, const Bytes& extensions) {
    Ipv6Fields fields;
    fields.next_header = first;
    fields.extensions = extensions;
    return fields;
  }
  // Sealed by the holder of slot 8, which may lie about anything.
  Bytes lie(const Bytes& inner, EspFields fields = {}) {
    if (!fields.outer6) fields.outer6 = Ipv6Fields{};
    fields.number = ++number_;
    return esp_frame(fields, inner);
  }

  Harness path_;
  std::uint64_t number_ = 0;
};

// RFC 5374 §3.1 with the fixed header of RFC 8200; traffic class and hop limit as RFC 4301 §5.1.2.2 and RFC 6040 §4.1
// have it, the flow label kept (RFC 6438).
TEST_F(Ipv6, RFC5374_SealsByteExact) {
  Ipv6Fields fields;
  fields.hop_limit = 1;
  fields.traffic_class = 0xb8 | 2;
  fields.flow_label = 0x54321;
  const Bytes frame = udp6_frame(7, fields);
  const Outcome sealed = path_.red(frame);
  ASSERT_EQ(sealed.verdict, Verdict::forward) << name(sealed.reason);
  EXPECT_EQ(sealed.frame.size(), 14 + sealed_bytes(EspMode::tunnel_preserve, 6, 55));
  EspFields same;
  same.spi = 0x10000000;
  same.next_header = 41;
  same.outer6 = fields;
  EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, packet_of(frame))));
  EXPECT_EQ(path_.sa(0x10000000)->bytes, 55U);
}

TEST_F(Ipv6, RoundTripWithEveryPaddingTagsAndEngine) {
  for (const std::string& engine : runnable_engines()) {
    Harness receiver(Harness::Options{.engine = engine});
    receiver.install({{selector("ff1e::1:0/112")}});
    Sender sender(0x10000008, {selector("ff1e::1:0/112")}, engine);
    for (std::size_t bytes : {0, 1, 2, 3, 4, 5, 100, 1300}) {
      for (const std::vector<std::uint16_t>& tags : std::vector<std::vector<std::uint16_t>>{{}, {7}, {100, 7}}) {
        const Bytes frame = ethernet(ipv6({}, udp(1, 5000, pattern(bytes), 0xbeef)), tags, ether_type_ipv6);
        const Outcome opened = receiver.black(sender.seal(frame));
        ASSERT_EQ(opened.verdict, Verdict::forward) << name(opened.reason);
        ASSERT_EQ(to_hex(opened.frame), to_hex(frame));
      }
    }
  }
}

TEST_F(Ipv6, H10_FailsClosedWithoutKeysOrRule) {
  Harness path;
  ASSERT_TRUE(path.plane().protect("six", {{selector("ff1e::1:0/112")}}));
  expect_drop(path.red(udp6_frame(10)), DropReason::no_sa);
  Ipv6Fields other;
  other.destination = "ff1e::2:5";
  expect_drop(path.red(udp6_frame(10, other)), DropReason::no_policy);
  other.destination = "fd00::2";
  expect_drop(path.red(udp6_frame(10, other)), DropReason::not_multicast);
  expect_drop(path.black(udp6_frame(10)), DropReason::clear_on_black);
}

TEST_F(Ipv6, ExtensionHeadersTravelInside) {
  const Bytes datagram = udp(1, 5000, pattern(40), 0xbeef);
  const std::vector<Ipv6Fields> legal = {
      with(0, extension(17)),                       // hop-by-hop
      with(60, extension(17)),                      // destination options
      with(43, extension(17, {4, 0, 0, 0, 0, 0})),  // segment routing, no segment left
      with(0, extension(60) + extension(43) + extension(60, {4, 0, 0, 0, 0, 0}) + extension(17)),
      with(44, fragment_header(17, 0, false)),  // RFC 6946: a whole packet
      with(44, fragment_header(17, 0, true)),
      with(44, fragment_header(17, 1280, false)),
      with(44, fragment_header(60, 1280, true)),   // what follows is no header
      with(0, extension(17, {5, 2, 0, 0, 1, 0})),  // router alert
  };
  Sender sender(0x10000008, {selector("ff1e::1:0/112")});
  for (const Ipv6Fields& fields : legal) {
    const Bytes frame = ethernet(ipv6(fields, datagram), {}, ether_type_ipv6);
    const Outcome opened = path_.black(sender.seal(frame));
    EXPECT_EQ(opened.verdict, Verdict::forward) << name(opened.reason);
    EXPECT_EQ(to_hex(opened.frame), to_hex(frame));
  }
  // On the outer packet too: they end here.
  number_ = 100;
  EspFields fields;
  fields.next_header = 41;
  fields.outer6 = with(0, extension(60) + extension(50));
  const Bytes frame = udp6_frame(10);
  EXPECT_EQ(to_hex(path_.black(lie(packet_of(frame), fields)).frame), to_hex(frame));
}

TEST_F(Ipv6, H10_WhatCannotBeJudgedIsDropped) {
  const Bytes datagram = udp(1, 5000, pattern(40), 0xbeef);
  const auto frame = [&](const Ipv6Fields& fields) { return ethernet(ipv6(fields, datagram), {}, ether_type_ipv6); };
  const auto refused = [&](std::uint8_t first, const Bytes& extensions) {
    red_drops(frame(with(first, extensions)), DropReason::ipv6_extension);
    black_drops(frame(with(first, extensions)), DropReason::ipv6_extension);
  };
  refused(43, extension(17, {0, 0, 0, 0, 0, 0}));    // RFC 5095
  refused(43, extension(17, {4, 1, 0, 0, 0, 0}));    // one more to visit
  refused(60, extension(0) + extension(17));         // hop-by-hop not at the front
  refused(0, extension(17, {0xc2, 4, 0, 1, 0, 0}));  // jumbo payload
  refused(0, extension(17, {0x3e, 5, 0, 0, 0, 0}));  // an option beyond its header
  refused(0, extension(17, {5, 3, 0, 0, 0, 0}));     // router alert of the wrong length
  refused(44, fragment_header(44, 0, true) + fragment_header(17, 0, true));
  Bytes nine;
  for (int i = 0; i < 8; ++i)
    nine = nine + extension(60);
  refused(60, nine + extension(17));
  refused(60, extension(17, Bytes(600, 0)));
  refused(60, {17, 200, 1, 4, 0, 0, 0, 0});  // longer than the packet
  Ipv6Fields jumbo = with(0, extension(17));
  jumbo.payload_length = 0;
  red_drops(frame(jumbo), DropReason::ipv6_extension);
  // RFC 7112: a first fragment that hides its upper layer.
  red_drops(ethernet(ipv6(with(44, fragment_header(60, 0, true)), {17, 9, 0, 0, 0, 0, 0, 0}), {}, ether_type_ipv6),
            DropReason::ipv6_extension);
}

TEST_F(Ipv6, HostileHeaders) {
  const Bytes good = udp6_frame(40);
  for (std::size_t bytes = 0; bytes < 54; ++bytes)
    red_drops(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)), DropReason::short_frame);
  for (std::size_t bytes = 54; bytes < good.size(); ++bytes)
    red_drops(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)), DropReason::truncated);
  const auto with_byte = [&](std::size_t at, std::uint8_t value) {
    Bytes frame = good;
    frame[14 + at] = value;
    return frame;
  };
  red_drops(with_byte(0, 0x45), DropReason::bad_ip_header);
  red_drops(with_byte(7, 0), DropReason::bad_ip_header);     // hop limit
  red_drops(with_byte(8, 0xff), DropReason::bad_ip_header);  // multicast source
  // A UDP header that is not there.
  red_drops(ethernet(ipv6({}, pattern(7)), {}, ether_type_ipv6), DropReason::short_frame);
  // Padding behind the packet is cut off.
  Bytes longer = good;
  longer.resize(good.size() + 9, 0xff);
  EXPECT_EQ(path_.red(longer).frame.size(), 14 + sealed_bytes(EspMode::tunnel_preserve, 6, 88));
}

TEST_F(Ipv6, LoopGuards) {
  const auto sealed_before = path_.red(udp6_frame(10)).frame;
  red_drops(sealed_before, DropReason::esp_on_red);
  black_drops(sealed_before, DropReason::own_spi);
  red_drops(ethernet(ipv6(with(51, {}), pattern(40)), {}, ether_type_ipv6), DropReason::esp_on_red);
  red_drops(ethernet(ipv6(with(60, extension(50)), pattern(40)), {}, ether_type_ipv6), DropReason::esp_on_red);
  Harness path(Harness::Options{.path = {.local_red_sources = {Prefix::parse("fd00::/64").value()}}});
  path.install({{selector("ff1e::1:0/112")}});
  Sender sender(0x10000008, {selector("ff1e::1:0/112")});
  expect_drop(path.black(sender.seal(udp6_frame(10))), DropReason::local_red_source);
}

TEST_F(Ipv6, H16_WhatComesOutMatchesTheSelectors) {
  const Bytes good = packet_of(udp6_frame(10));
  EspFields six;
  six.next_header = 41;
  EXPECT_EQ(path_.black(lie(good, six)).verdict, Verdict::forward);
  // Another group inside, the right one outside.
  Ipv6Fields other;
  other.destination = "ff1e::2:5";
  black_drops(lie(packet_of(udp6_frame(10, other)), six), DropReason::outer_inner_mismatch);
  // The other family inside.
  EspFields four;
  black_drops(lie(packet_of(udp_frame(10)), four), DropReason::outer_inner_mismatch);
  EspFields four_outside;
  four_outside.next_header = 41;
  four_outside.number = ++number_;
  black_drops(esp_frame(four_outside, good), DropReason::outer_inner_mismatch);
  // Beyond the selectors outside: before any crypto.
  six.outer6 = other;
  Bytes beyond = lie(packet_of(udp6_frame(10, other)), six);
  beyond.back() ^= 1;
  black_drops(beyond, DropReason::selector_mismatch);
  six.outer6.reset();
  black_drops(lie(packet_of(ethernet(ipv6(with(50, {}), pattern(40)), {}, ether_type_ipv6)), six),
              DropReason::nested_esp);
  black_drops(lie(packet_of(ethernet(ipv6(with(51, {}), pattern(40)), {}, ether_type_ipv6)), six),
              DropReason::nested_esp);
  black_drops(lie(ipv6(with(58, {}), {131, 0, 0, 0, 0, 0, 0, 0}), six), DropReason::mld_not_allowed);
  black_drops(lie(ipv6(with(43, extension(17, {4, 1, 0, 0, 0, 0})), pattern(20)), six), DropReason::bad_inner_packet);
}

// Both families in one group and one epoch, under one SA: one number space.
TEST_F(Ipv6, BothFamiliesShareAnEpoch) {
  Sender sender(0x10000008, {selector("ff1e::1:0/112"), selector("239.1.1.0/24")});
  const std::vector<Bytes> frames = {udp6_frame(10), udp_frame(10), udp6_frame(700), udp_frame(64), udp_frame(0)};
  std::vector<Bytes> sealed;
  for (const Bytes& frame : frames)
    sealed.push_back(sender.seal(frame));
  const auto opened = path_.black(sealed);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    ASSERT_EQ(opened[i].verdict, Verdict::forward) << name(opened[i].reason);
    EXPECT_EQ(to_hex(opened[i].frame), to_hex(frames[i]));
  }
  EXPECT_EQ(path_.sa(0x10000008)->next_number, frames.size());
}

TEST_F(Ipv6, SelectorsWithSourcesProtocolsAndPorts) {
  Harness path;
  path.install({{selector("ff3e::1:0/112", PortRange{5000, 5001}, "fd00::/64")}});
  EXPECT_EQ(path.red(udp6_frame(10, {.destination = "ff3e::1:5"})).verdict, Verdict::forward);
  expect_drop(path.red(udp6_frame(10, {.destination = "ff3e::1:5"}, 4999)), DropReason::no_policy);
  expect_drop(path.red(udp6_frame(10, {.source = "fd01::1", .destination = "ff3e::1:5"})), DropReason::no_policy);
  // Behind extension headers the port is still found.
  Ipv6Fields behind = with(0, extension(60) + extension(17));
  behind.destination = "ff3e::1:5";
  EXPECT_EQ(path.red(udp6_frame(10, behind)).verdict, Verdict::forward);
  expect_drop(path.red(udp6_frame(10, behind, 4999)), DropReason::no_policy);
}

// RFC 6040 §4.2 with the traffic class of RFC 8200 §7.
TEST_F(Ipv6, RFC6040_EcnIsCombined) {
  EspFields fields;
  fields.next_header = 41;
  Ipv6Fields inner, outer;
  inner.traffic_class = 0xa8 | 2;
  outer.traffic_class = 3;
  outer.flow_label = 0x12345;
  fields.outer6 = outer;
  const Outcome marked = path_.black(lie(packet_of(udp6_frame(10, inner)), fields));
  ASSERT_EQ(marked.verdict, Verdict::forward);
  Ipv6Fields expected = inner;
  expected.traffic_class = 0xa8 | 3;
  EXPECT_EQ(to_hex(marked.frame), to_hex(udp6_frame(10, expected)));
  inner.traffic_class = 0;
  black_drops(lie(packet_of(udp6_frame(10, inner)), fields), DropReason::ecn_illegal);
}

TEST_F(Ipv6, ChecksumsThatReceiversWillNotTakeAreCounted) {
  const Bytes zero = ethernet(ipv6({}, udp(1, 5000, pattern(10))), {}, ether_type_ipv6);
  EXPECT_EQ(path_.red(zero).verdict, Verdict::forward);
  EXPECT_EQ(path_.dropped(DropReason::zero_checksum), 1U);
  // The bare pseudo-header sum, as Linux leaves it.
  Bytes partial = udp6_frame(10);
  std::uint64_t sum = sum_words(&partial[14 + 8], 32) + sum_words(&partial[14 + 40 + 4], 2);
  const std::uint8_t word[2] = {0, 17};
  sum += sum_words(word, 2);
  const std::uint16_t folded = fold16(sum);
  std::memcpy(&partial[14 + 40 + 6], &folded, 2);
  EXPECT_EQ(path_.red(partial).verdict, Verdict::forward);
  EXPECT_EQ(path_.dropped(DropReason::partial_checksum), 1U);
}

TEST_F(Ipv6, MtuCountsTheLongerHeader) {
  Harness path(Harness::Options{.path = {.black_mtu = 1500}});
  path.install({{selector("ff1e::1:0/112")}});
  const std::size_t most = largest_inner_bytes(EspMode::tunnel_preserve, 6, 1500) - 48;
  EXPECT_EQ(path.red(udp6_frame(most)).verdict, Verdict::forward);
  EXPECT_NE(path.red(udp6_frame(most + 1)).verdict, Verdict::forward);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
