// What an attacker that was shut out, and can hold back what others send, gains: nothing that a revocation's report
// does not count (H11).
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;

// sender2 was sent SMKE with the active epoch. In variant 1 it sends from its own Finished on, in the others from ours,
// and an attacker that holds back one or the other keeps it from hearing of a newer one.
class H11HeldBack : public GroupStateTest {
 protected:
  void revoke_home_while_sender2_is_joining() {
    first_.emplace(join("sender"));
    const auto home = join("home");
    late_ = given_of(issue("sender2"));
    now_.steady += 100ms;
    revoked_ = "home";
    ASSERT_TRUE(group_->shut_out(now_));
    next_ = pending();
    ASSERT_TRUE(say(*first_, GroupUpdateAck{"tv", next_}));
    ASSERT_EQ(active(), next_);
    ASSERT_TRUE(say(*first_, ActivateAck{"tv", next_}));
  }
  bool complete() const { return group_->exclusion(now_)->complete.has_value(); }

  std::optional<Joined> first_;
  Given late_;
  std::uint64_t next_ = 0;
};

TEST_F(H11HeldBack, ASenderWhoseFinishedIsHeldBackIsWaitedForUntilItsLeaseEnds) {
  revoke_home_while_sender2_is_joining();
  EXPECT_FALSE(complete()) << "sender2 may send under the epoch that home has";
  ASSERT_TRUE(group_->exclusion(now_)->leases_end);
  EXPECT_EQ(group_->switched(now_), late_.epoch) << "the other key servers of a cluster hear the same";
  pass(config_.authority_lease - 200ms);
  EXPECT_FALSE(complete());
  pass(200ms);
  EXPECT_TRUE(complete()) << "its lease runs from before it was sent anything";
}

TEST_F(H11HeldBack, OneThatComesAfterAllIsWaitedForLikeAnyOther) {
  revoke_home_while_sender2_is_joining();
  FakeLink link;
  group_->join(link, identity("sender2"), "10.0.0.1:5", late_, now_);
  EXPECT_THAT(group_->exclusion(now_)->senders_awaited, ElementsAre("sender2"));
  EXPECT_FALSE(complete());
  ASSERT_TRUE(group_->receive(link, ActivateAck{"tv", next_}, now_));
  EXPECT_TRUE(complete());
}

TEST_F(H11HeldBack, WhoOnlyReceivesOrOnlyHasAPendingEpochIsNotWaitedFor) {
  const auto a = join("sender");
  const auto home = join("home");
  const auto receiver = issue("elsewhere");
  ASSERT_EQ(receiver.assignment.slot_count, 0);
  revoked_ = "home";
  ASSERT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  EXPECT_TRUE(complete());
}

// One connection is enough to leave and come back some hundred times a second.
TEST_F(GroupStateTest, H11_H13_WhoLeavesAgainAndAgainDoesNotHoldUpARevocation) {
  config_.rekey_on_leave = true;
  config_.joins_per_minute = 60'000;
  group_->reconfigure(config_, now_);
  const auto a = join("sender");
  const auto spy = join("spy");
  for (int i = 0; i < 50; ++i) {
    const auto b = join("home");
    EXPECT_FALSE(say(b, handshake::Leave{"tv"}));
    pass(10ms);
    if (pending() == 0) continue;
    ASSERT_TRUE(say(spy, GroupUpdateAck{"tv", pending()}));
    ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
    ASSERT_TRUE(say(a, ActivateAck{"tv", active()}));
  }
  ASSERT_EQ(pending(), 0u);
  EXPECT_GT(active(), a.keying.epoch) << "whoever left is shut out all the same";
  revoked_ = "spy";
  ASSERT_TRUE(group_->shut_out(now_));
  EXPECT_NE(pending(), 0u) << "there is room for another epoch";
}

TEST_F(GroupStateTest, H11_TheFirstWhoLeavesIsShutOutAtOnceAndThoseAfterItSoon) {
  config_.rekey_on_leave = true;
  group_->reconfigure(config_, now_);
  const auto a = join("sender");
  for (const auto wait : {0ms, config_.deactivation_delay / 2}) {
    const auto b = join("home");
    const std::uint64_t held = active();
    EXPECT_FALSE(say(b, handshake::Leave{"tv"}));
    pass(wait);
    ASSERT_GT(pending(), held);
    ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  }
}

}  // namespace
}  // namespace sealcast::keyserver
