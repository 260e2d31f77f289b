// One group from epoch to epoch: make-before-break, restarts, ends.
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;

TEST_F(GroupStateTest, MakeBeforeBreakInOrder) {
  const auto a = join("sender");
  const auto b = join("home");
  const std::uint64_t old = a.keying.epoch;
  EXPECT_THAT(a.link->take(), IsEmpty());
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_GT(next, old);
  for (const auto* member : {&a, &b}) {
    EXPECT_THAT(member->link->take(), ElementsAre(word("update", next)));
    EXPECT_EQ(member->link->update_state, EpochState::pending);
  }
  EXPECT_EQ(a.link->slots, 1);
  EXPECT_EQ(b.link->slots, 0);
  EXPECT_TRUE(a.link->premaster.equals(b.link->premaster));
  EXPECT_FALSE(a.link->premaster.equals(a.keying.premaster)) << "a new secret";

  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  EXPECT_THAT(a.link->take(), IsEmpty()) << "one is still missing";
  EXPECT_FALSE(group_->rekey("test", now_).has_value()) << "one hand-over at a time";
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", next}));
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next)));
  EXPECT_THAT(b.link->take(), ElementsAre(word("activate", next)));
  EXPECT_EQ(active(), next);
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  EXPECT_EQ(group_->members().at("sender").activated, next);

  pass(config_.deactivation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty()) << "receivers keep the old epoch for deactivation_delay";
  pass(1ms);
  EXPECT_THAT(a.link->take(), ElementsAre(word("retire", old)));
  EXPECT_THAT(b.link->take(), ElementsAre(word("retire", old)));
  EXPECT_EQ(group_->epochs().size(), 1u);
}

// Else its first packets would come before their key.
TEST_F(GroupStateTest, AReceiverIsToldOfEverySlotOfTheNextEpochWhoeverIsToldFirst) {
  const auto first = join("attic");
  const auto sender = join("sender");
  const auto last = join("van");
  ASSERT_TRUE(group_->rekey("test", now_));
  for (const auto* member : {&first, &sender, &last}) {
    EXPECT_THAT(member->link->take(), ElementsAre(word("update", pending())));
    EXPECT_EQ(member->link->slots_used, 1);
  }
}

TEST_F(GroupStateTest, ActivationDoesNotWaitForTheSilentLongerThanItsDelay) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  a.link->take();
  pass(config_.activation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next)));
}

// The key server has one thread: a rekey of all members must not keep it from everything else (keepalives, joins).
TEST_F(GroupStateTest, H13_DOS1_ARekeyOfManyMembersTakesOneCommit) {
  std::vector<Joined> members;
  for (int i = 0; i < 50; ++i)
    members.push_back(join("member " + std::to_string(i)));
  const auto write_calls = [] {  // of this process, so far
    std::ifstream io("/proc/self/io");
    std::string word;
    std::uint64_t count = 0;
    while (io >> word)
      if (word == "syscw:") io >> count;
    return count;
  };
  const std::uint64_t before = write_calls();
  ASSERT_GT(before, 0u);
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_LT(write_calls() - before, 100u) << "one commit each would be several writes a member";
  for (const Joined& member : members)
    EXPECT_THAT(member.link->said, ElementsAre(word("update", pending())));
}

TEST_F(GroupStateTest, H9_ARekeyThatCannotBeNotedTellsNobodyAndIsTriedAgain) {
  const auto a = join("sender");
  // The epoch is noted, its slots are not: the premaster is drawn in between, and then the rekey finds no batch to
  // open.
  random_.on_fill = [this] { EXPECT_TRUE(store_->begin_batch()); };
  const auto refused = group_->rekey("test", now_);
  EXPECT_FALSE(refused.has_value());
  EXPECT_THAT(a.link->take(), IsEmpty());
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(active(), a.keying.epoch);
  EXPECT_FALSE(group_->handing_over());
  random_.on_fill = nullptr;
  ASSERT_TRUE(store_->end_batch());
  pass(config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay);
  EXPECT_GT(pending(), a.keying.epoch) << "in time before the present epoch ends";
  revoked_ = "sender";
  group_->reconfigure(config_, now_);
  EXPECT_THAT(a.link->take(), ::testing::Contains("revoked"));
}

TEST_F(GroupStateTest, AMemberThatLeavesIsNotAwaited) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  const std::uint64_t next = pending();
  group_->leave(*b.link, now_);
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, JoiningDuringARekeyGivesTheActiveEpochAndThePendingOneAtOnce) {
  const auto a = join("sender");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  const auto c = join("sender2");
  EXPECT_EQ(c.keying.epoch, a.keying.epoch);
  EXPECT_EQ(c.keying.state, EpochState::active);
  EXPECT_THAT(c.link->take(), ElementsAre(word("update", next)));
  EXPECT_NE(c.link->first_slot, a.link->first_slot);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), a.keying.epoch) << "the newcomer is awaited too";
  ASSERT_TRUE(say(c, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, WhatHappenedBetweenSmkeAndFinishedIsCaughtUpOn) {
  const auto a = join("sender");
  const GroupKeying smke = issue("home");  // SMKE left, Finished has yet to come
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_EQ(active(), next);
  FakeLink late;
  group_->join(late, identity("home"), "10.0.0.1:5", given_of(smke), now_);
  EXPECT_THAT(late.take(), ElementsAre(word("update", next), word("activate", next)));
}

TEST_F(GroupStateTest, SendersKeepAsManySlotsAsTheyHaveCores) {
  const auto a = join("sender");
  ASSERT_TRUE(say(a, SlotRequest{"tv", a.keying.epoch, 4}));
  EXPECT_THAT(a.link->take(), ElementsAre("grant 1+4 of 5"));
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_EQ(a.link->slots, 4);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  pass(1min);
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_EQ(a.link->slots, 4) << "it neither grows nor shrinks from epoch to epoch";
}

TEST_F(GroupStateTest, LEASE1_ALongerLeaseCountsOnlyWhenNoEpochHasTheShorterOne) {
  const auto a = join("sender");
  EXPECT_EQ(group_->shortest_lease(), 60s);
  config_.authority_lease = 600s;
  group_->reconfigure(config_, now_);
  EXPECT_EQ(group_->shortest_lease(), 60s) << "senders of the present epoch stop after 60 s of silence";
  ASSERT_TRUE(group_->rekey("test", now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  pass(config_.deactivation_delay);
  EXPECT_EQ(group_->shortest_lease(), 600s);
  config_.authority_lease = 20s;
  group_->reconfigure(config_, now_);
  EXPECT_EQ(group_->shortest_lease(), 20s);
}

TEST_F(GroupStateTest, WhoseEpochEndedBeforeItsFinishedGetsANewOne) {
  const auto late = issue("sender");
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_THAT(group_->epochs(), IsEmpty()) << "nobody was a member";
  FakeLink link;
  group_->join(link, identity("sender"), "10.0.0.1:5", given_of(late), now_);
  const std::uint64_t next = pending();
  ASSERT_GT(next, late.epoch);
  EXPECT_THAT(link.take(), ElementsAre(word("update", next)));
  pass(config_.activation_delay);
  EXPECT_EQ(active(), next);
}

// H9 burns a slot at every registration; a sender with a connection that comes and goes must not fall silent for the
// rest of a long epoch.
TEST_F(GroupStateTest, NewestConnectionOfAMemberWins) {
  const auto older = join("home");
  const auto newer = join("home");
  EXPECT_THAT(older.link->take(), ElementsAre(HasSubstr("dismissed: a newer connection")));
  EXPECT_EQ(group_->members().size(), 1u);
  group_->leave(*older.link, now_);  // the old connection's end must not remove the new one
  EXPECT_EQ(group_->members().at("home").link, newer.link.get());
}

TEST_F(GroupStateTest, RekeyAtTheEndOfItsLifetimeBeforeTheOldEpochExpires) {
  const auto a = join("sender");
  const std::uint64_t old = a.keying.epoch;
  pass(config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty());
  pass(1ms);
  const std::uint64_t next = pending();
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", next)));
  pass(config_.activation_delay);  // no acknowledgement at all
  pass(config_.deactivation_delay);
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next), word("retire", old)));
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, WithoutMembersTheEpochEndsAndTheNextComerBeginsANewOne) {
  const auto a = join("sender");
  group_->leave(*a.link, now_);
  pass(2h);
  EXPECT_THAT(group_->epochs(), IsEmpty());
  EXPECT_EQ(group_->next_deadline(), std::nullopt);
  const auto b = join("home");
  EXPECT_GT(b.keying.epoch, a.keying.epoch);
}

TEST_F(GroupStateTest, H9_ARestartBeginsANewEpochPendingUntilAllAreBack) {
  const auto a = join("sender");
  const auto b = join("home");
  now_.unix_seconds += 5;
  start();
  const auto a2 = join("sender");
  EXPECT_GT(a2.keying.epoch, a.keying.epoch);
  EXPECT_FALSE(a2.keying.premaster.equals(a.keying.premaster));
  EXPECT_NE(a2.keying.policy.spi_prefix, a.keying.policy.spi_prefix) << "the old epoch may still be alive";
  EXPECT_EQ(a2.keying.state, EpochState::pending) << "a running sender goes on with the old epoch";
  EXPECT_THAT(a2.link->take(), IsEmpty());
  const auto b2 = join("home");
  EXPECT_EQ(b2.keying.epoch, a2.keying.epoch);
  ASSERT_TRUE(group_->receive(*a2.link, GroupUpdateAck{"tv", a2.keying.epoch}, now_));
  EXPECT_THAT(a2.link->take(), IsEmpty()) << "home is back, but has not installed it yet";
  ASSERT_TRUE(group_->receive(*b2.link, GroupUpdateAck{"tv", a2.keying.epoch}, now_));
  EXPECT_THAT(b2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
  EXPECT_THAT(a2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartDoesNotWaitForTheMissingLongerThanActivationDelay) {
  const auto a = join("sender");
  const auto b = join("home");
  start();
  const auto a2 = join("sender");
  group_->leave(*a2.link, now_);
  EXPECT_NE(pending(), 0u) << "leaving again is not being back";
  const auto a3 = join("sender");
  pass(config_.activation_delay - 1ms);
  EXPECT_THAT(a3.link->take(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(a3.link->take(), ElementsAre(word("activate", a3.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartWaitsLongerForReceiversWhereASenderGoesOn) {
  const auto a = join("sender");
  const auto b = join("home");
  start();
  const auto a2 = join("sender");
  ASSERT_TRUE(group_->receive(*a2.link, StatusReport{"tv", a.keying.epoch, 1, 0, 0, {{0x1000, 2}}}, now_));
  pass(10s);
  EXPECT_THAT(a2.link->take(), IsEmpty()) << "home may take so long until it is back";
  const auto b2 = join("home");
  for (const auto* back : {&a2, &b2})
    ASSERT_TRUE(group_->receive(*back->link, GroupUpdateAck{"tv", a2.keying.epoch}, now_));
  EXPECT_THAT(a2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartWaitsForReceiversWhileSendersAreAway) {
  const auto a = join("sender");
  const auto b = join("home");
  const auto c = join("attic");
  start();
  const auto b2 = join("home");
  ASSERT_TRUE(group_->receive(*b2.link, GroupUpdateAck{"tv", b2.keying.epoch}, now_));
  pass(10s);
  EXPECT_THAT(b2.link->take(), IsEmpty()) << "the sender may go on, and attic may need as long as it";
  pass(6s);
  EXPECT_THAT(b2.link->take(), ElementsAre(word("activate", b2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartDoesNotWaitForEver) {
  const auto a = join("sender");
  const auto b = join("home");
  start();
  const auto a2 = join("sender");
  ASSERT_TRUE(group_->receive(*a2.link, StatusReport{"tv", a.keying.epoch, 1, 0, 0, {}}, now_));
  pass(16s);
  EXPECT_THAT(a2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartDoesNotWaitUntilTheEarlierEpochIsOver) {
  const auto a = join("sender");
  const auto b = join("home");
  now_.unix_seconds += 3600 - 9;
  start();
  const auto a2 = join("sender");
  ASSERT_TRUE(group_->receive(*a2.link, StatusReport{"tv", a.keying.epoch, 1, 0, 0, {}}, now_));
  pass(7s);
  EXPECT_THAT(a2.link->take(), IsEmpty());
  pass(1s);
  EXPECT_THAT(a2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, H11_ARevocationDoesNotWaitForThoseWhoAreNotBack) {
  const auto a = join("sender");
  const auto b = join("home");
  start();
  const auto a2 = join("sender");
  ASSERT_TRUE(group_->receive(*a2.link, StatusReport{"tv", a.keying.epoch, 1, 0, 0, {}}, now_));
  const auto c = join("sender2");
  pass(3s);
  config_.members_by_certificate = false;
  config_.members = {"sender", "home"};
  group_->reconfigure(config_, now_);
  pass(config_.activation_delay);
  EXPECT_THAT(a2.link->take(), ::testing::Contains(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartAfterAllExpiredBeginsActive) {
  const auto a = join("sender");
  now_.unix_seconds += 2 * 3600;
  start();
  EXPECT_EQ(issue("sender").state, EpochState::active);
}

TEST_F(GroupStateTest, EpochsAliveStayBounded) {
  const auto a = join("sender");
  for (int i = 0; i < 20; ++i) {
    if (!group_->rekey("test", now_)) break;
    ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  }
  EXPECT_LE(group_->epochs().size(), 4u);
  pass(1min);
  EXPECT_EQ(group_->epochs().size(), 1u);
  EXPECT_TRUE(group_->rekey("test", now_).has_value());
}

TEST(Vault, H14_PremastersAreWipedWhenGivenBack) {
  PremasterVault vault;
  auto first = vault.take();
  ASSERT_TRUE(first.has_value());
  (*first)->data()[7] = 9;
  const auto* where = first->get();
  first->reset();
  EXPECT_EQ(where->data()[7], 0);
  std::vector<PremasterVault::Handle> many;
  for (int i = 0; i < 200; ++i) {
    auto next = vault.take();
    ASSERT_TRUE(next.has_value()) << next.error().message;
    EXPECT_TRUE((*next)->is_zero());
    (*next)->data()[0] = 1;
    many.push_back(std::move(*next));
  }
}

TEST(Audit, H13_H14_TextFromTheNetworkIsEscapedAndFloodsAreHeldBack) {
  EXPECT_EQ(escaped("a\nb\"c\x1b\xff"), "\"a\\x0ab\\x22c\\x1b\\xff\"");
  EXPECT_LT(escaped(std::string(10'000, 'x')).size(), 220u);
  LineLimit limit(3);
  std::uint64_t held_back = 99;
  const auto start = std::chrono::steady_clock::time_point(10s);
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(limit.pass(start, &held_back));
  EXPECT_EQ(held_back, 0u);
  for (int i = 0; i < 7; ++i)
    EXPECT_FALSE(limit.pass(start + 500ms, &held_back));
  EXPECT_TRUE(limit.pass(start + 1s, &held_back));
  EXPECT_EQ(held_back, 7u);
}

TEST(Audit, H13_WhoKnocksAllDayFillsNoDiskAndHidesNothingOfAnotherKind) {
  LineBudget budget(20, 10s);
  const auto start = std::chrono::steady_clock::time_point(100s);
  std::uint64_t held_back = 0, logged = 0, told = 0;
  for (auto time = start; time < start + 24h; time += 50ms) {
    if (!budget.pass("standard_client", time, &held_back)) continue;
    ++logged;
    told += held_back;
  }
  EXPECT_EQ(logged, 20u + 24 * 360 - 1);
  EXPECT_GE(logged + told + 200, 24u * 3600 * 20) << "every line is logged or counted, but those of the last period";
  EXPECT_TRUE(budget.pass("password_refused", start + 24h, &held_back));
  EXPECT_EQ(held_back, 0u);
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(budget.pass("standard_client", start + 25h, &held_back)) << "a quiet hour fills the budget again";
  EXPECT_FALSE(budget.pass("standard_client", start + 25h, &held_back));
}

}  // namespace
}  // namespace sealcast::keyserver
