// Which members are shut out of a group, and when that is complete (H8, H11).
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;

TEST_F(GroupStateTest, H8_H11_CertificatesAreCheckedAgainAtEveryRekey) {
  const auto a = join("sender");
  const auto b = join("home");
  revoked_ = "home";
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_THAT(b.link->take(), ElementsAre("revoked", "dismissed: revoked"));
  EXPECT_EQ(b.link->reason, "the certificate is not good any more");
  EXPECT_TRUE(b.link->premaster.is_zero()) << "the revoked never sees the next epoch";
  EXPECT_EQ(group_->members().count("home"), 0u);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  EXPECT_EQ(pending(), 0u) << "and is not awaited";
}

TEST_F(GroupStateTest, H11_ReconfigurationShutsOutAndRekeysAtOnce) {
  const auto a = join("sender");
  const auto b = join("home");
  config_.members_by_certificate = false;
  config_.members = {"sender"};
  group_->reconfigure(config_, now_);
  EXPECT_THAT(b.link->take(), ElementsAre("revoked", "dismissed: revoked"));
  ASSERT_NE(pending(), 0u);
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", pending())));
}

// A peer that SMKE was sent to holds the epoch, connected or not: it must not escape by being away during the reload.
TEST_F(GroupStateTest, H3_H11_AHolderThatIsNotConnectedIsShutOutToo) {
  const auto a = join("sender");
  const auto b = join("home");
  group_->leave(*b.link, now_);
  group_->reconfigure(config_, now_);
  EXPECT_EQ(pending(), 0u) << "nobody was shut out";
  revoked_ = "home";
  group_->reconfigure(config_, now_);
  const std::uint64_t next = pending();
  ASSERT_NE(next, 0u) << "what is sent from now on must not be readable for it";
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", next)));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  group_->reconfigure(config_, now_);
  EXPECT_EQ(pending(), 0u) << "the new epoch it never got: one rekey is enough";
}

TEST_F(GroupStateTest, H8_H11_AHandshakeUnderWayDuringARevocationEndsWithoutMembership) {
  const auto a = join("sender");
  const auto late = issue("home");  // SMKE left, its Finished is held back
  revoked_ = "home";
  group_->reconfigure(config_, now_);
  const std::uint64_t next = pending();
  ASSERT_NE(next, 0u) << "it holds the epoch (H3)";
  FakeLink link;
  group_->join(link, identity("home"), "10.0.0.1:5", given_of(late), now_);
  EXPECT_THAT(link.take(), ElementsAre("revoked", "dismissed: revoked"));
  EXPECT_TRUE(link.premaster.is_zero()) << "the next epoch's secret must not go to it";
  EXPECT_EQ(group_->members().count("home"), 0u);
  EXPECT_EQ(group_->members().count("sender"), 1u);
}

// A connection opened before a reload runs its handshake with the trust store of then.
TEST_F(GroupStateTest, H8_H11_NothingIsIssuedToWhoIsRevokedByNow) {
  const auto a = join("sender");
  revoked_ = "home";
  const auto refused = group_->issue(identity("home"), "10.0.0.1:5", now_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("certificate revoked"));
}

TEST_F(GroupStateTest, H11_WhoJoinsTheActiveEpochCountsAsSwitched) {
  const auto a = join("sender");
  EXPECT_EQ(group_->members().at("sender").activated, a.keying.epoch);
  now_.unix_seconds += 5;
  start();
  const auto again = join("sender");
  EXPECT_EQ(again.keying.state, EpochState::pending);
  EXPECT_EQ(group_->members().at("sender").activated, 0u) << "it goes on under the older epoch until Activate";
}

// What "complete" has to mean: nothing is sent any more that those shut out can read.
TEST_F(GroupStateTest, H11_ARevocationIsCompleteWhenEverySenderHasSwitched) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(group_->exclusion(now_).has_value());
  EXPECT_FALSE(group_->exclusion(now_)->complete);
  now_.steady += 50ms;
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), next);
  EXPECT_THAT(group_->exclusion(now_)->senders_awaited, ElementsAre("sender", "sender2"));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  EXPECT_THAT(group_->exclusion(now_)->senders_awaited, ElementsAre("sender2"));
  EXPECT_FALSE(group_->exclusion(now_)->complete);
  now_.steady += 20ms;
  ASSERT_TRUE(say(b, ActivateAck{"tv", next}));
  ASSERT_TRUE(group_->exclusion(now_)->complete);
  EXPECT_EQ(*group_->exclusion(now_)->complete - group_->exclusion(now_)->since, 70ms);
}

TEST_F(GroupStateTest, H11_ASenderThatIsAwayIsWaitedForUntilItsLeaseEnds) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  group_->leave(*b.link, now_);
  pass(10s);
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  const auto so_far = group_->exclusion(now_);
  EXPECT_FALSE(so_far->complete);
  ASSERT_TRUE(so_far->leases_end);
  EXPECT_EQ(*so_far->leases_end - now_.steady, config_.authority_lease - 10s);
  pass(config_.authority_lease - 10s - 1ms);
  EXPECT_FALSE(group_->exclusion(now_)->complete);
  pass(1ms);
  EXPECT_TRUE(group_->exclusion(now_)->complete) << "noticed by itself, when it is due";
}

TEST_F(GroupStateTest, H11_ASenderThatDoesNotSwitchLosesItsConnectionAndThenItsLease) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  b.link->take();
  pass(config_.authority_lease - 1ms);
  EXPECT_EQ(group_->members().count("sender2"), 1u);
  pass(1ms);
  EXPECT_EQ(group_->members().count("sender2"), 0u);
  EXPECT_THAT(b.link->take(), ::testing::Contains("dismissed: it did not switch to the new epoch in time"));
  EXPECT_FALSE(group_->exclusion(now_)->complete);
  pass(config_.authority_lease);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
  EXPECT_EQ(group_->members().count("sender"), 1u);
}

// Whether Revoked reaches it is not known: those shut out with it could read what it sends meanwhile.
TEST_F(GroupStateTest, H11_ASenderThatIsShutOutItselfMayGoOnForItsLease) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  context_.recheck = [](const auto& member, const auto&, auto, auto) {
    return member.name == "sender" ? Verdict() : Verdict{Standing::shut_out, "all but one"};
  };
  EXPECT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  ASSERT_FALSE(group_->exclusion(now_)->complete);
  ASSERT_TRUE(group_->exclusion(now_)->leases_end);
  EXPECT_EQ(*group_->exclusion(now_)->leases_end - now_.steady, config_.authority_lease);
  pass(config_.authority_lease);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

TEST_F(GroupStateTest, H11_ASenderShutOutAloneIsNotWaitedForButByWhoIsShutOutWhileItsLeaseRuns) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  const auto switch_both = [&] {
    for (const auto* member : {&a, &c}) {
      const std::uint64_t next = pending() ? pending() : active();
      if (group_->members().count("home") == 0 && member == &c) continue;
      ASSERT_TRUE(say(*member, GroupUpdateAck{"tv", next}));
    }
    ASSERT_TRUE(say(a, ActivateAck{"tv", active()}));
  };
  revoked_ = "sender2";
  EXPECT_TRUE(group_->shut_out(now_));
  switch_both();
  EXPECT_TRUE(group_->exclusion(now_)->complete) << "what it sends itself it knows";
  pass(20s);
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  switch_both();
  ASSERT_FALSE(group_->exclusion(now_)->complete) << "it has the epoch under which the other may go on";
  EXPECT_EQ(*group_->exclusion(now_)->leases_end - now_.steady, config_.authority_lease - 20s);
  pass(config_.authority_lease - 20s);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

TEST_F(GroupStateTest, H11_ASenderThatOnlyReceivesFromTheNextEpochOnIsAwaitedToo) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  config_.senders = {"sender"};
  group_->reconfigure(config_, now_);
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  EXPECT_EQ(b.link->slots, 0u);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  ASSERT_FALSE(group_->exclusion(now_)->complete) << "until Activate it sends under the old epoch";
  EXPECT_THAT(group_->exclusion(now_)->senders_awaited, ElementsAre("sender2"));
  ASSERT_TRUE(say(b, ActivateAck{"tv", next}));
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

// What the log says of other members, files and lists is not the member's business.
TEST_F(GroupStateTest, H14_WhoIsShutOutIsToldOneOfAFewFixedTexts) {
  const auto told = [&](const std::function<void()>& change) {
    const auto member = join("home");
    const auto before = context_;
    change();
    group_->reconfigure(config_, now_);
    const std::string reason = member.link->reason;
    context_ = before;
    revoked_.clear();
    config_.members = {"home"};
    group_->reconfigure(config_, now_);
    return reason;
  };
  config_.members_by_certificate = false;
  config_.members = {"home"};
  group_->reconfigure(config_, now_);
  EXPECT_EQ(told([&] { revoked_ = "home"; }), "the certificate is not good any more");
  EXPECT_EQ(told([&] { config_.members = {"attic"}; }), "this member is not among the group's any more");
  EXPECT_EQ(told([&] { context_.revoked = [](const auto&, const auto&) { return true; }; }),
            "an operator revoked this member");
}

TEST_F(GroupStateTest, H11_ARevocationDuringAHandOverIsTheReasonOfTheNextRekey) {
  const auto a = join("sender");
  const auto c = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  pass(0ms);
  ASSERT_NE(pending(), 0u);
  EXPECT_EQ(group_->last_rekey()->why, "revocation");
}

TEST_F(GroupStateTest, H11_DuringAHandOverTheNextRekeyFollowsAtOnceBecauseItsEpochIsKnownToo) {
  const auto a = join("sender");
  const auto c = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t known = pending();
  revoked_ = "home";
  EXPECT_TRUE(group_->shut_out(now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", known}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", known}));
  EXPECT_FALSE(group_->exclusion(now_)->complete) << "whoever was shut out holds this epoch";
  pass(0ms);
  const std::uint64_t next = pending();
  ASSERT_GT(next, known);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

TEST_F(GroupStateTest, H11_WithNobodyToShutOutNothingHappens) {
  const auto a = join("sender");
  revoked_ = "stranger";
  EXPECT_FALSE(group_->shut_out(now_));
  EXPECT_FALSE(group_->exclusion(now_).has_value());
  EXPECT_EQ(pending(), 0u);
}

TEST_F(GroupStateTest, H11_AfterARestartSendersNotSeenYetMayGoOnForALease) {
  context_.started = now_.steady;
  now_.steady += 20s;
  revoked_ = "home";
  EXPECT_FALSE(group_->shut_out(now_)) << "this process gave it nothing";
  ASSERT_TRUE(group_->exclusion(now_).has_value());
  EXPECT_EQ(*group_->exclusion(now_)->leases_end - now_.steady, config_.authority_lease - 20s);
  pass(config_.authority_lease - 20s);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

// The revoked got nothing from this process, so its epochs need not be given up for it.
TEST_F(GroupStateTest, H11_AfterARestartWhoWasNotThereSinceIsShutOutWithoutARekey) {
  context_.started = now_.steady;
  const auto a = join("sender");
  const std::uint64_t first = active();
  revoked_ = "home";
  EXPECT_FALSE(group_->shut_out(now_));
  EXPECT_FALSE(group_->exclusion(now_)->complete);
  pass(config_.authority_lease);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
  EXPECT_EQ(active(), first);
  EXPECT_EQ(pending(), 0u);
}

TEST_F(GroupStateTest, H11_WhoBeginsAnewWaitsForTheLeasesOfThoseItForgot) {
  const auto a = join("sender");
  const auto b = join("home");
  group_->begin_anew("resumed", now_);
  now_.steady += 5s;
  revoked_ = "home";
  EXPECT_FALSE(group_->shut_out(now_)) << "it is forgotten";
  ASSERT_TRUE(group_->exclusion(now_).has_value());
  EXPECT_FALSE(group_->exclusion(now_)->complete) << "but the sender may go on under what it knows";
  EXPECT_EQ(*group_->exclusion(now_)->leases_end - now_.steady, config_.authority_lease - 5s);
  pass(config_.authority_lease - 5s);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
}

}  // namespace
}  // namespace sealcast::keyserver
