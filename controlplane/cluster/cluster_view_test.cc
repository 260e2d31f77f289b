// What is read of etcd, what it means, and what is left alone.
#include "controlplane/cluster/cluster_view.h"

#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ClusterViewTest : public ClusterPart {
 protected:
  bool usable(std::uint64_t number) const { return view_.usable(*view_.epoch("tv", number), host_.clock.unix_ms); }
};

TEST_F(ClusterViewTest, TheLivingAreKnownByTheKeyThatTheirLeaseHolds) {
  join(other_);
  put(keys_.leader(), other_);
  put(keys_.server("short"), "10.0.0.3:7400 c");
  put(keys_.server(third_), "10.0.0.3:7400 \"c\"");
  ASSERT_TRUE(read());
  const auto& live = view_.live();
  ASSERT_THAT(live.alive, SizeIs(2));
  EXPECT_EQ(live.alive.at(other_).name, "bb");
  EXPECT_EQ(live.alive.at(other_).address, "10.0.0.2:7400");
  EXPECT_EQ(live.leader, other_);
  EXPECT_FALSE(view_.leading());
  const SteadyTime since = live.alive.at(other_).since;
  host_.pass(1s);
  ASSERT_TRUE(read());
  EXPECT_EQ(view_.live().alive.at(other_).since, since);
  lead();
  ASSERT_TRUE(read());
  EXPECT_TRUE(view_.leading());
}

TEST_F(ClusterViewTest, OneThatVanishesIsNamedOnceAndEndsTheQuiet) {
  join(other_);
  ASSERT_THAT(*read(), IsEmpty());
  const SteadyTime quiet = view_.live().quiet_since;
  host_.pass(1s);
  remove(keys_.server(other_));
  const auto vanished = read();
  ASSERT_TRUE(vanished);
  ASSERT_THAT(*vanished, SizeIs(1));
  EXPECT_EQ(vanished->front().incarnation, other_);
  EXPECT_EQ(view_.live().quiet_since, quiet + 1s);
  EXPECT_THAT(*read(), IsEmpty());
}

TEST_F(ClusterViewTest, WithoutItsOwnKeyItIsNotAmongTheLiving) {
  join(other_);
  remove(keys_.server(self_));
  EXPECT_FALSE(read());
  EXPECT_EQ(view_.live().alive.count(other_), 0u) << "nothing is taken";
}

TEST_F(ClusterViewTest, H9_WhatTheDeadWereTrustedWithDoesNotCount) {
  join(other_);
  for (const std::string& incarnation : {self_, other_, third_}) {
    put(keys_.trusted(incarnation), "");
    put(keys_.vouched(incarnation), other_);
  }
  ASSERT_TRUE(read());
  EXPECT_THAT(view_.live().trusted, ElementsAre(other_)) << "of others";
  EXPECT_THAT(view_.live().vouched_for, ElementsAre(self_, other_));
}

TEST_F(ClusterViewTest, H9_EpochsThatAreOverRetiredOrOfAnEarlierGenerationAreNotUsable) {
  EpochValue first = put_epoch(1, 1);
  put_epoch(2, 1);
  read();
  EXPECT_TRUE(usable(1));
  EXPECT_EQ(view_.newest(view_.group("tv"), host_.clock.unix_ms), 2u);
  first.retired = true;
  first.sealed.clear();
  put(keys_.epoch("tv", 1), first.text());
  read();
  EXPECT_FALSE(usable(1));
  host_.pass(1h);
  EXPECT_FALSE(usable(2));
  put_epoch(3, 1);
  read();
  EXPECT_TRUE(usable(3));
  put(keys_.generation(), other_);
  read();
  EXPECT_FALSE(usable(3));
  EXPECT_EQ(view_.newest(view_.group("tv"), host_.clock.unix_ms), 0u);
  put_epoch(4, 1);
  read();
  EXPECT_EQ(view_.newest(view_.group("tv"), host_.clock.unix_ms), 4u);
}

TEST_F(ClusterViewTest, AnEpochIsSupersededWhenANewerOneIsFirstSeenActive) {
  put_epoch(1, 1);
  put_epoch(2, 1);
  read();
  EXPECT_EQ(view_.epoch("tv", 1)->superseded, SteadyTime{});
  host_.pass(1s);
  put(keys_.group("tv"), "2 2");
  read();
  const SteadyTime then = host_.clock.steady;
  EXPECT_EQ(view_.epoch("tv", 1)->superseded, then);
  EXPECT_EQ(view_.epoch("tv", 2)->superseded, SteadyTime{});
  EXPECT_EQ(view_.epoch("tv", 1)->seen, then - 1s);
  host_.pass(1s);
  put(keys_.group("tv"), "3 2");
  read();
  EXPECT_EQ(view_.epoch("tv", 1)->superseded, then) << "the first time counts";
}

TEST_F(ClusterViewTest, WhatIsNoRecordIsLeftAlone) {
  put_epoch(5, 5);
  put(keys_.want("tv"), "5 urgent");
  read();
  const etcd::Revision modified = view_.group("tv").modified;
  const etcd::KeyValue rubbish[] = {
      {keys_.epoch("tv", 5), "x", 90, 90},
      {keys_.epoch("tv", 0), "x", 90, 90},
      {keys_.want("tv"), "5", 90, 90},
      {keys_.at("tv", other_), "x", 90, 90},
      {keys_.shared() + "else/7476", "1", 90, 90},
      {"/elsewhere", "1", 90, 90},
  };
  for (const etcd::KeyValue& entry : rubbish)
    EXPECT_EQ(view_.take(entry, host_.clock.steady, departed_).kind, "") << entry.key;
  EXPECT_EQ(view_.group("tv").epochs.size(), 1u);
  EXPECT_EQ(view_.group("tv").wanted, 5u);
  EXPECT_TRUE(view_.group("tv").urgent);
  EXPECT_EQ(view_.group("tv").modified, modified);
  // Its revision must be known, so that the leader can write it anew.
  EXPECT_EQ(view_.take({keys_.group("tv"), "x", 90, 91}, host_.clock.steady, departed_).kind, "group");
  EXPECT_EQ(view_.group("tv").modified, 91);
  EXPECT_EQ(view_.group("tv").value.highest, 5u);
}

TEST_F(ClusterViewTest, AGenerationIsTakenOnce) {
  const etcd::KeyValue entry{keys_.generation(), other_, 5, 5};
  EXPECT_EQ(view_.take(entry, host_.clock.steady, departed_).kind, "generation");
  EXPECT_EQ(view_.take(entry, host_.clock.steady, departed_).kind, "");
  EXPECT_EQ(view_.generation(), 5);
  view_.found_generation(9);
  EXPECT_EQ(view_.same_generation().revision, 9);
}

TEST_F(ClusterViewTest, H11_HowFarOneWasThatVanishedIsKeptWhileItIsWaitedFor) {
  departed_.expect_lease(60s);
  departed_.vanished(other_, "b", host_.clock.steady);
  say(third_, {1, 1});
  say(other_, {1, 1});
  read();
  EXPECT_EQ(view_.group("tv").at.count(third_), 0u) << "it is neither alive nor known to have vanished";
  say(self_, {2, 2});
  read();
  EXPECT_EQ(view_.group("tv").at.at(other_).switched, 1u);
  departed_.expire(host_.clock.steady + 60s);
  say(self_, {3, 3});
  read();
  EXPECT_EQ(view_.group("tv").at.count(other_), 0u);
}

TEST_F(ClusterViewTest, EpochsAreForgottenTwoMinutesAfterTheirEnd) {
  put_epoch(1, 1);
  read();
  EXPECT_THAT(view_.expire("tv", host_.clock.unix_ms + 3'600'000 + 120'000), IsEmpty());
  EXPECT_THAT(view_.expire("tv", host_.clock.unix_ms + 3'600'000 + 120'001), ElementsAre(1u));
  EXPECT_EQ(view_.epoch("tv", 1), nullptr);
  EXPECT_THAT(view_.expire("none", 0), IsEmpty());
}

TEST_F(ClusterViewTest, TheLastBlockIsThatOfTheEpochThatWasMadeLast) {
  EpochValue first = put_epoch(1, 1);
  const EpochValue second = put_epoch(2, 1);
  put(keys_.epoch("tv", 1), first.text());
  read();
  EXPECT_EQ(view_.last_block().prefix, second.spi_prefix) << "the first was changed, not made again";
  view_.clear();
  EXPECT_EQ(view_.last_block().created, 0);
  EXPECT_THAT(view_.groups(), IsEmpty());
  EXPECT_EQ(view_.self().incarnation, "");
}

}  // namespace
}  // namespace sealcast::cluster::testing
