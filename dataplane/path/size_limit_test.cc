// The size limit by itself: what it does to a packet that is too big, and to those behind it.
#include "dataplane/path/size_limit.h"

#include <gtest/gtest.h>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

constexpr std::uint64_t hz = 1'000'000;

class SizeLimitTest : public ::testing::Test {
 protected:
  SizeLimitTest() {
    settings_.tsc_hz = hz;
    settings_.red_address6 = ip("fe80::99").bytes;
    rules_.mode = EspMode::tunnel_preserve;
  }

  struct Answer {
    Verdict verdict;
    DropReason reason;
    std::uint32_t target;
  };
  Answer exceeded(const Bytes& bytes, std::uint64_t now = hz) {
    BufferedFrame buffered(bytes);
    Frame& frame = buffered.frame;
    frame.verdict = Verdict::drop;
    Packet packet;
    EXPECT_EQ(parse_frame(frame, packet), DropReason::none);
    const DropReason reason = limit_.exceeded(frame, packet, rules_, now);
    return {frame.verdict, reason, frame.target};
  }

  PathSettings settings_;
  Tally tally_{0};
  EpochRules rules_;
  SizeLimit limit_{settings_, tally_};
};

TEST_F(SizeLimitTest, BehindAPacketToBeCutNothingIsSealedUntilTheNextBurst) {
  EXPECT_EQ(limit_.most_bytes(), 1500U);
  const Answer cut = exceeded(udp_frame(1500, may_be_cut()));
  EXPECT_EQ(cut.reason, DropReason::none);
  EXPECT_EQ(cut.verdict, Verdict::fragment);
  EXPECT_EQ(cut.target, largest_inner_bytes(EspMode::tunnel_preserve, 4, 1500));
  EXPECT_EQ(limit_.most_bytes(), 0U);
  EXPECT_EQ(exceeded(udp_frame(100)).verdict, Verdict::fragment) << "it fits as it is, and keeps its place";
  limit_.begin_burst();
  EXPECT_EQ(limit_.most_bytes(), 1500U);
}

TEST_F(SizeLimitTest, WhatMayNotBeCutIsDroppedAndHoldsNothingBack) {
  EXPECT_EQ(exceeded(udp_frame(1500)).reason, DropReason::too_big) << "DF";
  rules_.mode = EspMode::transport;
  EXPECT_EQ(exceeded(udp_frame(1500, may_be_cut())).reason, DropReason::too_big) << "transport mode";
  EXPECT_EQ(limit_.most_bytes(), 1500U);
}

TEST_F(SizeLimitTest, RFC4443_AnswersKeepAPace) {
  int at_once = 0;
  while (exceeded(udp6_frame(1450)).verdict == Verdict::reply)
    ++at_once;
  EXPECT_EQ(at_once, 10);
  EXPECT_EQ(exceeded(udp6_frame(1450), hz + hz / 100).verdict, Verdict::reply) << "a hundred a second";
  EXPECT_EQ(exceeded(udp6_frame(1450), hz + hz / 100).reason, DropReason::too_big);
  EXPECT_EQ(tally_.counters().drops[static_cast<std::size_t>(DropReason::too_big_answered)].get(), 11U);
}

TEST_F(SizeLimitTest, WithoutAnAddressOfItsOwnItAnswersNothing) {
  settings_.red_address6 = {};
  EXPECT_EQ(exceeded(udp6_frame(1450)).reason, DropReason::too_big);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
