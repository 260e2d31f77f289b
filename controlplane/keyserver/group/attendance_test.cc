// What an operator sees of a group: members that are there, missing, behind; how the last rekey went.
#include <gmock/gmock.h>

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using ::testing::ElementsAre;

class AttendanceTest : public GroupStateTest {
 protected:
  Attendance attendance(const Elsewhere& elsewhere = {}) const {
    const auto& epochs = group_->epochs();
    return attendance_of(group_->config(), group_->roster(), epochs.empty() ? 0 : epochs.back().number, elsewhere);
  }
};

// O7 of a cluster: what is joined at another key server is not missing here.
TEST_F(AttendanceTest, ByAListThoseThatAreElsewhereAreThereToo) {
  config_.members_by_certificate = false;
  config_.members = {"attic", "home", "sender"};
  start();
  const auto a = join("sender");
  const Attendance all = attendance({{"attic", true}, {"home", false}, {"sender", true}});
  EXPECT_EQ(all.joined, 2u) << "one that is joined twice counts once";
  EXPECT_EQ(all.expected, 3u);
  EXPECT_THAT(all.missing, ElementsAre("home")) << "it was there once";
}

TEST_F(AttendanceTest, ByHoldersThoseOfAllKeyServersAreExpected) {
  start();
  const auto a = join("sender");
  const Attendance all = attendance({{"attic", true}, {"cellar", false}});
  EXPECT_EQ(all.joined, 2u);
  EXPECT_EQ(all.expected, 3u);
  EXPECT_THAT(all.missing, ElementsAre("cellar"));
}

TEST_F(AttendanceTest, ByAListOfNamesWhoIsNotThereIsMissing) {
  config_.members_by_certificate = false;
  config_.members = {"attic", "home", "sender"};
  start();
  const auto a = join("sender");
  auto seen = attendance();
  EXPECT_TRUE(seen.by_list);
  EXPECT_EQ(seen.expected, 3u);
  EXPECT_THAT(seen.missing, ElementsAre("attic", "home"));
  EXPECT_EQ(seen.missing_count, 2u);
  const auto b = join("home");
  EXPECT_THAT(attendance().missing, ElementsAre("attic"));
}

TEST_F(AttendanceTest, WithoutAListHoldersOfALiveEpochAreExpected) {
  const auto a = join("sender");
  const auto b = join("home");
  group_->leave(*b.link, now_);
  auto seen = attendance();
  EXPECT_FALSE(seen.by_list);
  EXPECT_EQ(seen.expected, 2u);
  EXPECT_THAT(seen.missing, ElementsAre("home"));
  // Away for a whole epoch, it is forgotten.
  ASSERT_TRUE(group_->rekey("test", now_).has_value());
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", pending()}).has_value());
  pass(1min);
  EXPECT_EQ(attendance().expected, 1u);
}

TEST_F(AttendanceTest, WhoHasNotTheNewestEpochIsBehind) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_EQ(attendance().behind_count, 0u);
  ASSERT_TRUE(group_->rekey("test", now_).has_value());
  EXPECT_THAT(attendance().behind, ElementsAre("home", "sender"));
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", pending()}).has_value());
  EXPECT_THAT(attendance().behind, ElementsAre("home"));
}

TEST_F(AttendanceTest, ARekeysRecordNamesTheSlowestAndHowLongItTook) {
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

TEST_F(AttendanceTest, ARekeysRecordCountsThoseItDidNotWaitFor) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("asked for", now_).has_value());
  const std::uint64_t epoch = pending();
  ASSERT_TRUE(say(a, handshake::GroupUpdateAck{"tv", epoch}).has_value());
  pass(config_.activation_delay);
  ASSERT_EQ(active(), epoch);
  EXPECT_EQ(group_->last_rekey()->unacknowledged, 1u);
  EXPECT_EQ(group_->last_rekey()->active_after, config_.activation_delay);
  EXPECT_THAT(attendance().behind, ElementsAre("home"));
}

TEST_F(AttendanceTest, H8_SomebodyWhoNoLongerStandsIsNoticedConnectedOrNot) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_FALSE(group_->look_again(now_));
  revoked_ = "home";
  EXPECT_TRUE(group_->look_again(now_));
  group_->leave(*b.link, now_);
  EXPECT_TRUE(group_->look_again(now_)) << "it still holds the epoch";
  EXPECT_TRUE(group_->shut_out(now_));
  EXPECT_FALSE(group_->look_again(now_)) << "asked again and again, it does not rekey again and again";
}

}  // namespace
}  // namespace sealcast::keyserver::testing
