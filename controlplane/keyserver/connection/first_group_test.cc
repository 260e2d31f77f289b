#include "controlplane/keyserver/connection/first_group.h"

#include "controlplane/keyserver/testing/session_host_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class FirstGroupTest : public SessionHostTest {
 protected:
  void keyed_by_variant(std::uint8_t variant) {
    config_.flow.variant = variant;
    group_->reconfigure(config_, now_);
  }
  // Sender2 is given the active epoch, and its connection ends before it is joined. Then the member "home" is revoked.
  // Whether that is complete with the switch of the one sender that is connected.
  bool revocation_is_complete() {
    const auto sender = join("sender");
    const auto home = join("home");
    EXPECT_TRUE(first_.find_group("tv"));
    EXPECT_TRUE(first_.issue("tv", identity("sender2")));
    first_.give_up();
    revoked_ = "home";
    EXPECT_TRUE(group_->shut_out(now_));
    const std::uint64_t next = pending();
    EXPECT_TRUE(say(sender, GroupUpdateAck{"tv", next}));
    EXPECT_TRUE(say(sender, ActivateAck{"tv", next}));
    return group_->exclusion(now_)->complete.has_value();
  }

  FirstGroup first_{host_, "10.0.0.1:5"};
};

TEST_F(FirstGroupTest, TheHandshakeIsToldHowTheGroupIsKeyed) {
  keyed_by_variant(3);
  EXPECT_EQ(first_.find_group("radio"), std::nullopt);
  const auto flow = first_.find_group("tv");
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->variant, 3);
  EXPECT_EQ(first_.flow(), *flow);
}

TEST_F(FirstGroupTest, WhatWasGivenIsTakenOnceAndInItsGroupOnly) {
  bool looked = false;
  host_.on_resume = [&] { looked = true; };
  const auto keying = first_.issue("tv", identity("sender"));
  ASSERT_TRUE(keying);
  EXPECT_TRUE(looked) << "H9";
  EXPECT_THAT(host_.changed, ElementsAre("tv"));
  EXPECT_FALSE(first_.take("radio"));
  const auto given = first_.take("tv");
  ASSERT_TRUE(given);
  EXPECT_EQ(given->epoch, keying->epoch);
  EXPECT_EQ(given->roles, handshake::sender_and_receiver);
  EXPECT_EQ(given->slots.first, keying->assignment.first_slot);
  EXPECT_EQ(given->slots.count, 1);
  EXPECT_FALSE(first_.take("tv"));
}

TEST_F(FirstGroupTest, ARefusalIsExplainedUnlessTheDetailSaysItAlready) {
  EXPECT_EQ(first_.explained("alert sent"), "alert sent") << "there was none";
  revoked_ = "home";
  const auto refused = first_.issue("tv", identity("home"));
  ASSERT_FALSE(refused);
  EXPECT_FALSE(first_.may_come_again()) << "it lies in the member";
  EXPECT_EQ(first_.explained("alert sent"), "alert sent: certificate revoked");
  EXPECT_EQ(first_.explained("certificate revoked; alert sent"), "certificate revoked; alert sent");
  EXPECT_FALSE(first_.issue("radio", identity("home"))) << "no such group";
}

TEST_F(FirstGroupTest, AMemberThatStandsMayComeAgain) {
  struct Maker final : EpochMaker {
    Result<std::optional<MadeEpoch>> want_epoch(const EpochWish&) override { return std::nullopt; }
    bool installed_here(const std::string&, std::uint64_t) override { return false; }
    bool has_peers() const override { return true; }
    bool switched_elsewhere(const std::string&, std::uint64_t) const override { return true; }
    std::uint64_t highest(const std::string&) const override { return 0; }
  } maker;
  context_.maker = &maker;
  EXPECT_FALSE(first_.issue("tv", identity("sender"))) << "no epoch is there yet";
  EXPECT_TRUE(first_.may_come_again());
}

TEST_F(FirstGroupTest, H11_ASenderThatWillNotJoinIsNotWaitedFor) {
  EXPECT_TRUE(revocation_is_complete());
}

// It sends from its own Finished on, and whatever keeps that from us.
TEST_F(FirstGroupTest, H11_OfVariant1ASenderMaySendWithoutHavingJoined) {
  keyed_by_variant(1);
  EXPECT_FALSE(revocation_is_complete());
}

TEST_F(FirstGroupTest, H7_TheIdentityBearsTheStampOfThePasswordThatWasAccepted) {
  auto peer = identity("anna");
  peer.user = "anna";
  first_.password_accepted("stamp");
  EXPECT_EQ(stamp_of(first_.proved(peer)), "stamp");
  first_.password_refused("too many attempts");
  EXPECT_EQ(first_.explained("access_denied"), "access_denied: too many attempts");
}

TEST_F(FirstGroupTest, ItWaitsForSlotsOfTheGroupThatWasAskedFor) {
  host_.slots = false;
  EXPECT_FALSE(first_.wait_for_slots([] {})) << "none was asked for yet";
  first_.find_group("tv");
  EXPECT_TRUE(first_.wait_for_slots([] {}));
  ASSERT_EQ(host_.waiting.size(), 1u);
  EXPECT_EQ(host_.waiting[0].first, "tv");
}

}  // namespace
}  // namespace sealcast::keyserver::testing
