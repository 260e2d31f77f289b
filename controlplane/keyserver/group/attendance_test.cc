// What an operator sees of a group: members that are there, missing, behind; how the last rekey went.
#include <gmock/gmock.h>

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using ::testing::ElementsAre;

TEST_F(GroupStateTest, ByAListOfNamesWhoIsNotThereIsMissing) {
  config_.members_by_certificate = false;
  config_.members = {"attic", "home", "sender"};
  start();
  const auto a = join("sender");
  auto attendance = group_->attendance();
  EXPECT_TRUE(attendance.by_list);
  EXPECT_EQ(attendance.expected, 3u);
  EXPECT_THAT(attendance.missing, ElementsAre("attic", "home"));
  EXPECT_EQ(attendance.missing_count, 2u);
  const auto b = join("home");
  EXPECT_THAT(group_->attendance().missing, ElementsAre("attic"));
}

TEST_F(GroupStateTest, WithoutAListHoldersOfALiveEpochAreExpected) {
  const auto a = join("sender");
  const auto b = join("home");
  group_->leave(*b.link, now_);
  auto attendance = group_->attendance();
  EXPECT_FALSE(attendance.by_list);
  EXPECT_EQ(attendance.expected, 2u);
  EXPECT_THAT(attendance.missing, ElementsAre("home"));
  // Away for a whole epoch, it is forgotten.
  ASSERT_TRUE(group_->rekey("test", now_).has_value());
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", pending()}).has_value());
  pass(1min);
  EXPECT_EQ(group_->attendance().expected, 1u);
}

TEST_F(GroupStateTest, WhoHasNotTheNewestEpochIsBehind) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_EQ(group_->attendance().behind_count, 0u);
  ASSERT_TRUE(group_->rekey("test", now_).has_value());
  EXPECT_THAT(group_->attendance().behind, ElementsAre("home", "sender"));
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", pending()}).has_value());
  EXPECT_THAT(group_->attendance().behind, ElementsAre("home"));
}

TEST_F(GroupStateTest, ARekeysRecordNamesTheSlowestAndHowLongItTook) {
  EXPECT_FALSE(group_->last_rekey().has_value());
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("asked for", now_).has_value());
  const RekeyRecord& record = *group_->last_rekey();
  EXPECT_EQ(record.why, "asked for");
  EXPECT_EQ(record.told, 2u);
  EXPECT_FALSE(record.active_after.has_value());
  pass(100ms);
  ASSERT_TRUE(say(b, handshake::GroupUpdateAck{"tv", pending()}).has_value());
  pass(150ms);
  const std::uint64_t epoch = pending();
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", epoch}).has_value());
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", epoch}).has_value()) << "said twice, counted once";
  ASSERT_EQ(active(), epoch);
  EXPECT_EQ(record.epoch, epoch);
  EXPECT_EQ(record.acknowledged, 2u);
  EXPECT_EQ(record.slowest, "sender");
  EXPECT_EQ(record.slowest_after, 250ms);
  EXPECT_EQ(record.active_after, 250ms);
  EXPECT_EQ(record.unacknowledged, 0u);
}

TEST_F(GroupStateTest, ARekeysRecordCountsThoseItDidNotWaitFor) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("asked for", now_).has_value());
  const std::uint64_t epoch = pending();
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", epoch}).has_value());
  pass(config_.activation_delay);
  ASSERT_EQ(active(), epoch);
  EXPECT_EQ(group_->last_rekey()->unacknowledged, 1u);
  EXPECT_EQ(group_->last_rekey()->active_after, config_.activation_delay);
  EXPECT_THAT(group_->attendance().behind, ElementsAre("home"));
}

TEST_F(GroupStateTest, H8_SomebodyWhoNoLongerStandsIsNoticedConnectedOrNot) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_FALSE(group_->any_holder_invalid(now_));
  revoked_ = "home";
  EXPECT_TRUE(group_->any_holder_invalid(now_));
  group_->leave(*b.link, now_);
  EXPECT_TRUE(group_->any_holder_invalid(now_)) << "it still holds the epoch";
  EXPECT_TRUE(group_->shut_out(now_));
  EXPECT_FALSE(group_->any_holder_invalid(now_)) << "asked again and again, it does not rekey again and again";
}

}  // namespace
}  // namespace sealcast::keyserver::testing
