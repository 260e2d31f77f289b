// rekey_on_join: a peer that was no member while an epoch was in use never gets it.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class RekeyOnJoin : public GroupStateTest {
 protected:
  RekeyOnJoin() {
    config_.rekey_on_join = true;
    start();
  }
  void acknowledge(const Joined& member) { ASSERT_TRUE(say(member, GroupUpdateAck{"tv", pending()})); }
};

TEST_F(RekeyOnJoin, H11_ANewcomerNeverGetsAnEpochThatWasInUseBeforeItCame) {
  const auto a = join("sender");
  const std::uint64_t first = a.keying.epoch;
  ASSERT_EQ(active(), first) << "the first member begins it";
  auto b = join("home");
  EXPECT_EQ(b.keying.state, EpochState::pending);
  EXPECT_GT(b.keying.epoch, first);
  EXPECT_EQ(b.keying.epoch, pending());
  EXPECT_NE(to_hex(b.keying.premaster.view()), to_hex(a.keying.premaster.view()));
  EXPECT_THAT(b.link->take(), IsEmpty()) << "nothing of the active epoch follows";
  EXPECT_THAT(a.link->take(), ElementsAre("update " + std::to_string(b.keying.epoch)));
  acknowledge(a);
  EXPECT_EQ(active(), b.keying.epoch) << "all have it: at once";
  EXPECT_THAT(b.link->take(), ElementsAre("activate " + std::to_string(b.keying.epoch)));
}

TEST_F(RekeyOnJoin, WhoComesDuringAHandOverSharesItsEpoch) {
  const auto a = join("sender");
  auto b = join("home");
  auto c = join("office");
  EXPECT_EQ(c.keying.epoch, b.keying.epoch);
  EXPECT_THAT(c.link->take(), IsEmpty());
  acknowledge(a);
  EXPECT_EQ(active(), b.keying.epoch);
}

TEST_F(RekeyOnJoin, H11_ANewcomerThatBreaksOffAndComesBackDoesNotGetTheActiveEpochEither) {
  const auto a = join("sender");
  const GroupKeying smke = issue("home");  // and its connection ends before Finished
  ASSERT_EQ(smke.epoch, pending());
  auto again = join("home");
  EXPECT_EQ(again.keying.epoch, smke.epoch);
  EXPECT_EQ(again.keying.state, EpochState::pending);
  EXPECT_THAT(again.link->take(), IsEmpty());
}

TEST_F(RekeyOnJoin, WhoHeldTheActiveEpochGetsItAgain) {
  const auto a = join("sender");
  auto b = join("home");
  acknowledge(a);
  group_->leave(*b.link, now_);
  const std::uint64_t epoch = active();
  auto again = join("home");
  EXPECT_EQ(again.keying.epoch, epoch);
  EXPECT_EQ(again.keying.state, EpochState::active);
  EXPECT_EQ(pending(), 0u) << "no rekey for one that only lost its connection";
}

TEST_F(RekeyOnJoin, H13_ACrowdSharesEpochsAndAllGetIn) {
  const auto a = join("sender");
  std::vector<Joined> crowd;
  std::uint64_t most = 0;
  for (int i = 0; i < 300; ++i) {
    auto keying = group_->issue(identity("m" + std::to_string(i)), "10.0.0.1:5", now_);
    ASSERT_TRUE(keying) << i << ": " << keying.error().message;
    EXPECT_EQ(keying->state, EpochState::pending);
    Joined member;
    member.given = given_of(*keying);
    member.keying = std::move(*keying);
    group_->join(*member.link, identity("m" + std::to_string(i)), "10.0.0.1:5", member.given, now_);
    crowd.push_back(std::move(member));
    const std::uint64_t next = pending();
    if (next) {
      ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
      for (const Joined& one : crowd)
        ASSERT_TRUE(say(one, GroupUpdateAck{"tv", next}));
    }
    most = std::max<std::uint64_t>(most, group_->epochs().size());
    pass(100ms);
  }
  EXPECT_LE(most, max_live_epochs);
  EXPECT_GE(most, 3u);
  pass(30s);
  EXPECT_EQ(group_->epochs().size(), 1u);
  EXPECT_EQ(group_->members().size(), 301u);
}

// Otherwise it stays connected without a key that is of use, and neither end knows.
TEST_F(GroupStateTest, H10_WhoCannotBeGivenTheActiveEpochIsDismissedToComeAgain) {
  const auto a = join("sender");
  const auto smke = issue("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_EQ(active(), next);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{0, before.rlim_max};
  const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);  // the disk is full
  FakeLink link;
  group_->join(link, identity("home"), "10.0.0.1:5", given_of(smke), now_);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_action);
  EXPECT_THAT(link.take(), ElementsAre("dismissed: it could not be given the active epoch; it may come again"));
  EXPECT_EQ(group_->members().count("home"), 0u);
}

TEST_F(RekeyOnJoin, AloneANewcomerWaitsForNobody) {
  auto a = join("home");
  group_->leave(*a.link, now_);
  auto b = join("office");
  EXPECT_GT(b.keying.epoch, a.keying.epoch);
  pass(config_.activation_delay);  // "home" may still send under what it had
  EXPECT_EQ(active(), b.keying.epoch);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
