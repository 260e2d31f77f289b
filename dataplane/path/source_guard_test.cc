// What is heard on red is at home there: the rule at the worker, in every way through it.
#include "dataplane/path/source_guard.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;

constexpr const char* theirs = "10.0.9.9";

Harness::Options learning(std::uint32_t workers = 1) {
  return {.workers = workers, .path = {.learn_sources = true}};
}

Bytes from(const char* source, std::size_t bytes = 40) {
  return udp_frame(bytes, {.source = source});
}

TEST(SourceGuard, H18_ASourceHeardOnRedIsRefusedFromBlackForTwoSeconds) {
  Harness path(learning());
  path.install_tv();
  Sender twin(0x10000008, tv_selectors());
  EXPECT_EQ(path.black(twin.seal(from(theirs))).verdict, Verdict::forward);
  EXPECT_EQ(path.red(from(theirs)).verdict, Verdict::forward) << "it moved here, and is sealed at once";
  EXPECT_EQ(path.black(twin.seal(from(theirs))).reason, DropReason::local_source);
  EXPECT_EQ(path.dropped(DropReason::source_moved), 1U);
  path.advance(1999ms);
  EXPECT_EQ(path.black(twin.seal(from(theirs))).reason, DropReason::local_source);
  path.advance(1ms);
  EXPECT_EQ(path.black(twin.seal(from(theirs))).verdict, Verdict::forward);
  EXPECT_EQ(path.dropped(DropReason::local_source), 2U);
}

TEST(SourceGuard, H18_OtherSourcesOfTheSameSenderAreOpened) {
  Harness path(learning());
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  path.red(from(theirs));
  for (int i = 0; i < 10; ++i) {
    const auto outcomes = path.black({sender.seal(from(theirs)), sender.seal(from("10.0.9.8")),
                                      sender.seal(from(theirs)), sender.seal(from("10.0.9.8"))});
    EXPECT_EQ(outcomes[0].reason, DropReason::local_source);
    EXPECT_EQ(outcomes[1].verdict, Verdict::forward);
    EXPECT_EQ(outcomes[2].reason, DropReason::local_source);
    EXPECT_EQ(outcomes[3].verdict, Verdict::forward);
    path.advance(100ms);
  }
  EXPECT_EQ(path.dropped(DropReason::source_moved), 1U) << "counted where it begins, not by the packet";
}

TEST(SourceGuard, H18_AStreamThatGoesOnHoldsItsPlaceAndCostsNoOther) {
  Harness path(learning());
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(path.red(from("10.0.0.1")).verdict, Verdict::forward);
    EXPECT_EQ(path.black(sender.seal(from(theirs))).verdict, Verdict::forward);
    if (i % 10 == 0) {
      EXPECT_EQ(path.black(sender.seal(from("10.0.0.1"))).reason, DropReason::local_source) << i;
    }
    path.advance(50ms);
  }
}

// Red at one worker, black at another: the case for which tables are shared.
TEST(SourceGuard, H18_WhatOneWorkerHearsOnRedAllRefuseFromBlack) {
  constexpr std::uint32_t workers = 4;
  Harness path(learning(workers));
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  const std::uint32_t opener = worker_of_spi(0x10000008, workers);
  for (std::uint32_t red = 0; red < workers; ++red) {
    const std::string source = "10.0.9." + std::to_string(red + 1);
    EXPECT_EQ(path.black({sender.seal(from(source.c_str()))}, opener)[0].verdict, Verdict::forward);
    EXPECT_EQ(path.red({from(source.c_str())}, red)[0].verdict, Verdict::forward);
    EXPECT_EQ(path.black({sender.seal(from(source.c_str()))}, opener)[0].reason, DropReason::local_source) << red;
  }
}

TEST(SourceGuard, H18_InBothFamiliesAllModesAndBehindTags) {
  struct Case {
    const char* name;
    GroupProtection protection;
    Bytes frame;
  };
  const OuterTunnel outer{.destination = ip("239.9.9.9"), .source = ip("192.0.2.1")};
  const Case cases[] = {
      {"IPv6", {.selectors = {selector("ff1e::1:0/112")}}, udp6_frame(40)},
      {"fixed tunnel", {.selectors = tv_selectors(), .mode = EspMode::tunnel_fixed, .outer = outer}, from(theirs)},
      {"transport", {.selectors = tv_selectors(), .mode = EspMode::transport}, from(theirs)},
      {"VLAN", {.selectors = tv_selectors()}, ethernet(packet_of(from(theirs)), {7})},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    Harness path(learning());
    path.install(one.protection);
    Sender sender(0x10000008, one.protection);
    EXPECT_EQ(path.black(sender.seal(one.frame)).verdict, Verdict::forward);
    EXPECT_EQ(path.red(one.frame).verdict, Verdict::forward);
    EXPECT_EQ(path.black(sender.seal(one.frame)).reason, DropReason::local_source);
    path.advance(2s);
    EXPECT_EQ(path.black(sender.seal(one.frame)).verdict, Verdict::forward);
  }
  // A tag that black changes does not make another source.
  Harness path(learning());
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  path.red(ethernet(packet_of(from(theirs)), {7}));
  EXPECT_EQ(path.black(sender.seal(ethernet(packet_of(from(theirs)), {8}))).reason, DropReason::local_source);
}

TEST(SourceGuard, H18_ASourceThatCannotBeSealedIsAtHomeAllTheSame) {
  Harness path(learning());
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  path.plane().drop_all_outbound();
  EXPECT_EQ(path.red(from(theirs)).reason, DropReason::no_sa);
  EXPECT_EQ(path.black(sender.seal(from(theirs))).reason, DropReason::local_source);
}

TEST(SourceGuard, H18_WhatIsOpenedBearsTheMarkAndWhatBearsItIsNeverSealed) {
  const GroupProtection both{.selectors = {selector("239.1.1.0/24"), selector("ff1e::1:0/112")}};
  for (const Bytes& plain : {from(theirs), ethernet(packet_of(from(theirs)), {7}), udp6_frame(40)}) {
    Harness path(Harness::Options{.path = {.red_mac = {0x0a, 0x53, 0x43, 1, 2, 3}}});
    path.install(both);
    Sender sender(0x10000008, both);
    const Outcome opened = path.black(sender.seal(plain));
    ASSERT_EQ(opened.verdict, Verdict::forward);
    Bytes expected = plain;
    for (std::size_t i = 0; i < 6; ++i)
      expected[6 + i] = std::array<std::uint8_t, 6>{0x0a, 0x53, 0x43, 1, 2, 3}[i];
    EXPECT_EQ(opened.frame, expected) << "all but the sender's address is as it was";
    // Another gateway, one that learns sources as well.
    Harness other(learning());
    other.install(both);
    EXPECT_EQ(other.red(opened.frame).reason, DropReason::gateway_output);
    EXPECT_EQ(other.black(sender.seal(plain)).verdict, Verdict::forward) << "its source is not at home there";
  }
}

TEST(SourceGuard, WithoutLearningOnlyWhatIsConfiguredIsAtHome) {
  Harness path(
      Harness::Options{.path = {.local_red_sources = {*Prefix::parse("10.0.0.0/24")}, .learn_sources = false}});
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  path.red(from(theirs));
  EXPECT_EQ(path.black(sender.seal(from(theirs))).verdict, Verdict::forward);
  EXPECT_EQ(path.black(sender.seal(from("10.0.0.1"))).reason, DropReason::local_red_source);
  EXPECT_EQ(path.dropped(DropReason::source_moved), 0U);
}

// What a host on red can do with addresses that are not its own: hold one source back for as long as it goes on and two
// seconds more; and nothing beyond that with a million of them.
TEST(SourceGuard, SITE2_ForgedSourcesHoldBackNoneButTheForgedAndNoLongerThanTwoSeconds) {
  Harness path(learning());
  path.install_tv();
  Sender sender(0x10000008, tv_selectors());
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    const std::string forged = IpAddress::v4(0x0b000000 + i).text();
    EXPECT_EQ(path.red(from(forged.c_str())).verdict, Verdict::forward);
    if (i % 100 == 0) {
      ASSERT_EQ(path.black(sender.seal(from(theirs))).verdict, Verdict::forward);
      path.advance(1ms);
    }
  }
  const auto lost = path.statistics().events_lost;
  const auto left_out = std::find_if(lost.begin(), lost.end(), [](const auto& one) { return one.reason == "sources"; });
  ASSERT_NE(left_out, lost.end());
  EXPECT_EQ(left_out->packets, 20'000U - 1'200U) << "a thousand at once, and one a millisecond for 200 ms";
  path.advance(1s);
  path.red(from(theirs));
  EXPECT_EQ(path.black(sender.seal(from(theirs))).reason, DropReason::local_source);
  path.advance(2s);
  EXPECT_EQ(path.black(sender.seal(from(theirs))).verdict, Verdict::forward);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
