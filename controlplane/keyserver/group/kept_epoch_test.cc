// A group over restarts of a key server that has a wrapping key: it goes on in the same epoch, or begins anew.
#include "controlplane/keyserver/group/epoch_keeper.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using ::testing::Contains;
using ::testing::Not;

class KeptGroupTest : public GroupStateTest {
 protected:
  KeptGroupTest() {
    boot();
    context_.started.reset();  // the first start
  }
  ~KeptGroupTest() override { context_.keeper = nullptr; }

  // As after kill -9.
  void boot(std::uint8_t key_byte = 7) {
    group_.reset();
    keeper_.reset();
    start();
    Secret<32> key;
    key.span()[0] = key_byte;
    auto keeper = EpochKeeper::create(std::move(key), "ks", *store_, random_);
    ASSERT_TRUE(keeper.has_value()) << keeper.error().message;
    keeper_ = std::move(*keeper);
    context_.keeper = keeper_.get();
    context_.started = now_.steady;
    group_->resume(now_);
    ASSERT_TRUE(store_->note_alive(now_.unix_seconds).has_value());
  }
  store::KeptEpoch row() {
    auto kept = store_->take_up("tv");
    EXPECT_TRUE(kept.has_value() && kept->has_value());
    return kept && *kept ? (*kept)->epoch : store::KeptEpoch{};
  }
  void expect_anew(const Joined& before, const char* why) {
    EXPECT_EQ(active(), 0U) << why;
    const auto again = join("sender");
    EXPECT_GT(again.keying.epoch, before.keying.epoch) << why;
    EXPECT_EQ(again.keying.state, EpochState::pending) << why << ": running senders go on for a while";
    EXPECT_EQ(again.keying.assignment.slot_count, 1) << why;
    EXPECT_FALSE(again.keying.premaster.equals(before.keying.premaster)) << why;
  }

  std::unique_ptr<EpochKeeper> keeper_;
};

TEST_F(KeptGroupTest, H9_ARestartGoesOnInTheSameEpochAndGivesOutNoSlotOfIt) {
  const auto a = join("sender");
  const auto b = join("home");
  now_.unix_seconds += 5;
  now_.steady += 5s;
  boot();
  EXPECT_EQ(active(), a.keying.epoch);
  const auto b2 = join("home");
  const auto a2 = join("sender");
  const auto c = join("attic");  // it comes for the first time
  for (const Joined* one : {&a2, &b2, &c}) {
    EXPECT_EQ(one->keying.epoch, a.keying.epoch);
    EXPECT_EQ(one->keying.state, EpochState::active);
    EXPECT_TRUE(one->keying.premaster.equals(a.keying.premaster));
    EXPECT_EQ(one->keying.policy.spi_prefix, a.keying.policy.spi_prefix);
    EXPECT_EQ(one->keying.policy.slots_used, 1);
    EXPECT_EQ(one->keying.assignment.slot_count, 0) << "what was given out before is all there is";
    EXPECT_LE(one->keying.remaining_ms, a.keying.remaining_ms - 5000);
  }
  EXPECT_EQ(a2.keying.assignment.roles, handshake::sender_and_receiver) << "it goes on with its slot";
  EXPECT_EQ(b2.keying.assignment.roles, handshake::receiver);
  const std::uint32_t spi = a.keying.policy.spi_prefix | a.keying.assignment.first_slot;
  ASSERT_TRUE(say(a2, StatusReport{"tv", a.keying.epoch, 1, 0, 0, {{spi, 77}}}));
  pass(30s);
  for (const Joined* one : {&a2, &b2, &c})
    EXPECT_THAT(one->link->take(), IsEmpty()) << "nothing but the restart has happened";
  const auto d = join("cellar");
  EXPECT_EQ(d.keying.policy.slots_used, 1);
  EXPECT_FALSE(store_->issue({"tv", a.keying.epoch, "sender", "01", "-", 3, 1, now_.unix_seconds}).has_value())
      << "nor does the store give one out";
}

TEST_F(KeptGroupTest, EveryFurtherRestartTakesItUpAgain) {
  const auto a = join("sender");
  for (int i = 0; i < 3; ++i) {
    now_.unix_seconds += 60;
    now_.steady += 60s;
    boot();
    EXPECT_EQ(join("sender").keying.epoch, a.keying.epoch);
    EXPECT_EQ(join("home" + std::to_string(i)).keying.epoch, a.keying.epoch);
  }
}

TEST_F(KeptGroupTest, H9_ASenderThatLostItsSlotsGetsThemInTheNextEpochOnceAllAreBack) {
  const auto a = join("sender");
  const auto b = join("home");
  const auto c = join("sender2");
  boot();
  const auto a2 = join("sender");
  const auto c2 = join("sender2");
  ASSERT_TRUE(say(c2, SlotRequest{"tv", a.keying.epoch, 2}));
  EXPECT_THAT(c2.link->take(), ElementsAre("grant 0+0 of 2"));
  pass(0ms);
  const std::uint64_t next = pending();
  ASSERT_GT(next, a.keying.epoch);
  EXPECT_THAT(c2.link->take(), ElementsAre(word("update", next)));
  EXPECT_EQ(c2.link->slots, 1);
  EXPECT_THAT(a2.link->take(), ElementsAre(word("update", next)));
  EXPECT_EQ(a2.link->slots, 1);
  for (const auto* back : {&a2, &c2})
    ASSERT_TRUE(say(*back, GroupUpdateAck{"tv", next}));
  pass(10s);
  EXPECT_EQ(active(), a.keying.epoch) << "home may take so long until it is back, and sender goes on";
  const auto b2 = join("home");
  EXPECT_THAT(b2.link->take(), ElementsAre(word("update", next)));
  ASSERT_TRUE(say(b2, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), next);
  boot();
  EXPECT_EQ(active(), next) << "now that is the one to be taken up";
}

TEST_F(KeptGroupTest, ASenderThatLostItsSlotsDoesNotWaitForReceiversWhereNobodySends) {
  const auto a = join("sender");
  const auto b = join("home");
  boot();
  const auto a2 = join("sender");
  ASSERT_TRUE(say(a2, SlotRequest{"tv", a.keying.epoch, 1}));
  pass(0ms);
  const std::uint64_t next = pending();
  ASSERT_NE(next, 0U);
  pass(config_.activation_delay);
  EXPECT_EQ(active(), next);
}

TEST_F(KeptGroupTest, H9_ASenderThatTheFileDoesNotKnowBringsTheNextEpoch) {
  const auto a = join("home");
  boot();
  const auto s = join("sender");
  EXPECT_EQ(s.keying.epoch, a.keying.epoch);
  EXPECT_EQ(s.keying.assignment.slot_count, 0);
  pass(0ms);
  EXPECT_THAT(s.link->take(), ElementsAre(word("update", pending())));
  EXPECT_EQ(s.link->slots, 1);
}

TEST_F(KeptGroupTest, H9_DuringAHandOverARestartBeginsAnew) {
  const auto a = join("sender");
  ASSERT_TRUE(group_->rekey("asked for", now_));
  const std::uint64_t next = pending();
  boot();
  expect_anew(a, "who has switched is not known");
  EXPECT_GT(pending(), next);
}

TEST_F(KeptGroupTest, ARestartsPendingEpochIsNotTakenUpAsActive) {
  const auto a = join("sender");
  now_.unix_seconds += 600;
  boot();  // too late
  const auto a2 = join("sender");
  ASSERT_EQ(a2.keying.state, EpochState::pending);
  boot();
  expect_anew(a2, "senders may still use the one before");
}

TEST_F(KeptGroupTest, WhatIsOfNoUseBeginsAnewAndNeverStopsTheStart) {
  const auto a = join("sender");
  const auto b = join("home");
  boot(8);
  expect_anew(a, "another key");
}

TEST_F(KeptGroupTest, H14_ADamagedOrCutRowBeginsAnew) {
  auto a = join("sender");
  for (const int what : {0, 1, 2, 3}) {
    auto kept = row();
    if (what == 0) kept.sealed[kept.sealed.size() / 2] = static_cast<char>(kept.sealed[kept.sealed.size() / 2] ^ 1);
    if (what == 1) kept.sealed.resize(kept.sealed.size() - 1);
    if (what == 2) kept.sealed.clear();
    if (what == 3) ++kept.expires;  // it is bound to it
    ASSERT_TRUE(store_->keep(kept).has_value());
    boot();
    expect_anew(a, std::to_string(what).c_str());
    const auto all = join("sender");
    ASSERT_TRUE(say(all, GroupUpdateAck{"tv", all.keying.epoch}));
    pass(restart_patience);
    ASSERT_TRUE(store_->note_alive(now_.unix_seconds).has_value());
    ASSERT_NE(active(), 0U);
    a.keying = issue("sender");
  }
}

TEST_F(KeptGroupTest, H14_ARowOfAnotherGroupOrKeyServerBeginsAnew) {
  const auto a = join("sender");
  auto kept = row();
  Secret<32> key;
  key.span()[0] = 7;
  handshake::GroupPolicy policy = a.keying.policy;
  for (const char* elsewhere : {"group", "key server"}) {
    const bool group = elsewhere == std::string("group");
    const auto sealed = cluster::seal_epoch(key,
                                            {group ? "ks" : "ks2", group ? "radio" : "tv", kept.epoch,
                                             kept.begun * 1000, kept.expires * 1000, cluster::SealedIn::state_file},
                                            {policy, a.keying.premaster.clone()}, random_);
    ASSERT_TRUE(sealed.has_value());
    kept.sealed = *sealed;
    ASSERT_TRUE(store_->keep(kept).has_value());
    boot();
    EXPECT_EQ(active(), 0U) << elsewhere;
  }
  const auto good = cluster::seal_epoch(
      key, {"ks", "tv", kept.epoch, kept.begun * 1000, kept.expires * 1000, cluster::SealedIn::state_file},
      {policy, a.keying.premaster.clone()}, random_);
  kept.sealed = *good;
  ASSERT_TRUE(store_->keep(kept).has_value());
  boot();
  EXPECT_EQ(active(), a.keying.epoch) << "the same made for here is taken up";
}

TEST_F(KeptGroupTest, AnOldCopyOfTheFileBeginsAnew) {
  const auto a = join("sender");
  now_.unix_seconds += 121;
  boot();
  expect_anew(a, "no sign of life for two minutes");
}

TEST_F(KeptGroupTest, AClockThatWentBackBeginsAnew) {
  const auto a = join("sender");
  now_.unix_seconds -= 60;
  boot();
  EXPECT_EQ(active(), 0U);
}

TEST_F(KeptGroupTest, H11_WhoWasShutOutWhileItWasDownIsShutOut) {
  const auto a = join("sender");
  const auto b = join("home");
  revoked_ = "home";
  boot();
  expect_anew(a, "home holds it");
  revoked_.clear();
  boot();
  EXPECT_EQ(active(), 0U) << "it does not come back";
}

TEST_F(KeptGroupTest, H11_AnEpochThatSomebodyShutOutHoldsIsNotKept) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("asked for", now_));  // home gets this one, too
  revoked_ = "home";
  group_->shut_out(now_);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));  // active, but the next one follows
  revoked_.clear();                                      // asked now, all would stand
  boot();
  expect_anew(a, "the revocation was not complete");
}

TEST_F(KeptGroupTest, H11_OnceItIsCompleteTheNextEpochIsTakenUp) {
  const auto a = join("sender");
  const auto b = join("home");
  revoked_ = "home";
  ASSERT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_EQ(active(), next);
  ASSERT_FALSE(group_->exclusion(now_)->complete);
  EXPECT_FALSE((*store_->take_up("tv")).has_value()) << "a restart now would forget that the sender is awaited";
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  ASSERT_TRUE(group_->exclusion(now_)->complete);
  boot();
  EXPECT_EQ(active(), next);
  EXPECT_FALSE(group_->issue(identity("home"), "10.0.0.1:5", now_).has_value());
  EXPECT_EQ(join("sender").keying.epoch, next);
}

TEST_F(KeptGroupTest, H8_H11_WhateverMayShutSomebodyOutEndsAnEpochThatWasTakenUp) {
  const auto a = join("sender");
  const auto b = join("home");
  boot();
  const auto a2 = join("sender");
  ASSERT_TRUE(group_->in_doubt());
  ASSERT_TRUE(group_->shut_out(now_)) << "nobody falls, but the file need not know all who hold it";
  const std::uint64_t next = pending();
  ASSERT_GT(next, a.keying.epoch);
  EXPECT_FALSE(group_->in_doubt());
  ASSERT_TRUE(group_->exclusion(now_).has_value());
  EXPECT_EQ(group_->exclusion(now_)->last_known, a.keying.epoch);
  EXPECT_FALSE((*store_->take_up("tv")).has_value());
  ASSERT_TRUE(say(a2, GroupUpdateAck{"tv", next}));
  pass(config_.activation_delay);
  ASSERT_EQ(active(), next);
  ASSERT_TRUE(say(a2, ActivateAck{"tv", next}));
  EXPECT_FALSE(group_->exclusion(now_)->complete) << "senders that are not back may go on for a lease";
  pass(config_.authority_lease);
  group_->on_time(now_);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
  boot();
  EXPECT_EQ(active(), next) << "complete, so it is kept";
}

TEST_F(KeptGroupTest, H11_BeforeAnybodyIsBackARevocationBeginsAnew) {
  const auto a = join("sender");
  boot();
  group_->shut_out(now_);
  expect_anew(a, "nobody was there to be handed over");
}

TEST_F(KeptGroupTest, H11_ARevocationDuringItsHandOverWaitsForThoseUnderIt) {
  const auto a = join("sender");
  const auto b = join("home");
  boot();
  const auto b2 = join("home");
  ASSERT_TRUE(group_->rekey("asked for", now_));
  const std::uint64_t next = pending();
  group_->shut_out(now_);
  EXPECT_EQ(group_->exclusion(now_)->last_known, a.keying.epoch) << "who is shut out may hold this one";
  EXPECT_EQ(pending(), next);
}

TEST_F(KeptGroupTest, ASenderThatMayNotSendAnyMoreBeginsAnew) {
  const auto a = join("sender2");
  const auto b = join("sender");
  config_.senders = {"sender"};
  boot();
  expect_anew(a, "sender2 would go on with its slot");
}

TEST_F(KeptGroupTest, H9_H11_ARevocationInAnEpochThatWasTakenUpGivesOutNoSlotOfItEither) {
  const auto a = join("sender");
  const auto b = join("home");
  boot();
  const auto a2 = join("sender");
  revoked_ = "home";
  ASSERT_TRUE(group_->shut_out(now_));
  const std::uint64_t next = pending();
  EXPECT_THAT(a2.link->take(), ElementsAre(word("update", next)));
  const auto c = join("sender2");
  EXPECT_EQ(c.keying.epoch, a.keying.epoch) << "still active";
  EXPECT_EQ(c.keying.assignment.slot_count, 0);
  EXPECT_THAT(c.link->take(), ElementsAre(word("update", next)));
  EXPECT_EQ(c.link->slots, 1);
  pass(config_.activation_delay);
  EXPECT_EQ(active(), next) << "nobody who is not back is waited for";
}

TEST_F(KeptGroupTest, AnotherConfigurationBeginsAnew) {
  const auto a = join("sender");
  config_.replay_window *= 2;
  boot();
  expect_anew(a, "its policy is of the old configuration");
}

TEST_F(KeptGroupTest, AnEpochThatIsNearlyOverBeginsAnew) {
  config_.epoch_lifetime = 60s;
  boot();
  const auto a = join("sender");
  now_.unix_seconds += 40;
  boot();
  expect_anew(a, "there would be no time for a hand-over");
}

TEST_F(KeptGroupTest, RekeyOnJoinTellsWhoHeldItFromWhoDidNot) {
  config_.rekey_on_join = true;
  boot();
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", b.keying.epoch}));
  pass(10s);
  ASSERT_EQ(active(), b.keying.epoch);
  boot();
  const std::uint64_t epoch = active();
  ASSERT_EQ(epoch, b.keying.epoch);
  EXPECT_EQ(join("home").keying.epoch, epoch);
  const auto a2 = join("sender");
  EXPECT_EQ(a2.keying.epoch, epoch);
  const auto c = join("attic");
  EXPECT_GT(c.keying.epoch, epoch) << "what was sent before it came is not for it";
  EXPECT_EQ(c.keying.state, EpochState::pending);
}

TEST_F(KeptGroupTest, ASnapshotThatIsResumedLeavesNothingToTakeUp) {
  const auto a = join("sender");
  group_->begin_anew("resumed", now_);
  boot();
  expect_anew(a, "a twin of this machine may go on with it");
}

}  // namespace
}  // namespace sealcast::keyserver::testing
