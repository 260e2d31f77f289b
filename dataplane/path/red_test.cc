// Red to black: bytes in, bytes out, and every way a frame may not leave.
#include <gtest/gtest.h>

#include <set>

#include "dataplane/packet/frame.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

class Red : public ::testing::Test {
 protected:
  Red() { path_.install_tv(); }
  // The frame is dropped for this reason and counted once under it; nothing of it was rewritten.
  void expect_drop(const Bytes& frame, DropReason reason) {
    const std::uint64_t before = path_.dropped(reason);
    const Outcome outcome = path_.red(frame);
    EXPECT_EQ(outcome.verdict, Verdict::drop);
    EXPECT_EQ(name(outcome.reason), name(reason));
    EXPECT_EQ(path_.dropped(reason), before + 1);
  }
  void expect_sealed(const Bytes& frame) {
    const Outcome outcome = path_.red(frame);
    EXPECT_EQ(outcome.verdict, Verdict::forward) << name(outcome.reason);
    ASSERT_GE(outcome.frame.size(), 14U + 20);
    EXPECT_EQ(outcome.frame[14 + 9], 50);
  }
  Harness path_;
};

TEST_F(Red, SealsByteExact) {
  Ipv4Fields fields;
  fields.ttl = 1;
  fields.tos = 0xb8 | 2;                     // EF, ECT(0)
  const Bytes frame = udp_frame(5, fields);  // inner: 33 bytes
  const Outcome sealed = path_.red(frame);
  ASSERT_EQ(sealed.verdict, Verdict::forward);

  // Ethernet header as it was.
  EXPECT_EQ(Bytes(sealed.frame.begin(), sealed.frame.begin() + 14), Bytes(frame.begin(), frame.begin() + 14));
  const Bytes ip(sealed.frame.begin() + 14, sealed.frame.end());
  // 33 + 2 -> 36 with one byte of padding; 36 before, 16 behind.
  ASSERT_EQ(ip.size(), 88U);
  EXPECT_EQ(ip.size(), sealed_ipv4_bytes(33));
  Ipv4Fields outer = fields;
  outer.protocol = 50;
  outer.id = 1;
  EXPECT_EQ(to_hex(Bytes(ip.begin(), ip.begin() + 20)), to_hex(Bytes(ipv4(outer, Bytes(68)))).substr(0, 40));
  EXPECT_EQ(to_hex(Bytes(ip.begin() + 20, ip.begin() + 36)),
            "1000000000000001"
            "0000000000000001");
  // The same packet made by other code: same ciphertext, same ICV.
  EspFields same;
  same.spi = 0x10000000;
  same.outer = outer;
  EXPECT_EQ(to_hex(sealed.frame), to_hex(esp_frame(same, Bytes(frame.begin() + 14, frame.end()))));
  const SaStatistics* sa = path_.sa(0x10000000);
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->packets, 1U);
  EXPECT_EQ(sa->bytes, 33U);
  EXPECT_EQ(sa->next_number, 2U);
  EXPECT_TRUE(sa->outbound && sa->active);
}

TEST_F(Red, EveryPaddingAndEngineAgreesWithTheReference) {
  for (const std::string& engine : runnable_engines()) {
    Harness path(Harness::Options{.engine = engine, .path = {.black_mtu = 9000}});
    path.install_tv();
    std::vector<Bytes> frames;
    for (std::size_t bytes = 0; bytes < 64; ++bytes)
      frames.push_back(udp_frame(bytes));
    frames.push_back(udp_frame(1316));
    frames.push_back(udp_frame(8192));
    const auto outcomes = path.red(frames);
    for (std::size_t i = 0; i < frames.size(); ++i) {
      ASSERT_EQ(outcomes[i].verdict, Verdict::forward);
      EspFields same;
      same.spi = 0x10000000;
      same.number = i + 1;
      same.outer.id = static_cast<std::uint16_t>(i + 1);
      ASSERT_EQ(to_hex(outcomes[i].frame), to_hex(esp_frame(same, Bytes(frames[i].begin() + 14, frames[i].end()))));
    }
  }
}

TEST_F(Red, DontFragmentIsCopied) {
  Ipv4Fields fields;
  fields.fragment = 0;
  EXPECT_EQ(path_.red(udp_frame(10, fields)).frame[14 + 6], 0x00);
  fields.fragment = 0x4000;
  EXPECT_EQ(path_.red(udp_frame(10, fields)).frame[14 + 6], 0x40);
}

TEST_F(Red, VlanTagsStay) {
  const Bytes packet = ipv4({}, udp(1, 5000, pattern(100)));
  const std::vector<std::vector<std::uint16_t>> stacks = {{}, {7}, {100, 7}};
  for (const auto& tags : stacks) {
    const Bytes frame = ethernet(packet, tags);
    const Outcome sealed = path_.red(frame);
    ASSERT_EQ(sealed.verdict, Verdict::forward);
    const auto link = static_cast<std::ptrdiff_t>(14 + 4 * tags.size());
    EXPECT_EQ(Bytes(sealed.frame.begin(), sealed.frame.begin() + link), Bytes(frame.begin(), frame.begin() + link));
    EXPECT_EQ(sealed.frame[static_cast<std::size_t>(link) + 9], 50);
  }
  expect_drop(ethernet(packet, {1, 2, 3}), DropReason::not_ip);
}

TEST_F(Red, EthernetPaddingIsCutOff) {
  const Bytes frame = udp_frame(3);
  Bytes padded = frame;
  padded.resize(60);
  const Outcome sealed = path_.red(padded);
  ASSERT_EQ(sealed.verdict, Verdict::forward);
  EXPECT_EQ(sealed.frame.size(), 14 + sealed_ipv4_bytes(static_cast<std::uint32_t>(frame.size() - 14)));
}

TEST_F(Red, OptionsAndFragmentsTravelInside) {
  Ipv4Fields options;
  options.options = router_alert;
  expect_sealed(udp_frame(10, options));
  Ipv4Fields first;
  first.fragment = 0x2000;
  expect_sealed(udp_frame(64, first));
  Ipv4Fields later;
  later.fragment = 9;
  expect_sealed(ethernet(ipv4(later, pattern(64))));
}

TEST_F(Red, HostileFrames) {
  const Bytes good = udp_frame(40);
  for (std::size_t bytes = 0; bytes < 34; ++bytes)
    expect_drop(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)), DropReason::short_frame);
  for (std::size_t bytes = 34; bytes < good.size(); ++bytes)
    expect_drop(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)), DropReason::truncated);
  Bytes tag_only = ethernet({}, {7});
  expect_drop(tag_only, DropReason::short_frame);
  tag_only.resize(15);
  expect_drop(tag_only, DropReason::short_frame);

  const auto with = [&](std::size_t offset, std::uint8_t value) {
    Bytes frame = good;
    frame[14 + offset] = value;
    mend_checksum(frame);
    return frame;
  };
  expect_drop(with(0, 0x65), DropReason::bad_ip_header);  // version 6
  for (std::uint8_t ihl = 0; ihl < 5; ++ihl)
    expect_drop(with(0, static_cast<std::uint8_t>(0x40 | ihl)), DropReason::bad_ip_header);
  expect_drop(with(3, 19), DropReason::bad_ip_header);  // total length below the header
  expect_drop(with(2, 0xff), DropReason::truncated);    // total length beyond the frame
  expect_drop(with(3, 20), DropReason::short_frame);    // UDP without its header
  expect_drop(with(3, 27), DropReason::short_frame);
  expect_drop(with(8, 0), DropReason::bad_ip_header);  // TTL 0
  for (const std::uint8_t first : {0xe0, 0xef, 0xf0, 0xff})
    expect_drop(with(12, first), DropReason::bad_ip_header);  // RFC 1122 §3.2.1.3: no host has that source
  Bytes checksum = good;
  checksum[14 + 10] ^= 1;
  expect_drop(checksum, DropReason::bad_ip_header);
  Bytes long_header = ethernet(ipv4({}, Bytes{}));
  long_header[14] = 0x4f;
  expect_drop(long_header, DropReason::bad_ip_header);

  expect_drop(ethernet(pattern(28), {}, 0x0806), DropReason::not_ip);  // ARP
  expect_drop(ethernet(pattern(60), {}, 0x86dd), DropReason::bad_ip_header);
  expect_drop(ethernet(pattern(60), {}, 0x88cc), DropReason::not_ip);
}

TEST_F(Red, WhatNoRuleLetsPass) {
  Ipv4Fields unicast;
  unicast.destination = "10.0.0.9";
  expect_drop(udp_frame(10, unicast), DropReason::not_multicast);
  Ipv4Fields other;
  other.destination = "239.1.2.5";
  expect_drop(udp_frame(10, other), DropReason::no_policy);
  Ipv4Fields ospf;
  ospf.destination = "224.0.0.5";
  ospf.protocol = 89;
  expect_drop(ethernet(ipv4(ospf, pattern(24))), DropReason::no_policy);
  Ipv4Fields esp;
  esp.protocol = 50;
  expect_drop(ethernet(ipv4(esp, pattern(64))), DropReason::esp_on_red);
}

TEST_F(Red, SealedTwiceNever) {
  const Outcome sealed = path_.red(udp_frame(100));
  ASSERT_EQ(sealed.verdict, Verdict::forward);
  expect_drop(sealed.frame, DropReason::esp_on_red);
}

TEST_F(Red, TooBigIsExact) {
  // 1500 = 36 + text + 16: the largest inner packet has 1446 bytes, 28 of them headers.
  expect_sealed(udp_frame(1446 - 28));
  expect_drop(udp_frame(1447 - 28), DropReason::too_big);
}

TEST_F(Red, NeedsRoomInTheBuffer) {
  for (const auto& [headroom, tailroom, fits] :
       {std::tuple{36, 21, true}, std::tuple{35, 21, false}, std::tuple{36, 18, true}, std::tuple{36, 17, false}}) {
    Harness path(Harness::Options{.headroom = static_cast<std::size_t>(headroom),
                                  .tailroom = static_cast<std::size_t>(tailroom)});
    path.install_tv();
    const Outcome outcome = path.red(udp_frame(6));  // 34 bytes: no padding, 18 behind
    EXPECT_EQ(outcome.verdict == Verdict::forward, fits) << headroom << " " << tailroom;
    EXPECT_EQ(outcome.reason, fits ? DropReason::none : DropReason::no_headroom);
  }
}

TEST_F(Red, ReportsBypassQueriesDoNot) {
  const auto frame = [](const std::string& to, const Bytes& message, std::uint8_t ttl = 1, Bytes options = router_alert,
                        std::uint16_t fragment = 0) {
    Ipv4Fields fields;
    fields.destination = to;
    fields.protocol = 2;
    fields.ttl = ttl;
    fields.options = std::move(options);
    fields.fragment = fragment;
    return ethernet(ipv4(fields, message));
  };
  const Bytes v3_record = Bytes{0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 1, 5};
  const auto v3 = [&](const Bytes& after_type) {
    // type 0x22, reserved, checksum, reserved, count, records
    return igmp(0x22, 0, "0.0.0." + std::to_string(after_type[3]), Bytes(after_type.begin() + 4, after_type.end()));
  };
  const std::vector<Bytes> passing = {
      frame("239.1.1.5", igmp(0x16, 0, "239.1.1.5")),  // protected group: membership stays in clear
      frame("239.9.9.9", igmp(0x16, 0, "239.9.9.9")),
      frame("239.1.1.5", igmp(0x12, 0, "239.1.1.5"), 1, {}),
      frame("224.0.0.2", igmp(0x17, 0, "239.1.1.5")),
      frame("239.1.1.5", igmp(0x17, 0, "239.1.1.5")),
      frame("224.0.0.22", v3(v3_record)),
  };
  for (const Bytes& report : passing) {
    const Outcome outcome = path_.red(report);
    EXPECT_EQ(outcome.verdict, Verdict::forward) << name(outcome.reason);
    EXPECT_EQ(outcome.frame, report);
  }
  EXPECT_EQ(path_.statistics().bypassed, passing.size());

  Bytes record_short = v3_record;
  record_short[3] = 2;  // announces two records
  Bytes trailing = v3_record;
  trailing.push_back(7);
  trailing.push_back(7);
  Bytes bad_sum = igmp(0x16, 0, "239.1.1.5");
  bad_sum[3] ^= 1;
  const std::vector<Bytes> refused = {
      frame("224.0.0.1", igmp(0x11, 100, "0.0.0.0")),               // a query
      frame("239.1.1.5", igmp(0x16, 0, "239.1.1.6")),               // group is not the destination
      frame("239.1.1.5", igmp(0x16, 0, "239.1.1.5"), 2),            // TTL
      frame("239.1.1.5", igmp(0x16, 0, "239.1.1.5", pattern(64))),  // something rides along
      frame("224.0.0.22", v3(record_short)),
      frame("224.0.0.22", v3(trailing)),
      frame("239.1.1.5", v3(v3_record)),
      frame("239.1.1.5", bad_sum),
      frame("239.1.1.5", Bytes{0x16, 0, 0}),
      frame("239.1.1.5", igmp(0x13, 0, "239.1.1.5")),  // DVMRP
  };
  for (const Bytes& message : refused)
    expect_drop(message, DropReason::igmp_not_allowed);
  expect_drop(frame("239.1.1.5", igmp(0x16, 0, "239.1.1.5"), 1, router_alert, 0x2000), DropReason::fragment);
}

TEST_F(Red, H10_NothingRidesInClearInAReportsIpOptions) {
  const auto with = [](const Bytes& options) {
    Ipv4Fields fields;
    fields.protocol = 2;
    fields.ttl = 1;
    fields.options = options;
    return ethernet(ipv4(fields, igmp(0x16, 0, "239.1.1.5")));
  };
  for (const Bytes& harmless : {Bytes{}, router_alert, Bytes{1, 1, 1, 1} + router_alert,
                                router_alert + Bytes{0, 0, 0, 0}, Bytes{1, 148, 4, 0, 0, 0, 0, 0}})
    EXPECT_EQ(path_.red(with(harmless)).verdict, Verdict::forward);
  for (const Bytes& payload :
       {Bytes{68, 12, 5, 0} + pattern(8),                                                // a timestamp's room
        router_alert + Bytes{0, 's', 'e', 'c'},                                          // behind the end of the list
        Bytes{148, 4, 's', 'e'}, Bytes{148, 8, 0, 0} + pattern(4), Bytes{1, 1, 148, 4},  // cut off
        Bytes{94, 40} + pattern(38)})
    expect_drop(with(payload), DropReason::igmp_not_allowed);
}

TEST_F(Red, H10_LongReportsTakeTheirShareOfTheLimit) {
  Harness path(Harness::Options{.path = {.bypass = bypass_at(256)}});
  path.install_tv();
  Ipv4Fields fields;
  fields.destination = "224.0.0.22";
  fields.protocol = 2;
  fields.ttl = 1;
  fields.options = router_alert;
  // One record that names 360 sources: 1440 bytes of the sender's choice.
  const Bytes record = Bytes{4, 0, 360 >> 8, 360 & 255, 239, 1, 1, 5} + pattern(1440);
  const std::vector<Bytes> flood(256, ethernet(ipv4(fields, igmp(0x22, 0, "0.0.0.1", record))));
  std::size_t bytes = 0;
  for (const Outcome& outcome : path.red(flood)) {
    if (outcome.verdict == Verdict::forward) bytes += outcome.frame.size();
  }
  EXPECT_GT(bytes, 0U);
  EXPECT_LE(bytes, 256 * bypass_unit_bytes);
}

TEST_F(Red, BypassIsRateLimited) {
  Harness path(Harness::Options{.path = {.bypass = bypass_at(10)}});
  path.install_tv();
  Ipv4Fields fields;
  fields.protocol = 2;
  fields.ttl = 1;
  const std::vector<Bytes> flood(100, ethernet(ipv4(fields, igmp(0x16, 0, "239.1.1.5"))));
  const auto passed = [&] {
    std::size_t n = 0;
    for (const Outcome& outcome : path.red(flood))
      n += outcome.verdict == Verdict::forward ? 1 : 0;
    return n;
  };
  EXPECT_EQ(passed(), 10U);
  EXPECT_EQ(path.dropped(DropReason::rate_limited), 90U);
  EXPECT_EQ(passed(), 0U);
  path.advance(std::chrono::milliseconds(500));
  EXPECT_EQ(passed(), 5U);
  path.advance(std::chrono::hours(5));
  EXPECT_EQ(passed(), 10U);
}

TEST_F(Red, PartialChecksumsAreCountedAndForwarded) {
  Bytes frame = udp_frame(20);
  // What Linux leaves: the sum of source, destination, protocol and UDP length, folded, not complemented.
  std::uint32_t sum = 17 + 28;
  for (std::size_t i = 26; i < 34; i += 2)
    sum += load_be<std::uint16_t>(&frame[i]);
  store_be(&frame[40], static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16)));
  expect_sealed(frame);
  EXPECT_EQ(path_.dropped(DropReason::partial_checksum), 1U);
  frame[41] ^= 1;
  expect_sealed(frame);
  EXPECT_EQ(path_.dropped(DropReason::partial_checksum), 1U);
}

TEST(RedPorts, SelectorsWithPortsAndSources) {
  Harness path;
  const std::vector<Selector> selectors = {selector("239.1.1.0/24", PortRange{5000, 5010}),
                                           selector("232.5.5.5", std::nullopt, "10.7.0.0/16")};
  ASSERT_TRUE(path.plane().protect("tv", {selectors}));
  GroupEpoch epoch = path.epoch("tv", 1, 0x10000000, selectors);
  epoch.outbound.push_back({key_of(0x10000000)});
  ASSERT_TRUE(path.plane().install(std::move(epoch)));
  const auto reason = [&](const Bytes& frame) { return name(path.red(frame).reason); };
  EXPECT_EQ(reason(udp_frame(9, {}, 5000)), "none");
  EXPECT_EQ(reason(udp_frame(9, {}, 5010)), "none");
  EXPECT_EQ(reason(udp_frame(9, {}, 4999)), "no_policy");
  EXPECT_EQ(reason(udp_frame(9, {}, 5011)), "no_policy");
  Ipv4Fields later;
  later.fragment = 2;
  EXPECT_EQ(reason(ethernet(ipv4(later, pattern(32)))), "fragment_orphan");  // shows no port
  Ipv4Fields tcp;
  tcp.protocol = 6;
  EXPECT_EQ(reason(ethernet(ipv4(tcp, pattern(32)))), "no_policy");
  Ipv4Fields ssm;
  ssm.destination = "232.5.5.5";
  EXPECT_EQ(reason(udp_frame(9, ssm, 9)), "no_policy");
  ssm.source = "10.7.3.4";
  EXPECT_EQ(reason(udp_frame(9, ssm, 9)), "none");
}

TEST(RedLimits, KEY2_NoSpiAndIvTwiceAndHardStop) {
  // Each packet of 1000 bytes costs 64 to 66 blocks; the stop leaves room for one packet of any size.
  Harness path(Harness::Options{.path = {.soft_block_limit = 6600, .hard_block_limit = 10000}});
  path.install_tv();
  std::set<std::pair<std::uint32_t, std::uint64_t>> nonces;
  std::size_t sealed = 0;
  for (int burst = 0; burst < 20; ++burst) {
    for (const Outcome& outcome : path.red(std::vector<Bytes>(10, udp_frame(1000)))) {
      if (outcome.verdict != Verdict::forward) {
        EXPECT_EQ(outcome.reason, DropReason::counter_exhausted);
        continue;
      }
      ++sealed;
      const std::uint8_t* esp = &outcome.frame[34];
      EXPECT_TRUE(nonces.emplace(load_be<std::uint32_t>(esp), load_be<std::uint64_t>(esp + 8)).second);
    }
    const auto events = path.plane().take_events();
    const bool soft = sealed * 66 >= 6600 && sealed * 65 < 6600 + 660;
    if (!events.counter_limits.empty()) {
      EXPECT_TRUE(soft) << sealed;
      EXPECT_EQ(events.counter_limits[0].spi, 0x10000000U);
      EXPECT_EQ(events.counter_limits[0].group_id, "tv");
      EXPECT_EQ(events.counter_limits[0].epoch, 1U);
    }
  }
  EXPECT_LE(sealed * 66, 10000U);
  EXPECT_GT(sealed, 80U);
  EXPECT_GT(path.dropped(DropReason::counter_exhausted), 0U);
  EXPECT_TRUE(path.plane().take_events().counter_limits.empty());
}

}  // namespace
}  // namespace sealcast::dataplane::testing
