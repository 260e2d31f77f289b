#include "dataplane/path/tally.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace sealcast::dataplane {
namespace {

std::uint64_t counted(const Tally& tally, DropReason reason) {
  return tally.counters().drops[static_cast<std::size_t>(reason)].get();
}

TEST(Tally, ADroppedFrameHasItsVerdictAndIsCountedOnce) {
  Tally tally(0);
  Frame frame;
  frame.verdict = Verdict::forward;
  tally.drop(frame, DropReason::replay, Side::black);
  EXPECT_EQ(frame.verdict, Verdict::drop);
  EXPECT_EQ(frame.reason, DropReason::replay);
  EXPECT_EQ(counted(tally, DropReason::replay), 1U);
  EXPECT_EQ(counted(tally, DropReason::bad_tag), 0U);
}

TEST(Tally, SamplesCarryTheSideAndStopWhereTheGrantEnds) {
  Tally tally(0);
  Frame frame;
  tally.drop(frame, DropReason::replay, Side::black);
  tally.sampler().grant(1);
  tally.drop(frame, DropReason::no_sa, Side::red);
  tally.drop(frame, DropReason::no_sa, Side::red);
  DropSample sample;
  ASSERT_TRUE(tally.sampler().pop(sample));
  EXPECT_EQ(sample.side, Side::red);
  EXPECT_EQ(sample.reason, DropReason::no_sa);
  EXPECT_FALSE(tally.sampler().pop(sample));
}

TEST(Tally, AChargeCountsForTheSaAloneAndNoneNowhere) {
  Tally tally(0);
  tally.stock().refill();
  SealingSa sa;
  EXPECT_EQ(tally.charge(sa, DropReason::none), DropReason::none);
  EXPECT_EQ(tally.charge(sa, DropReason::too_big), DropReason::too_big);
  EXPECT_EQ(sa.drops.get(DropReason::too_big), 1U);
  EXPECT_EQ(sa.drops.get(DropReason::none), 0U);
  EXPECT_EQ(counted(tally, DropReason::too_big), 0U) << "drop() or count() does that";
}

TEST(Tally, AGroupIsChargedAtThePlaceOfThisWorker) {
  Tally tally(1);
  tally.stock().refill();
  const auto places = std::make_unique<DropSlot[]>(4);  // two groups, two workers
  Snapshot snapshot;
  snapshot.workers = 2;
  snapshot.group_drops = std::make_shared<const std::vector<DropSlot*>>(std::vector<DropSlot*>{&places[0], &places[2]});
  EXPECT_EQ(tally.charge_group(snapshot, 1, DropReason::no_sa), DropReason::no_sa);
  for (std::size_t i = 0; i < 4; ++i)
    EXPECT_EQ(places[i].get(DropReason::no_sa), i == 3 ? 1U : 0U) << i;
}

TEST(Tally, ADropWithoutStockIsChargedToNoOwner) {
  Tally tally(0);
  SealingSa sa;
  tally.charge(sa, DropReason::too_big);
  EXPECT_EQ(sa.drops.get(DropReason::too_big), 0U);
  EXPECT_EQ(tally.stock().unattributed(), 1U);
}

TEST(Tally, PassedPacketsAreCountedByKind) {
  Tally tally(0);
  tally.sealed(3);
  tally.opened(2);
  tally.parked();
  tally.bypassed(60);
  tally.bypassed(40);
  EXPECT_EQ(tally.counters().sealed.get(), 3U);
  EXPECT_EQ(tally.counters().opened.get(), 2U);
  EXPECT_EQ(tally.counters().parked.get(), 1U);
  EXPECT_EQ(tally.counters().bypassed.get(), 2U);
  EXPECT_EQ(tally.counters().bypassed_bytes.get(), 100U);
}

}  // namespace
}  // namespace sealcast::dataplane
