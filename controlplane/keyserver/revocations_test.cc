// The parts of a key server that need no connection: revocations, clocks, hosted groups.
#include "controlplane/keyserver/revocations.h"

#include <asio/io_context.hpp>

#include "base/testing/manual_loop.h"
#include "controlplane/keyserver/clock_watch.h"
#include "controlplane/keyserver/hosted_groups.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class RevocationsTest : public GroupStateTest {
 protected:
  void revoke(const std::string& member, const std::string& group) {
    ASSERT_TRUE(store_->revoke({member, group, now_.unix_seconds}).has_value());
    ASSERT_TRUE(revocations_.read(*store_).has_value());
  }
  Revocations revocations_;
};

TEST_F(RevocationsTest, H11_ARevocationHoldsInItsGroupOrInAll) {
  revoke("attic", "tv");
  revoke("eve", "");
  EXPECT_TRUE(revocations_.revoked({"home", "attic"}, "tv")) << "any name of the certificate";
  EXPECT_FALSE(revocations_.revoked({"attic"}, "radio"));
  EXPECT_TRUE(revocations_.revoked({"eve"}, "radio"));
  EXPECT_TRUE(revocations_.any_in("radio"));
  EXPECT_FALSE(revocations_.revoked({"home"}, "tv"));
}

TEST_F(RevocationsTest, H11_EachIsFreshOnceUnlessThisProcessActedUponIt) {
  revoke("attic", "tv");
  EXPECT_EQ(revocations_.take_fresh().size(), 1u) << "after a restart: it is not known what the process before did";
  EXPECT_TRUE(revocations_.take_fresh().empty());
  revoke("eve", "");
  revocations_.acted_upon("eve", "");
  EXPECT_TRUE(revocations_.take_fresh().empty());
  revoke("van", "tv");
  ASSERT_EQ(revocations_.take_fresh().size(), 1u);
}

TEST(ClockWatch, H9_AJumpBetweenTheClocksIsNoticedOnceInEitherDirection) {
  std::chrono::nanoseconds difference = 1000s;
  ClockWatch clocks([&] { return difference; });
  EXPECT_FALSE(clocks.jumped());
  difference += ClockWatch::jump;
  EXPECT_FALSE(clocks.jumped()) << "an ordinary correction";
  difference += ClockWatch::jump + 1ms;
  EXPECT_TRUE(clocks.jumped());
  EXPECT_FALSE(clocks.jumped());
  difference -= ClockWatch::jump + 1ms;
  EXPECT_TRUE(clocks.jumped());
}

class HostedGroupsTest : public GroupStateTest {
 protected:
  HostedGroupsTest() { now_.steady = loop_.now(); }
  ~HostedGroupsTest() override { groups_.clear(); }

  sealcast::testing::ManualLoop loop_;
  HostedGroups groups_{loop_, context_, [this] { return now_; }};
};

TEST_F(HostedGroupsTest, ADeadlineIsKeptAfterALookAtTheClocks) {
  config_.epoch_lifetime = 200ms;
  config_.activation_delay = 50ms;
  config_.deactivation_delay = 50ms;
  HostedGroups::Hosted& hosted = groups_.add(config_, "");
  ASSERT_TRUE(hosted.state.issue(identity("home"), "10.0.0.1:5", now_).has_value());
  int looks = 0;
  groups_.before_deadlines([&] {
    ++looks;
    now_.steady = loop_.now();
  });
  groups_.changed(hosted.state);
  loop_.run_for(1min);
  EXPECT_GT(looks, 0);
  EXPECT_TRUE(hosted.state.epochs().empty()) << "its only epoch ended, and there was no member to rekey for";
}

TEST_F(HostedGroupsTest, H11_SendersOfAGroupThatWasRemovedMayGoOnForTheirLease) {
  HostedGroups::Hosted& hosted = groups_.add(config_, "");
  ASSERT_TRUE(hosted.state.issue(identity("sender"), "10.0.0.1:5", now_).has_value());
  groups_.remove_all_but({}, now_);
  EXPECT_EQ(groups_.find("tv"), nullptr);
  EXPECT_EQ(groups_.take_removed("tv"), now_.steady + config_.authority_lease);
  EXPECT_EQ(groups_.take_removed("tv"), std::nullopt) << "once";
}

TEST_F(HostedGroupsTest, ATimerThatFiredOutlivesItsGroupsHarmlessly) {
  auto groups = std::make_unique<HostedGroups>(loop_, context_, [this] { return now_; });
  HostedGroups::Hosted& hosted = groups->add(config_, "");
  ASSERT_TRUE(hosted.state.issue(identity("home"), "10.0.0.1:5", now_).has_value());
  bool asked = false;
  groups->before_deadlines([&] { asked = true; });
  groups->changed(hosted.state);
  groups.reset();
  loop_.run_for(1min);
  EXPECT_FALSE(asked);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
