// Black to red: what honest members sealed comes out byte for byte; everything else is dropped for its reason.
#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

class Black : public ::testing::Test {
 protected:
  Black() { path_.install_tv(); }
  void expect_drop(const Bytes& frame, DropReason reason) {
    const std::uint64_t before = path_.dropped(reason);
    const Outcome outcome = path_.black(frame);
    EXPECT_EQ(outcome.verdict, Verdict::drop);
    EXPECT_EQ(name(outcome.reason), name(reason));
    EXPECT_EQ(path_.dropped(reason), before + 1);
  }
  // An inner packet sealed by the holder of slot 8, which may lie about anything.
  Bytes lie(const Bytes& inner, EspFields fields = {}) {
    fields.number = ++number_;
    return esp_frame(fields, inner);
  }

  Harness path_;
  std::uint64_t number_ = 0;
};

TEST_F(Black, OpensWhatAnotherGatewaySealed) {
  for (const std::string& engine : runnable_engines()) {
    Harness receiver(Harness::Options{.engine = engine});
    receiver.install_tv();
    Sender sender(0x10000008, {selector("239.1.1.0/24")});
    std::vector<Bytes> frames, sealed;
    for (std::size_t bytes = 0; bytes < 100; ++bytes)
      frames.push_back(udp_frame(bytes));
    frames.push_back(udp_frame(1316));
    for (const Bytes& frame : frames)
      sealed.push_back(sender.seal(frame));
    const auto opened = receiver.black(sealed);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_EQ(opened[i].verdict, Verdict::forward) << name(opened[i].reason);
      ASSERT_EQ(to_hex(opened[i].frame), to_hex(frames[i]));
    }
    EXPECT_EQ(receiver.statistics().opened, frames.size());
    const SaStatistics* sa = receiver.sa(0x10000008);
    ASSERT_NE(sa, nullptr);
    EXPECT_EQ(sa->packets, frames.size());
    EXPECT_EQ(sa->next_number, frames.size());
  }
}

TEST_F(Black, VlanTagsStayAndOuterOptionsGo) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes packet = ipv4({}, udp(1, 5000, pattern(77)));
  const std::vector<std::vector<std::uint16_t>> stacks = {{}, {7}, {100, 7}};
  for (const auto& tags : stacks) {
    const Bytes frame = ethernet(packet, tags);
    const Outcome opened = path_.black(sender.seal(frame));
    ASSERT_EQ(opened.verdict, Verdict::forward);
    EXPECT_EQ(to_hex(opened.frame), to_hex(frame));
  }
  EspFields options;
  options.number = 100;
  options.outer.options = Bytes{1, 1, 1, 0};
  const Outcome opened = path_.black(esp_frame(options, packet));
  ASSERT_EQ(opened.verdict, Verdict::forward);
  EXPECT_EQ(to_hex(opened.frame), to_hex(ethernet(packet)));
}

TEST_F(Black, EthernetPaddingBehindTheOuterPacketIsIgnored) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes frame = udp_frame(1);
  Bytes sealed = sender.seal(frame);
  sealed.resize(sealed.size() + 6, 0xff);
  const Outcome opened = path_.black(sealed);
  ASSERT_EQ(opened.verdict, Verdict::forward);
  EXPECT_EQ(opened.frame, frame);
}

TEST_F(Black, FullAuthenticationOfEveryBit) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes sealed = sender.seal(udp_frame(20));
  // Sequence number, IV, ciphertext, ICV: one bit at each byte. Nothing passes, and nothing is remembered as seen.
  for (std::size_t at = 38; at < sealed.size(); ++at) {
    Bytes forged = sealed;
    forged[at] ^= static_cast<std::uint8_t>(1U << (at % 8));
    const bool number = at < 38 + 4 || (at >= 46 && at < 50);  // one of the two low halves
    const Outcome outcome = path_.black(forged);
    EXPECT_EQ(outcome.verdict, Verdict::drop);
    EXPECT_EQ(name(outcome.reason), number ? "iv_sequence_mismatch" : "bad_tag") << at;
  }
  EXPECT_GT(path_.sa(0x10000008)->bad_tags, 50U);
  EXPECT_EQ(path_.sa(0x10000008)->next_number, 0U);
  EXPECT_EQ(path_.black(sealed).verdict, Verdict::forward);
}

TEST_F(Black, AFailedPacketsTextIsNotInItsBuffer) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  Bytes forged = sender.seal(udp_frame(200));
  forged.back() ^= 1;
  const Outcome outcome = path_.black(forged);
  ASSERT_EQ(outcome.reason, DropReason::bad_tag);
  EXPECT_TRUE(std::all_of(outcome.frame.begin() + 50, outcome.frame.end() - 16, [](std::uint8_t b) { return b == 0; }));
  // Nor is that of an authentic packet which was then refused (H16).
  Ipv4Fields elsewhere;
  elsewhere.destination = "239.1.1.5";
  elsewhere.source = "10.0.0.2";
  const Outcome refused = path_.black(lie(packet_of(udp_frame(200, elsewhere))));
  ASSERT_EQ(refused.reason, DropReason::outer_inner_mismatch);
  EXPECT_TRUE(std::all_of(refused.frame.begin() + 50, refused.frame.end() - 16, [](std::uint8_t b) { return b == 0; }));
}

TEST_F(Black, ReplaysAreDroppedAlsoWithinOneBurst) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes first = sender.seal(udp_frame(10));
  const Bytes second = sender.seal(udp_frame(11));
  const auto burst = path_.black({first, second, first, second, first});
  EXPECT_EQ(burst[0].verdict, Verdict::forward);
  EXPECT_EQ(burst[1].verdict, Verdict::forward);
  for (std::size_t i = 2; i < 5; ++i)
    EXPECT_EQ(name(burst[i].reason), "replay");
  expect_drop(first, DropReason::replay);
  EXPECT_EQ(path_.sa(0x10000008)->replays, 4U);
}

TEST_F(Black, WindowFloorAndLateJoin) {
  Harness path;
  const std::vector<Selector> selectors = {selector("239.1.1.0/24")};
  ASSERT_TRUE(path.plane().protect("tv", {selectors}));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, selectors);
  const std::uint64_t floor = (std::uint64_t{1} << 32) - 2;
  epoch.inbound.push_back({key_of(0x10000008), floor});
  ASSERT_TRUE(path.plane().install(std::move(epoch)));
  const Bytes inner = packet_of(udp_frame(10));
  const auto reason = [&](std::uint64_t number) {
    EspFields fields;
    fields.number = number;
    return name(path.black(esp_frame(fields, inner)).reason);
  };
  EXPECT_EQ(reason(0), "replay");
  EXPECT_EQ(reason(1), "replay");
  EXPECT_EQ(reason(floor - 1), "replay");
  EXPECT_EQ(reason(floor), "none");
  EXPECT_EQ(reason(floor + 3), "none");  // the 32-bit field has wrapped
  EXPECT_EQ(reason(floor + 3), "replay");
  EXPECT_EQ(reason(floor + 1), "none");
  EXPECT_EQ(reason(floor + 3 + 1024), "none");
  EXPECT_EQ(reason(floor + 3), "replay");
  EXPECT_EQ(reason(floor + 4), "none");  // the window's left edge
  EXPECT_EQ(reason(floor + 2), "replay");
  EXPECT_EQ(reason(~std::uint64_t{0}), "none");
  EXPECT_EQ(reason(~std::uint64_t{0}), "replay");
}

TEST_F(Black, HostileFrames) {
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes good = sender.seal(udp_frame(20));
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes)
    expect_drop(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)),
                bytes < 34 ? DropReason::short_frame : DropReason::truncated);
  // IP length and frame cut alike: too short for ESP, then not a multiple of 4, then a wrong tag.
  for (std::size_t bytes = 34; bytes < good.size(); ++bytes) {
    Bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes));
    store_be(&cut[16], static_cast<std::uint16_t>(bytes - 14));
    mend_checksum(cut);
    const std::size_t esp = bytes - 34;
    expect_drop(cut, esp < 56 || esp % 4 != 0 ? DropReason::esp_length : DropReason::bad_tag);
  }
  Bytes fragment = good;
  fragment[20] |= 0x20;
  mend_checksum(fragment);
  expect_drop(fragment, DropReason::fragment);
  fragment = good;
  fragment[21] = 1;
  mend_checksum(fragment);
  expect_drop(fragment, DropReason::fragment);
  Bytes unicast = good;
  unicast[30] = 10;
  mend_checksum(unicast);
  expect_drop(unicast, DropReason::not_multicast);
  for (std::uint8_t ihl = 0; ihl < 5; ++ihl) {
    Bytes lying = good;
    lying[14] = static_cast<std::uint8_t>(0x40 | ihl);
    expect_drop(lying, DropReason::bad_ip_header);
  }
  expect_drop(ethernet(pattern(28), {}, 0x0806), DropReason::not_ip);
  expect_drop(ethernet(pattern(60), {}, 0x86dd), DropReason::bad_ip_header);
  EXPECT_EQ(path_.black(good).verdict, Verdict::forward);
}

TEST_F(Black, OuterAddressesOutsideTheGroupAreDroppedBeforeCrypto) {
  EspFields fields;
  fields.outer.destination = "239.1.2.5";
  expect_drop(lie(packet_of(udp_frame(10)), fields), DropReason::selector_mismatch);
  EXPECT_EQ(path_.sa(0x10000008)->next_number, 0U);
}

TEST_F(Black, DATA1_H16_TheInnerPacketMustBelongToTheKeysGroup) {
  // Group "news" = 239.2.2.0/24 under other keys; the member of "tv" seals traffic for it under tv's key.
  ASSERT_TRUE(path_.plane().protect("news", {{selector("239.2.2.0/24")}}));
  GroupEpoch news = path_.epoch("news", 1, 0x20000000, {selector("239.2.2.0/24")});
  news.inbound.push_back({key_of(0x20000001), 0});
  ASSERT_TRUE(path_.plane().install(std::move(news)));
  Ipv4Fields to_news;
  to_news.destination = "239.2.2.2";
  EspFields outer;
  outer.outer.destination = "239.2.2.2";
  expect_drop(lie(packet_of(udp_frame(10, to_news)), outer), DropReason::selector_mismatch);
  // With an outer address of tv it gets as far as the key, and no further.
  expect_drop(lie(packet_of(udp_frame(10, to_news))), DropReason::outer_inner_mismatch);
  EXPECT_EQ(path_.statistics().opened, 0U);
  // news' own sender is heard.
  outer.spi = 0x20000001;
  EXPECT_EQ(path_.black(lie(packet_of(udp_frame(10, to_news)), outer)).verdict, Verdict::forward);
}

TEST(BlackPorts, H16_PortsOfTheInnerPacket) {
  Harness path;
  const std::vector<Selector> selectors = {selector("239.1.1.0/24", PortRange{5000, 5010})};
  ASSERT_TRUE(path.plane().protect("tv", {selectors}));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, selectors);
  epoch.inbound.push_back({key_of(0x10000008), 0});
  ASSERT_TRUE(path.plane().install(std::move(epoch)));
  std::uint64_t number = 0;
  const auto reason = [&](const Bytes& inner) {
    EspFields fields;
    fields.number = ++number;
    return name(path.black(esp_frame(fields, inner)).reason);
  };
  EXPECT_EQ(reason(ipv4({}, udp(1, 5005, pattern(9)))), "none");
  EXPECT_EQ(reason(ipv4({}, udp(1, 4999, pattern(9)))), "selector_mismatch");
  EXPECT_EQ(reason(ipv4({}, Bytes{1, 2, 3, 4})), "bad_inner_packet");  // UDP without its header
  Ipv4Fields later;
  later.fragment = 3;
  EXPECT_EQ(reason(ipv4(later, pattern(16))), "fragment_orphan");
}

TEST_F(Black, LyingInnerPackets) {
  const Bytes inner = packet_of(udp_frame(30));
  const auto with = [&](std::size_t at, std::uint8_t value, bool mend = true) {
    Bytes frame = ethernet(inner);
    frame[14 + at] = value;
    if (mend) mend_checksum(frame);
    return packet_of(frame);
  };
  expect_drop(lie(with(0, 0x65)), DropReason::bad_inner_packet);
  expect_drop(lie(with(0, 0x44)), DropReason::bad_inner_packet);
  expect_drop(lie(with(0, 0x4f, false)), DropReason::bad_inner_packet);
  expect_drop(lie(with(3, 19)), DropReason::bad_inner_packet);
  expect_drop(lie(with(3, static_cast<std::uint8_t>(inner.size() + 1))), DropReason::bad_inner_packet);
  expect_drop(lie(with(8, 0)), DropReason::bad_inner_packet);
  expect_drop(lie(with(10, 0x55, false)), DropReason::bad_inner_packet);
  expect_drop(lie(with(15, 0x77)), DropReason::outer_inner_mismatch);  // source
  expect_drop(lie(with(19, 0x77)), DropReason::outer_inner_mismatch);  // destination
  expect_drop(lie(with(9, 50)), DropReason::nested_esp);
  expect_drop(lie(with(9, 2)), DropReason::igmp_not_allowed);
  // Shorter than its ESP text: traffic flow padding (RFC 4303 §2.7) is cut off.
  Bytes padded = inner;
  padded.resize(inner.size() + 40, 0x99);
  const Outcome opened = path_.black(lie(padded));
  ASSERT_EQ(opened.verdict, Verdict::forward);
  EXPECT_EQ(to_hex(packet_of(opened.frame)), to_hex(inner));
}

TEST_F(Black, LyingTrailers) {
  const Bytes inner = packet_of(udp_frame(30));  // 58 bytes: 60 with the trailer
  const auto trailer = [&](Bytes bytes) {
    EspFields fields;
    fields.trailer = std::move(bytes);
    return lie(inner, fields);
  };
  EXPECT_EQ(path_.black(trailer({0, 4})).verdict, Verdict::forward);
  EXPECT_EQ(path_.black(trailer({1, 2, 3, 4, 4, 4})).verdict, Verdict::forward);
  expect_drop(trailer({1, 2, 3, 5, 4, 4}), DropReason::bad_padding);
  expect_drop(trailer({0, 0, 0, 0, 4, 4}), DropReason::bad_padding);
  expect_drop(trailer({255, 4}), DropReason::bad_padding);
  expect_drop(trailer({59, 4}), DropReason::bad_padding);
  expect_drop(trailer({0, 41}), DropReason::bad_inner_packet);  // says IPv6, is IPv4
  expect_drop(trailer({0, 17}), DropReason::bad_next_header);   // no tunnel
  expect_drop(trailer({0, 59}), DropReason::bad_next_header);   // RFC 4303 §2.6: dummy packet
  Bytes all_pad;
  for (int i = 1; i <= 255; ++i)
    all_pad.push_back(static_cast<std::uint8_t>(i));
  EXPECT_EQ(path_.black(trailer(Bytes(all_pad.begin(), all_pad.begin() + 252) + Bytes{252, 4})).verdict,
            Verdict::forward);
}

TEST_F(Black, SequenceNumberMustBeTheIvsLowHalf) {
  EspFields fields;
  fields.number = 5;
  fields.sequence = 6;
  expect_drop(esp_frame(fields, packet_of(udp_frame(3))), DropReason::iv_sequence_mismatch);
}

TEST_F(Black, LoopsEndHere) {
  expect_drop(path_.red(udp_frame(10)).frame, DropReason::own_spi);
  Harness path(Harness::Options{.path = {.local_red_sources = {Prefix::parse("10.0.0.0/24").value()}}});
  path.install_tv();
  EspFields fields;
  EXPECT_EQ(name(path.black(esp_frame(fields, packet_of(udp_frame(10)))).reason), "local_red_source");
  fields.number = 2;
  fields.outer.source = "10.0.1.1";
  EXPECT_EQ(path.black(esp_frame(fields, ipv4(Ipv4Fields{.source = "10.0.1.1"}, udp(1, 2, {})))).verdict,
            Verdict::forward);
}

TEST_F(Black, NothingProtectedPassesInClear) {
  expect_drop(udp_frame(10), DropReason::clear_on_black);
  Ipv4Fields other;
  other.destination = "239.1.2.5";
  expect_drop(udp_frame(10, other), DropReason::no_policy);
  Ipv4Fields unicast;
  unicast.destination = "10.0.0.9";
  expect_drop(udp_frame(10, unicast), DropReason::not_multicast);
}

TEST_F(Black, QueriesPassReportsDoNot) {
  const auto frame = [](const std::string& to, const Bytes& message, std::uint8_t ttl, const Bytes& options) {
    Ipv4Fields fields;
    fields.destination = to;
    fields.protocol = 2;
    fields.ttl = ttl;
    fields.options = options;
    fields.fragment = 0;
    return ethernet(ipv4(fields, message));
  };
  const Bytes v2_general = igmp(0x11, 100, "0.0.0.0");
  const Bytes v3_general = igmp(0x11, 100, "0.0.0.0", {2, 125, 0, 0});
  const Bytes v3_sources = igmp(0x11, 100, "239.1.1.5", {2, 125, 0, 1, 10, 0, 0, 1});
  for (const Bytes& query :
       {frame("224.0.0.1", igmp(0x11, 0, "0.0.0.0"), 1, {}), frame("224.0.0.1", v2_general, 1, router_alert),
        frame("239.1.1.5", igmp(0x11, 10, "239.1.1.5"), 1, router_alert),
        frame("224.0.0.1", v3_general, 1, router_alert), frame("239.1.1.5", v3_sources, 1, router_alert)}) {
    const Outcome outcome = path_.black(query);
    EXPECT_EQ(outcome.verdict, Verdict::forward) << name(outcome.reason);
    EXPECT_EQ(outcome.frame, query);
  }
  for (const Bytes& refused :
       {frame("224.0.0.1", v2_general, 1, {}), frame("224.0.0.1", v3_general, 1, {1, 1, 1, 0}),
        frame("224.0.0.1", v2_general, 2, router_alert), frame("239.1.1.5", v2_general, 1, router_alert),
        frame("239.1.1.6", v3_sources, 1, router_alert),
        frame("224.0.0.1", v3_general + Bytes{1, 2, 3, 4}, 1, router_alert),
        frame("239.1.1.5", igmp(0x16, 0, "239.1.1.5"), 1, router_alert),
        frame("224.0.0.22", igmp(0x22, 0, "0.0.0.0"), 1, router_alert)})
    expect_drop(refused, DropReason::igmp_not_allowed);
}

TEST_F(Black, RFC6040_CongestionMarks) {
  const auto opened_ecn = [&](std::uint8_t inner, std::uint8_t outer) -> int {
    EspFields fields;
    fields.outer.tos = outer;
    const Outcome outcome =
        path_.black(lie(ipv4(Ipv4Fields{.tos = static_cast<std::uint8_t>(0x40 | inner)}, udp(1, 2, {})), fields));
    if (outcome.verdict != Verdict::forward) return outcome.reason == DropReason::ecn_illegal ? -1 : -2;
    // The header's checksum still holds, DSCP is the inner one.
    Bytes mended = outcome.frame;
    mend_checksum(mended);
    EXPECT_EQ(to_hex(mended), to_hex(outcome.frame));
    EXPECT_EQ(outcome.frame[15] & 0xfc, 0x40);
    return outcome.frame[15] & 3;
  };
  const int expected[4][4] = {{0, 0, 0, -1}, {1, 1, 1, 3}, {2, 1, 2, 3}, {3, 3, 3, 3}};
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer)
      EXPECT_EQ(opened_ecn(inner, outer), expected[inner][outer]) << int{inner} << " " << int{outer};
  }
}

TEST_F(Black, DATA2_AFloodOfEverySlotOfSeveralEpochsLeavesRoomForANewcomer) {
  const Bytes inner = packet_of(udp_frame(10));
  ASSERT_TRUE(path_.plane().install(path_.epoch("tv", 2, 0x20000000, {selector("239.1.1.0/24")}, false)));
  ASSERT_TRUE(path_.plane().install(path_.epoch("tv", 3, 0x20010000, {selector("239.1.1.0/24")}, false)));
  std::vector<Bytes> flood;
  for (std::uint32_t slot = 0; slot < 63; ++slot) {
    for (const std::uint32_t base : {0x1000000aU, 0x20000000U, 0x20010000U}) {
      EspFields fields;
      fields.spi = base + slot;
      flood.push_back(esp_frame(fields, inner));
    }
  }
  EspFields newcomer;
  newcomer.spi = 0x2000003f;
  for (int round = 0; round < 20; ++round)
    path_.black(flood);
  path_.black(esp_frame(newcomer, inner));
  bool heard = false;
  for (const SlotWanted& wanted : path_.plane().take_events().slots_wanted)
    heard = heard || (wanted.epoch == 2 && wanted.slot == 63);
  EXPECT_TRUE(heard);
}

TEST(BlackLimits, AnOpenedPacketLargerThanTheRedMtuIsNamed) {
  Harness path(Harness::Options{.path = {.black_mtu = 9000, .red_mtu = 1400}});
  path.install_tv();
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const Bytes fits = udp_frame(1400 - 28);
  EXPECT_EQ(path.black(sender.seal(fits)).frame, fits);
  const Outcome outcome = path.black(sender.seal(udp_frame(1401 - 28)));
  EXPECT_EQ(outcome.verdict, Verdict::drop);
  EXPECT_EQ(name(outcome.reason), "too_big_for_red");
}

TEST_F(Black, DATA2_UnknownSpisAndSlots) {
  const Bytes inner = packet_of(udp_frame(10));
  const auto frame = [&](std::uint32_t spi) {
    EspFields fields;
    fields.spi = spi;
    return esp_frame(fields, inner);
  };
  expect_drop(frame(0x0fffffff), DropReason::unknown_spi);
  expect_drop(frame(0x10010000), DropReason::unknown_spi);
  expect_drop(frame(0), DropReason::unknown_spi);
  // Highest slot in use is 9: 73 is the last one worth a derivation.
  EXPECT_EQ(path_.black(frame(0x1000000a)).verdict, Verdict::park);
  EXPECT_EQ(path_.black(frame(0x10000000 + 9 + 64)).verdict, Verdict::park);
  expect_drop(frame(0x10000000 + 9 + 65), DropReason::slot_out_of_window);
  expect_drop(frame(0x1000ffff), DropReason::slot_out_of_window);
  auto events = path_.plane().take_events();
  ASSERT_EQ(events.slots_wanted.size(), 2U);
  EXPECT_EQ(events.slots_wanted[0].group_id, "tv");
  EXPECT_EQ(events.slots_wanted[0].epoch, 1U);
  EXPECT_EQ(events.slots_wanted[0].slot, 10U);
  EXPECT_EQ(events.slots_wanted[1].slot, 73U);

  // A flood asks a few times a second, not once a packet, and a newcomer beside it is still asked for.
  for (int i = 0; i < 1000; ++i)
    path_.black(frame(0x1000000b));
  EXPECT_EQ(path_.plane().take_events().slots_wanted.size(), 1U);
  path_.advance(std::chrono::milliseconds(150));
  path_.black(std::vector<Bytes>{frame(0x1000000b), frame(0x1000000c)});
  EXPECT_EQ(path_.plane().take_events().slots_wanted.size(), 2U);

  // The key arrives: the slot opens.
  std::vector<sealcast::InboundSa> keys;
  keys.push_back({key_of(0x1000000a), 0});
  ASSERT_TRUE(path_.plane().add_inbound("tv", 1, std::move(keys)));
  const auto waited = path_.unpark();
  ASSERT_EQ(waited.size(), 1U);
  EXPECT_EQ(waited[0].verdict, Verdict::forward);
  EXPECT_EQ(path_.black(frame(0x1000000a)).reason, DropReason::replay);
}

TEST(BlackWorkers, AnSpiBelongsToOneWorker) {
  Harness path(Harness::Options{.workers = 4});
  path.install_tv();
  EspFields fields;
  const Bytes frame = esp_frame(fields, ipv4({}, udp(1, 2, pattern(10))));
  const std::uint32_t owner = worker_of_spi(fields.spi, 4);
  for (std::uint32_t w = 0; w < 4; ++w) {
    if (w == owner) continue;
    const Outcome outcome = path.black(std::vector<Bytes>{frame}, w)[0];
    EXPECT_EQ(outcome.verdict, Verdict::hand_off);
    EXPECT_EQ(outcome.target, owner);
    EXPECT_EQ(outcome.frame, frame);
  }
  EXPECT_EQ(path.black(std::vector<Bytes>{frame}, owner)[0].verdict, Verdict::forward);
}

TEST(BlackBursts, ManyKeysInOneBurstStayInOrder) {
  Harness path;
  const std::vector<Selector> selectors = {selector("239.1.1.0/24")};
  ASSERT_TRUE(path.plane().protect("tv", {selectors}));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, selectors);
  for (std::uint32_t slot = 0; slot < 32; ++slot)
    epoch.inbound.push_back({key_of(0x10000000 + slot, slot % 2 == 0 ? 16 : 32), 0});
  ASSERT_TRUE(path.plane().install(std::move(epoch)));
  std::vector<Bytes> frames, inners;
  for (std::uint32_t i = 0; i < 200; ++i) {
    EspFields fields;
    fields.spi = 0x10000000 + (i * 7) % 32;
    fields.key_size = fields.spi % 2 == 0 ? 16 : 32;
    fields.number = i + 1;
    inners.push_back(ipv4({}, udp(1, 2, pattern(i, static_cast<std::uint8_t>(i)))));
    frames.push_back(esp_frame(fields, inners.back()));
    if (i % 9 == 0) frames.back().back() ^= 1;
  }
  const auto opened = path.black(frames);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (i % 9 == 0) {
      EXPECT_EQ(name(opened[i].reason), "bad_tag");
    } else {
      ASSERT_EQ(opened[i].verdict, Verdict::forward) << name(opened[i].reason);
      EXPECT_EQ(to_hex(opened[i].frame), to_hex(ethernet(inners[i])));
    }
  }
}

}  // namespace
}  // namespace sealcast::dataplane::testing
