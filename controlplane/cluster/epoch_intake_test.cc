// Which epochs the host is given, when, and that each comes once.
#include "controlplane/cluster/epoch_intake.h"

#include "controlplane/cluster/sealing.h"
#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ClusterEpochIntake : public ClusterPart {
 protected:
  ClusterEpochIntake() { settings_.cluster_id = "ks"; }

  void make(std::uint64_t number, std::uint64_t active, std::uint32_t lease_s = 60) {
    EpochValue value = put_epoch(number, active, {self_});
    EpochContent content{plain_policy(), {}};
    content.zero.clock_id = sealed_clock_;
    content.policy.spi_prefix = value.spi_prefix;
    content.policy.spi_slot_bits = value.slot_bits;
    content.policy.authority_lease_s = lease_s;
    content.premaster.span()[0] = 1;
    value.sealed = *seal_epoch(settings_.key, {"ks", "tv", number, value.begun_ms, value.expires_ms}, content,
                               handshake::system_random());
    put(keys_.epoch("tv", number), value.text());
    read();
    intake_.touch("tv");
  }
  // What was touched is handed over. Returns what the host was told.
  std::vector<std::string> hand_over() {
    host_.calls.clear();
    for (const std::string& id : intake_.take_touched())
      intake_.hand_over(id, host_.clock);
    return host_.calls;
  }

  std::uint64_t sealed_clock_ = 0;
  NodeSettings settings_;
  SlotClaims claims_{view_};
  ClusterClock clock_{view_, handshake::system_random()};
  EpochIntake intake_{settings_, host_, view_, claims_, departed_, clock_};
};

TEST_F(ClusterEpochIntake, TheHostIsGivenEachEpochOnceAndToldWhichIsActive) {
  make(1, 1);
  EXPECT_FALSE(intake_.has_any("tv"));
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1"));
  EXPECT_TRUE(intake_.has_any("tv"));
  make(2, 1);
  EXPECT_THAT(hand_over(), ElementsAre("adopt 2"));
  put(keys_.group("tv"), "2 2");
  read();
  EXPECT_THAT(hand_over(), IsEmpty()) << "nothing was touched";
  intake_.touch("tv");
  EXPECT_THAT(hand_over(), ElementsAre("activated 2"));
  EXPECT_TRUE(intake_.idle());
}

TEST_F(ClusterEpochIntake, EpochsBeforeTheActiveOneAreNotGiven) {
  make(1, 1);
  make(2, 2);
  EXPECT_THAT(hand_over(), ElementsAre("adopt 2", "activated 2"));
}

TEST_F(ClusterEpochIntake, WhatTheHostRefusesIsTriedAgain) {
  make(1, 1);
  host_.adopts = false;
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1"));
  EXPECT_THAT(host_.notes, HasSubstr("cluster_epoch_failed why=\"not now\""));
  EXPECT_FALSE(intake_.idle());
  host_.adopts = true;
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1"));
}

// Members learn the time of an epoch's numbers from their key server.
TEST_F(ClusterEpochIntake, H17_AnEpochWaitsUntilItsClockIsKnown) {
  clock_id_ = sealed_clock_ = 7;
  put(keys_.leader(), other_, 9);
  join(other_);
  put(keys_.clock(), ClockValue{1, {7, 5'000'000, 1}}.text());
  make(1, 1);
  EXPECT_THAT(hand_over(), IsEmpty());
  const auto question = clock_.question(host_.clock.boot);
  ASSERT_TRUE(question);
  const auto asked = store_.run(*question);
  clock_.questioned(&asked);
  put(keys_.clock(), ClockValue{asked.revision, {7, 5'000'000, 1}}.text());
  read();
  EXPECT_EQ(clock_.measure(host_.clock.boot), ClusterClock::Outcome::taken);
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1"));
  // Of a clock that no leader tells any more nothing is waited for.
  clock_id_ = sealed_clock_ = 6;
  make(2, 2);
  EXPECT_THAT(hand_over(), ElementsAre("adopt 2", "activated 2"));
  sealed_clock_ = 7;
  make(3, 3);
  EXPECT_THAT(hand_over(), IsEmpty());
  EXPECT_THAT(host_.notes, HasSubstr("its clock is not the one that was sealed"));
}

TEST_F(ClusterEpochIntake, H9_AnEpochWaitsForTheSlotsThatMembersNeed) {
  host_.needed = 20;
  make(1, 1);
  EXPECT_THAT(hand_over(), IsEmpty()) << "16 are assigned";
  const auto ask = claims_.next(host_.clock.unix_ms);
  ASSERT_TRUE(ask);
  const auto reply = store_.run(*ask);
  claims_.answered(&reply);
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1")) << "it was still touched";
}

TEST_F(ClusterEpochIntake, H14_WhatCannotBeOpenedIsRefusedOnceAndNamed) {
  make(1, 1);
  settings_.key.span()[0] = 1;
  EXPECT_THAT(hand_over(), IsEmpty());
  EXPECT_THAT(host_.notes, HasSubstr("cluster_epoch_refused"));
  EXPECT_TRUE(intake_.idle());
  host_.notes.clear();
  intake_.touch("tv");
  EXPECT_THAT(hand_over(), IsEmpty());
  EXPECT_EQ(host_.notes, "");
}

TEST_F(ClusterEpochIntake, H11_LeasesOfWhatWasGivenCountForKeyServersThatVanishedBefore) {
  departed_.begin_blind(host_.clock.steady);
  make(1, 1, 300);
  hand_over();
  EXPECT_TRUE(departed_.blind(host_.clock.steady + 299s));
  EXPECT_FALSE(departed_.blind(host_.clock.steady + 300s));
}

TEST_F(ClusterEpochIntake, AGroupThatComesBackIsGivenItsEpochsAgain) {
  make(1, 1);
  hand_over();
  intake_.begin_anew("tv");
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1"));
  intake_.clear();
  intake_.touch("tv");
  EXPECT_THAT(hand_over(), ElementsAre("adopt 1", "activated 1")) << "so it is in a new session";
}

TEST_F(ClusterEpochIntake, OnlyTheHostsOwnGroupsAreLookedAt) {
  intake_.touch("radio");
  EXPECT_THAT(intake_.take_touched(), IsEmpty());
  intake_.touch_all();
  EXPECT_THAT(intake_.take_touched(), ElementsAre("tv"));
  make(1, 1);
  hand_over();
  intake_.forget("tv", 1);
  EXPECT_FALSE(intake_.has_any("tv"));
}

}  // namespace
}  // namespace sealcast::cluster::testing
