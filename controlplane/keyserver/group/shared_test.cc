// A group with epochs that are made for several key servers (docs/cluster.md): it asks, takes over, says how far its
// members are, and switches when all do.
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class Maker final : public EpochMaker {
 public:
  Result<std::optional<MadeEpoch>> want_epoch(const EpochWish& wish) override {
    wanted.push_back(std::to_string(wish.seen) + " " + wish.why);
    return std::nullopt;
  }
  bool installed_here(const std::string&, std::uint64_t epoch) override {
    installed = epoch;
    return false;
  }
  bool has_peers() const override { return true; }
  bool switched_elsewhere(const std::string&, std::uint64_t) const override { return elsewhere; }
  std::uint64_t highest(const std::string&) const override { return known; }
  std::vector<std::string> wanted;
  std::uint64_t installed = 0;
  bool elsewhere = true;
  std::uint64_t known = 0;
};

class SharedGroupTest : public GroupStateTest {
 protected:
  SharedGroupTest() { context_.maker = &maker_; }
  ~SharedGroupTest() override { context_.maker = nullptr; }

  // What the leader made: its numbers come from the store here, so that slots can be issued.
  std::uint64_t make(std::chrono::milliseconds age = 0ms) {
    const auto record =
        store_->begin_epoch({"tv", 0x10000000, 0x1fffffff, 16, now_.unix_seconds, now_.unix_seconds + 3600});
    EXPECT_TRUE(record.has_value());
    MadeEpoch made;
    made.number = record->epoch;
    made.policy = policy_of(config_);
    made.policy.spi_prefix = record->block.prefix;
    made.policy.spi_slot_bits = record->block.slot_bits;
    made.premaster = *vault_.take();
    random_.fill(made.premaster->span());
    made.age = age;
    made.remaining = 1h - age;
    made.why = "made for the cluster";
    made.rekey_earlier = 20s;
    const auto adopted = group_->adopt(std::move(made), now_);
    EXPECT_TRUE(adopted.has_value()) << adopted.error().message;
    return record->epoch;
  }
  std::uint64_t begin() {
    const std::uint64_t epoch = make();
    group_->activated(epoch, now_);
    return epoch;
  }

  Maker maker_;
};

TEST_F(SharedGroupTest, NobodyIsGivenAnythingBeforeAnEpochIsThere) {
  EXPECT_FALSE(group_->issue(identity("home"), "10.0.0.1:5", now_).has_value());
  EXPECT_TRUE(group_->epochs().empty()) << "it makes none itself";
  EXPECT_EQ(maker_.wanted.size(), 1u);
  const std::uint64_t epoch = begin();
  EXPECT_EQ(issue("home").epoch, epoch);
}

TEST_F(SharedGroupTest, AReceiverIsToldOfEverySlotOfTheNextEpochThatIsGivenOutHere) {
  begin();
  const Joined home = join("home");
  const Joined sender = join("sender");
  make();
  EXPECT_EQ(home.link->slots_used, 1);
}

TEST_F(SharedGroupTest, ARekeyIsAskedForAndSwitchesWhenAllDo) {
  const std::uint64_t first = begin();
  const Joined home = join("home");
  const Joined sender = join("sender");
  ASSERT_TRUE(group_->rekey("asked for", now_).has_value());
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first) + " asked for");
  EXPECT_EQ(active(), first);

  maker_.installed = 0;
  const std::uint64_t second = make();
  EXPECT_EQ(pending(), second);
  EXPECT_EQ(maker_.installed, 0u) << "nobody has it yet";
  ASSERT_TRUE(say(home, handshake::GroupUpdateAck{"tv", second}).has_value());
  EXPECT_EQ(maker_.installed, 0u);
  ASSERT_TRUE(say(sender, handshake::GroupUpdateAck{"tv", second}).has_value());
  EXPECT_EQ(maker_.installed, second);
  EXPECT_EQ(active(), first) << "other key servers' members may not have it";
  EXPECT_EQ(group_->switched(now_), first);

  group_->activated(second, now_);
  EXPECT_EQ(active(), second);
  EXPECT_EQ(group_->switched(now_), first) << "the sender has not said so";
  ASSERT_TRUE(say(sender, handshake::ActivateAck{"tv", second}).has_value());
  EXPECT_EQ(group_->switched(now_), second);
}

TEST_F(SharedGroupTest, WhoDoesNotAcknowledgeIsWaitedForNoLongerThanTheDelay) {
  begin();
  const Joined home = join("home");
  const std::uint64_t second = make();
  pass(config_.activation_delay - 1ms);
  EXPECT_NE(maker_.installed, second);
  pass(2ms);
  EXPECT_EQ(maker_.installed, second);
  EXPECT_EQ(pending(), second) << "when it becomes active is not ours to say";
}

TEST_F(SharedGroupTest, JoiningDuringARekeyGivesBothEpochs) {
  const std::uint64_t first = begin();
  const std::uint64_t second = make();
  const Joined home = join("home");
  EXPECT_EQ(home.keying.epoch, first);
  EXPECT_EQ(home.keying.state, handshake::EpochState::active);
  EXPECT_EQ(pending(), second);
  ASSERT_TRUE(say(home, handshake::GroupUpdateAck{"tv", second}).has_value());
}

TEST_F(SharedGroupTest, OlderAndKnownEpochsAreIgnored) {
  const std::uint64_t first = begin();
  const std::uint64_t second = begin();
  EXPECT_EQ(active(), second);
  group_->activated(first, now_);
  group_->activated(second + 5, now_);
  EXPECT_EQ(active(), second);
  MadeEpoch old;
  old.number = first;
  EXPECT_TRUE(group_->adopt(std::move(old), now_).has_value());
  EXPECT_EQ(group_->epochs().back().number, second);
}

TEST_F(SharedGroupTest, H11_ASenderThatLeftCountsUntilItsLeaseEnds) {
  const std::uint64_t first = begin();
  const Joined sender = join("sender");
  group_->leave(*sender.link, now_);
  const std::uint64_t second = begin();
  EXPECT_EQ(group_->switched(now_), first);
  pass(config_.authority_lease + 1s);
  EXPECT_EQ(group_->switched(now_), second);
}

TEST_F(SharedGroupTest, H11_ARevocationWaitsForTheOtherKeyServers) {
  const std::uint64_t first = begin();
  maker_.elsewhere = false;
  EXPECT_TRUE(group_->shut_out(now_)) << "whoever it was may hold the epoch from elsewhere";
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first) + " revocation");
  const std::uint64_t second = begin();
  ASSERT_GT(second, first);
  EXPECT_FALSE(group_->exclusion(now_)->complete.has_value());
  maker_.elsewhere = true;
  group_->on_time(now_);
  EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
}

// Of two that are revoked at once this key server may know only the one that sends.
TEST_F(SharedGroupTest, H11_ASenderShutOutTogetherWithStrangersMayGoOnForThem) {
  for (const bool one : {true, false}) {
    const std::uint64_t first = begin();
    const Joined sender = join("sender");
    revoked_ = "sender";
    EXPECT_TRUE(group_->shut_out(now_, first, one));
    const std::uint64_t second = begin();
    EXPECT_EQ(group_->exclusion(now_)->complete.has_value(), one) << "what it sends itself it knows";
    EXPECT_EQ(group_->switched(now_), one ? second : first) << "and that is what the other key servers are told";
    pass(config_.authority_lease + 1s);
    EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
    revoked_.clear();
  }
}

// A group that came after the revocation, of which other key servers have nothing yet.
TEST_F(SharedGroupTest, H11_WhoCanHoldNoEpochIsNotWaitedForElsewhere) {
  maker_.elsewhere = false;
  EXPECT_TRUE(group_->shut_out(now_, 0));
  EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
}

TEST_F(SharedGroupTest, H11_AnEpochThatOthersHaveAlreadyCountsBeforeItCameHere) {
  const std::uint64_t first = begin();
  maker_.known = first + 1;  // made, and given to the revoked by a key server that was quicker
  EXPECT_TRUE(group_->shut_out(now_));
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first + 1) + " revocation") << "an epoch after that";
  const std::uint64_t second = begin();
  ASSERT_EQ(second, first + 1);
  EXPECT_FALSE(group_->exclusion(now_)->complete.has_value());
  maker_.wanted.clear();
  pass(6s);
  ASSERT_FALSE(maker_.wanted.empty());
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first + 1) + " revocation") << "still as urgent";
  begin();
  EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
}

TEST_F(SharedGroupTest, H11_WhatWasReadOfARevocationLaterNamesTheEpoch) {
  const std::uint64_t first = begin();
  maker_.known = first + 1;  // made after the revocation: a key server that gives it out knows of that
  EXPECT_TRUE(group_->shut_out(now_, first));
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first) + " revocation");
  begin();
  EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
}

// What a key server does that finds a revocation when it starts: the epoch after it is there, or it is not.
TEST_F(SharedGroupTest, H11_AfterARestartAnEpochIsAskedForWhereNoneFollowedTheRevocation) {
  context_.started = now_.steady;
  const std::uint64_t held = static_cast<std::uint64_t>(now_.unix_seconds) << 20;  // the first number of this second
  const std::vector<std::string> after_it{std::to_string(held) + " revocation"};
  EXPECT_TRUE(group_->shut_out(now_, held));
  EXPECT_EQ(maker_.wanted, after_it) << "who has a newer one to give does not make another";
  ASSERT_EQ(begin(), held);
  maker_.wanted.clear();
  pass(6s);
  EXPECT_EQ(maker_.wanted, after_it);
  ASSERT_GT(begin(), held);
  maker_.wanted.clear();
  pass(config_.authority_lease - 7s);
  EXPECT_TRUE(maker_.wanted.empty());
  EXPECT_FALSE(group_->exclusion(now_)->complete) << "senders of the process before may go on under the epoch before";
  pass(2s);
  EXPECT_TRUE(group_->exclusion(now_)->complete);
  context_.started.reset();
}

TEST_F(SharedGroupTest, H11_WhoBeginsAnewWaitsForTheLeasesOfThoseItForgot) {
  const std::uint64_t first = begin();
  const Joined sender = join("sender");
  group_->begin_anew("cut off", now_);
  pass(1s);
  maker_.known = first;
  EXPECT_TRUE(group_->shut_out(now_));
  EXPECT_FALSE(group_->exclusion(now_)->complete.has_value()) << "nobody here sends, but somebody did";
  const std::uint64_t second = begin();
  EXPECT_EQ(group_->switched(now_), 0u) << "and the other key servers wait for them, too";
  EXPECT_FALSE(group_->exclusion(now_)->complete.has_value());
  pass(config_.authority_lease - 1s);
  EXPECT_TRUE(group_->exclusion(now_)->complete.has_value());
  EXPECT_EQ(group_->switched(now_), second);
}

TEST_F(SharedGroupTest, H11_InAClusterWithoutEpochsNothingHasSwitched) {
  begin();
  group_->begin_anew("cut off", now_);
  pass(config_.authority_lease + 1s);
  maker_.known = 1 << 20;
  EXPECT_TRUE(group_->shut_out(now_));
  EXPECT_FALSE(group_->exclusion(now_)->complete.has_value());
}

TEST_F(SharedGroupTest, AsksForTheNextEpochInTimeAndAgain) {
  const std::uint64_t first = begin();
  maker_.wanted.clear();
  pass(1h - 40s);
  EXPECT_TRUE(maker_.wanted.empty());
  pass(30s);
  ASSERT_GE(maker_.wanted.size(), 2u) << "whom it was asked of may be gone";
  EXPECT_EQ(maker_.wanted.front(), std::to_string(first) + " lifetime");
}

TEST_F(SharedGroupTest, H11_ANewcomerComesAgainForTheEpochThatIsMadeForIt) {
  config_.rekey_on_join = true;
  start();
  const std::uint64_t first = begin();
  const auto refused = group_->issue(identity("home"), "10.0.0.1:5", now_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("not there yet"));
  EXPECT_EQ(maker_.wanted.back(), std::to_string(first) + " a member joins");
  const std::uint64_t second = begin();  // made, and active already when it comes again
  const std::size_t asked = maker_.wanted.size();
  EXPECT_EQ(issue("home").epoch, second) << "new enough: no race of epochs";
  EXPECT_EQ(maker_.wanted.size(), asked);
  EXPECT_FALSE(group_->issue(identity("attic"), "10.0.0.1:5", now_));
  begin();
  now_.steady += 10min;
  EXPECT_FALSE(group_->issue(identity("attic"), "10.0.0.1:5", now_)) << "it was away while that epoch was in use";
}

}  // namespace
}  // namespace sealcast::keyserver::testing
