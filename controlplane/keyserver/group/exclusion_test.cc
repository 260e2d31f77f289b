// Exclusion by itself (H11): no group, no store, no link. shutting_out_test.cc shows it in a group.
#include "controlplane/keyserver/group/exclusion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ExclusionTest : public ::testing::Test {
 protected:
  // A member is shut out that may hold epochs up to this one.
  void shut_out(std::uint64_t last_known, const std::string& name = "mallory") {
    exclusion_.collect();
    exclusion_.shut_out(name);
    exclusion_.begin(last_known, now_);
  }
  bool complete() const { return exclusion_.progress(group_, now_)->complete.has_value(); }

  Exclusion exclusion_;
  Exclusion::Group group_;
  SteadyTime now_ = SteadyTime() + 1000s;
};

TEST_F(ExclusionTest, ThereIsNoneBeforeTheFirst) {
  EXPECT_FALSE(exclusion_.under_way());
  EXPECT_FALSE(exclusion_.progress(group_, now_));
  EXPECT_FALSE(exclusion_.next_deadline());
  EXPECT_FALSE(exclusion_.senders_go_on_until(now_));
  EXPECT_FALSE(exclusion_.needs_later_than(0));
}

TEST_F(ExclusionTest, H11_ItWaitsForALaterEpochAndForEverySenderToSwitch) {
  group_ = {.senders = {{"a", 5}, {"b", 5}}, .active = 5};
  shut_out(5);
  EXPECT_TRUE(exclusion_.needs_later_than(5));
  EXPECT_FALSE(exclusion_.needs_later_than(6));
  EXPECT_THAT(exclusion_.progress(group_, now_)->senders_awaited, ElementsAre("a", "b"));
  group_.active = 6;
  exclusion_.activated(6, group_.senders, now_ + 60s);
  EXPECT_FALSE(complete());
  group_.senders[0].activated = 6;
  EXPECT_FALSE(exclusion_.sender_switched("a")) << "b has not";
  EXPECT_THAT(exclusion_.progress(group_, now_)->senders_awaited, ElementsAre("b"));
  group_.senders[1].activated = 6;
  EXPECT_TRUE(exclusion_.sender_switched("b")) << "the last";
  now_ += 70ms;
  EXPECT_EQ(exclusion_.completed(group_, now_), 70ms);
  EXPECT_FALSE(exclusion_.completed(group_, now_)) << "said once";
  EXPECT_FALSE(exclusion_.under_way());
}

TEST_F(ExclusionTest, H11_ALaterEpochIsNeededEvenWhereNobodyIsConnected) {
  group_.active = 5;
  shut_out(5);
  EXPECT_FALSE(complete()) << "the next sender to come would be given epoch 5";
  group_.active = 0;
  group_.nobody_sends = true;
  EXPECT_TRUE(complete()) << "no epoch lives";
}

TEST_F(ExclusionTest, H11_WhoHoldsNoEpochReadsNothing) {
  group_ = {.senders = {{"a", 5}}, .active = 5, .switched_elsewhere = false};
  shut_out(0);
  EXPECT_TRUE(complete());
}

TEST_F(ExclusionTest, H11_SendersOfOtherKeyServersAreWaitedFor) {
  group_ = {.senders = {}, .active = 6, .switched_elsewhere = false};
  shut_out(5);
  EXPECT_FALSE(complete());
  group_.switched_elsewhere = true;
  EXPECT_TRUE(complete());
}

TEST_F(ExclusionTest, H11_ASenderThatIsAwayIsWaitedForUntilItsLeaseEnds) {
  exclusion_.sender_left(5, now_ + 60s, now_);
  exclusion_.sender_left(5, now_ + 30s, now_);  // another one; its lease ends earlier
  group_.active = 6;
  shut_out(5);
  EXPECT_EQ(exclusion_.progress(group_, now_)->leases_end, now_ + 60s);
  EXPECT_EQ(exclusion_.next_deadline(), now_ + 60s);
  EXPECT_EQ(exclusion_.earliest_in_use(6, now_), 5u);
  now_ += 60s;
  EXPECT_TRUE(complete());
  EXPECT_EQ(exclusion_.earliest_in_use(6, now_), 6u);
}

TEST_F(ExclusionTest, H11_OneThatLeftUnderALaterEpochIsNotWaitedFor) {
  exclusion_.sender_left(6, now_ + 60s, now_);
  group_.active = 6;
  shut_out(5);
  EXPECT_TRUE(complete());
  EXPECT_EQ(exclusion_.senders_go_on_until(now_), now_ + 60s) << "but it sends";
}

TEST_F(ExclusionTest, H11_OfAnUnknownSenderAnyEpochIsPossible) {
  exclusion_.sender_left(0, now_ + 60s, now_);
  EXPECT_TRUE(exclusion_.unknown_senders_away());
  group_.active = 6;
  shut_out(5);
  EXPECT_FALSE(complete());
  now_ += 60s;
  exclusion_.on_time(now_);
  EXPECT_FALSE(exclusion_.unknown_senders_away());
  EXPECT_TRUE(complete());
}

TEST_F(ExclusionTest, ALeaseThatIsOverIsNone) {
  exclusion_.sender_left(5, now_, now_);
  EXPECT_FALSE(exclusion_.senders_go_on_until(now_));
}

// What a member sends that is shut out alone, only itself must not read: and it knows it anyway.
TEST_F(ExclusionTest, H11_ASenderShutOutAloneIsNotWaitedFor) {
  exclusion_.collect();
  exclusion_.shut_out("mallory");
  exclusion_.sender_shut_out("mallory", 5, now_ + 60s, now_);
  exclusion_.begin(5, now_);
  group_.active = 6;
  EXPECT_TRUE(complete());
  EXPECT_EQ(exclusion_.senders_go_on_until(now_), now_ + 60s) << "the next exclusion may be about others as well";
}

TEST_F(ExclusionTest, H11_OneShutOutTogetherWithOthersIs) {
  exclusion_.collect();
  exclusion_.shut_out("mallory");
  exclusion_.sender_shut_out("mallory", 5, now_ + 60s, now_);
  exclusion_.shut_out_unknown();
  exclusion_.begin(5, now_);
  group_.active = 6;
  EXPECT_FALSE(complete());
  EXPECT_EQ(exclusion_.progress(group_, now_)->leases_end, now_ + 60s);
}

TEST_F(ExclusionTest, H11_ASecondExclusionWhileOneIsUnderWayIsAboutBoth) {
  exclusion_.sender_shut_out("mallory", 5, now_ + 60s, now_);
  shut_out(5);
  shut_out(4, "eve");
  EXPECT_EQ(exclusion_.last_known(), 5u) << "mallory still holds it";
  group_.active = 6;
  EXPECT_FALSE(complete()) << "eve reads what mallory sends";
}

TEST_F(ExclusionTest, H11_AfterOneThatIsCompleteTheNextIsAboutItselfAlone) {
  shut_out(5, "eve");
  group_.active = 6;
  ASSERT_TRUE(exclusion_.completed(group_, now_));
  exclusion_.sender_shut_out("mallory", 6, now_ + 60s, now_);
  shut_out(6);
  group_.active = 7;
  EXPECT_TRUE(complete());
}

TEST_F(ExclusionTest, H11_ASenderThatHasNotJoinedYetCountsFromItsGrant) {
  exclusion_.sender_joining("10.0.0.1:5", "late", 5, now_ + 60s, now_);
  group_.active = 6;
  shut_out(5);
  EXPECT_FALSE(complete()) << "it may begin to send with our Finished";
  exclusion_.sender_joined("10.0.0.1:5");
  EXPECT_TRUE(complete()) << "from then on it is one of group_.senders";
}

TEST_F(ExclusionTest, H13_ManyThatDoNotJoinCountTogether) {
  for (int i = 0; i < 5000; ++i)
    exclusion_.sender_joining("10.0.0.1:" + std::to_string(i), "late", 5, now_ + 60s, now_);
  for (int i = 0; i < 4096; ++i)
    exclusion_.sender_joined("10.0.0.1:" + std::to_string(i));
  group_.active = 6;
  shut_out(5);
  EXPECT_FALSE(complete()) << "those beyond 4096 are still waited for";
  now_ += 60s;
  EXPECT_TRUE(complete());
}

TEST_F(ExclusionTest, H11_WhoDoesNotSwitchInTimeIsNamedOnce) {
  group_ = {.senders = {{"a", 6}, {"b", 5}}, .active = 6};
  shut_out(5);
  exclusion_.activated(6, group_.senders, now_ + 60s);
  EXPECT_THAT(exclusion_.overdue(group_, now_ + 59s), IsEmpty());
  EXPECT_EQ(exclusion_.next_deadline(), now_ + 60s);
  EXPECT_THAT(exclusion_.overdue(group_, now_ + 60s), ElementsAre("b"));
  EXPECT_THAT(exclusion_.overdue(group_, now_ + 61s), IsEmpty());
}

TEST_F(ExclusionTest, AnEpochThatThoseShutOutHoldSetsNoTerm) {
  group_ = {.senders = {{"a", 4}}, .active = 5};
  shut_out(5);
  exclusion_.activated(5, group_.senders, now_ + 60s);
  EXPECT_FALSE(exclusion_.next_deadline());
}

TEST_F(ExclusionTest, SendersThatAreGoneNeedNotSwitch) {
  exclusion_.activated(6, {{"a", 5}, {"b", 5}}, now_ + 60s);
  exclusion_.sender_gone("a");
  EXPECT_TRUE(exclusion_.sender_switched("b"));
  EXPECT_FALSE(exclusion_.sender_switched("b")) << "nor twice";
}

TEST_F(ExclusionTest, H11_ConnectionsAreForgottenAndLeasesAreNot) {
  exclusion_.sender_left(5, now_ + 60s, now_);
  exclusion_.sender_joining("10.0.0.1:5", "late", 5, now_ + 90s, now_);
  shut_out(5);
  exclusion_.activated(6, {{"a", 5}}, now_ + 10s);
  exclusion_.forget_connections();
  EXPECT_EQ(exclusion_.senders_go_on_until(now_), now_ + 60s);
  EXPECT_EQ(exclusion_.next_deadline(), now_ + 60s);
  EXPECT_FALSE(exclusion_.sender_switched("a"));
}

}  // namespace
}  // namespace sealcast::keyserver
