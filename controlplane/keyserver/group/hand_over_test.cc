// A hand-over and the schedule of rekeys by themselves. group_hand_over_test.cc shows them in a group.
#include "controlplane/keyserver/group/hand_over.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/keyserver/group/rekey_schedule.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime at_start{1000s};

TEST(HandOver, IsCompleteWhenAllHaveAcknowledged) {
  HandOver hand_over;
  EXPECT_FALSE(hand_over.is_complete(at_start));
  hand_over.begin(7, at_start + 2s);
  hand_over.await("home");
  hand_over.await("studio");
  EXPECT_EQ(hand_over.due(), at_start + 2s);
  hand_over.acknowledged("home", 7, at_start);
  hand_over.acknowledged("studio", 6, at_start);  // another epoch
  EXPECT_FALSE(hand_over.is_complete(at_start));
  hand_over.no_longer_await("studio");
  EXPECT_TRUE(hand_over.is_complete(at_start));
  EXPECT_TRUE(hand_over.report());
  EXPECT_FALSE(hand_over.report()) << "once";
  EXPECT_EQ(hand_over.due(), std::nullopt);
}

TEST(HandOver, DoesNotEndBeforeItsTimeHoweverSoonAllHaveIt) {
  HandOver hand_over;
  hand_over.begin(7, at_start + 2s);
  hand_over.not_before(at_start + 5s);
  EXPECT_FALSE(hand_over.is_complete(at_start + 4s));
  EXPECT_EQ(hand_over.due(), at_start + 5s);
  EXPECT_TRUE(hand_over.is_complete(at_start + 5s));
}

TEST(HandOver, OnlyItsOwnEpochEndsIt) {
  HandOver hand_over;
  hand_over.begin(7, at_start);
  EXPECT_FALSE(hand_over.end(6));
  EXPECT_TRUE(hand_over.under_way());
  EXPECT_TRUE(hand_over.end(7));
  EXPECT_EQ(hand_over.epoch(), 0u);
}

TEST(HandOver, AfterARestartItWaitsForMembersToReturnUnlessNoSenderGoesOn) {
  HandOver hand_over;
  hand_over.begin(7, at_start + 2s);
  hand_over.await("home");
  EXPECT_FALSE(hand_over.may_shorten()) << "nothing waits for a return";
  hand_over.wait_for_return(at_start + 16s);
  EXPECT_TRUE(hand_over.may_shorten());
  hand_over.shorten(at_start + 3s);
  EXPECT_EQ(hand_over.due(), at_start + 3s);
  hand_over.sender_goes_on(7);
  EXPECT_EQ(hand_over.due(), at_start + 3s) << "that is no earlier epoch";
  hand_over.sender_goes_on(6);
  EXPECT_EQ(hand_over.due(), at_start + 16s);
  EXPECT_FALSE(hand_over.may_shorten());
}

TEST(HandOver, H11_ARevocationEndsTheWaitForAReturn) {
  HandOver hand_over;
  hand_over.stop_waiting_for_return(at_start);  // none is under way
  hand_over.begin(7, at_start + 2s);
  hand_over.await("home");
  hand_over.wait_for_return(at_start + 16s);
  hand_over.stop_waiting_for_return(at_start + 1s);
  hand_over.sender_goes_on(6);
  EXPECT_EQ(hand_over.due(), at_start + 1s);
}

TEST(HandOver, TheRecordTellsWhichMemberWasSlowestAndHowManyWereMissing) {
  HandOver hand_over;
  hand_over.begin(7, at_start + 2s);
  hand_over.await("home");
  hand_over.await("studio");
  hand_over.await("attic");
  hand_over.record(7, "asked for", at_start, 3);
  hand_over.acknowledged("home", 7, at_start + 10ms);
  hand_over.acknowledged("studio", 7, at_start + 30ms);
  EXPECT_EQ(hand_over.record_active(6, 0, at_start + 2s), nullptr);
  const RekeyRecord& record = *hand_over.record_active(7, 1, at_start + 2s);
  EXPECT_EQ(record.acknowledged, 2u);
  EXPECT_EQ(record.slowest, "studio");
  EXPECT_EQ(record.slowest_after, 30ms);
  EXPECT_EQ(record.active_after, 2000ms);
  EXPECT_EQ(record.unacknowledged, 1u);
  EXPECT_EQ(hand_over.last()->why, "asked for");
}

TEST(RekeySchedule, SlotsAskNotMoreOftenThanThePause) {
  HandOver hand_over;
  RekeySchedule schedule(hand_over);
  schedule.begun(at_start, at_start + 1h);
  schedule.soon(at_start + 1s, "slots");
  EXPECT_EQ(schedule.next(), at_start + RekeySchedule::least_pause);
  schedule.soon(at_start + 20s, "volume");
  EXPECT_EQ(schedule.next(), at_start + RekeySchedule::least_pause) << "never later than it was";
  EXPECT_STREQ(schedule.why(), "slots") << "what made it due first";
  schedule.clear();
  schedule.again(at_start + 30s);
  EXPECT_STREQ(schedule.why(), "slots") << "it is tried again for the same reason";
  schedule.begun(at_start + 30s, at_start + 2h);
  EXPECT_STREQ(schedule.why(), "lifetime");
}

TEST(RekeySchedule, WaitsForTheHandOverAndForgetsWhatSlotsAskMeanwhile) {
  HandOver hand_over;
  RekeySchedule schedule(hand_over);
  schedule.begun(at_start, at_start + 1h);
  hand_over.begin(7, at_start + 2s);
  schedule.soon(at_start + 20s, "volume");
  EXPECT_EQ(schedule.next(), std::nullopt);
  EXPECT_FALSE(schedule.is_due(at_start + 2h));
  hand_over.drop();
  EXPECT_EQ(schedule.next(), at_start + 1h);
  EXPECT_TRUE(schedule.is_due(at_start + 1h));
}

TEST(RekeySchedule, MembersThatLeaveOneAfterTheOtherShareAnEpoch) {
  HandOver hand_over;
  RekeySchedule schedule(hand_over);
  schedule.begun(at_start, at_start + 1h);
  schedule.for_leave(at_start + 1s, 5s);
  EXPECT_EQ(schedule.next(), at_start + 5s);
  schedule.for_leave(at_start + 1s, 0s);
  EXPECT_EQ(schedule.next(), at_start + 1s);
  EXPECT_STREQ(schedule.why(), "a member left");
}

}  // namespace
}  // namespace sealcast::keyserver
