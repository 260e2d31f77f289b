// What a leader writes, when, and under which conditions it holds.
#include "controlplane/cluster/leader.h"

#include "controlplane/cluster/sealing.h"
#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ClusterLeader : public ClusterPart {
 protected:
  ClusterLeader() {
    settings_.cluster_id = "ks";
    settings_.spi_first = 0x10000000;
    settings_.spi_last = 0x1fffffff;
    lead();
    read();
    const auto reading = clock_.reading_to_write(host_.clock.boot);
    clock_id_ = clock_.led_id();
    put(reading->key, reading->value);
    read();
  }

  std::optional<etcd::Transaction> next(Operations vouches = {}) {
    return leader_.next(std::move(vouches), host_.clock);
  }
  // One transaction, carried out and read; false: there was none to do.
  bool work() {
    const auto transaction = next();
    if (!transaction) return false;
    const auto reply = store_.run(*transaction);
    EXPECT_TRUE(reply.succeeded);
    leader_.answered(&reply);
    read();
    return true;
  }
  GroupValue tv() const { return view_.group("tv").value; }
  void want_newer() { put(keys_.want("tv"), std::to_string(tv().highest) + " wanted"); }
  void remember(std::uint64_t epoch, std::uint32_t prefix) {
    memory_.highest_epoch = epoch;
    memory_.last_prefix = prefix;
  }

  NodeSettings settings_;
  Memory memory_;
  ClusterClock clock_{view_, handshake::system_random()};
  Leader leader_{settings_, host_, handshake::system_random(), view_, memory_, clock_};
};

TEST_F(ClusterLeader, H17_AnswersQuestionsForTheClockOnceEach) {
  ASSERT_TRUE(work()) << "the first epoch";
  EXPECT_EQ(view_.epoch("tv", view_.newest(view_.group("tv"), host_.clock.unix_ms))->value.clock_id, clock_.led_id());
  while (work()) {
  }
  join(other_);
  const etcd::Revision asked = ask(other_);
  read();
  const auto answer = next();
  ASSERT_TRUE(answer);
  EXPECT_THAT(keys_of(*answer), ElementsAre(keys_.clock()));
  const auto reply = store_.run(*answer);
  leader_.answered(&reply);
  read();
  EXPECT_EQ(view_.clock().answers, asked);
  EXPECT_EQ(view_.clock().reading.clock_id, clock_.led_id());
  EXPECT_FALSE(next()) << "it is answered";
}

TEST_F(ClusterLeader, H17_ReplacesEpochsOfAnotherClock) {
  clock_id_ = clock_.led_id() + 1;
  put_epoch(5, 5);
  read();
  ASSERT_TRUE(work());
  const std::uint64_t newest = view_.newest(view_.group("tv"), host_.clock.unix_ms);
  EXPECT_GT(newest, 5u);
  EXPECT_EQ(view_.epoch("tv", newest)->value.clock_id, clock_.led_id());
}

TEST_F(ClusterLeader, StandsForElectionWhereThereIsNoLeader) {
  remove(keys_.leader());
  read();
  const auto election = next();
  ASSERT_TRUE(election);
  EXPECT_THAT(keys_of(*election), ElementsAre(keys_.leader()));
  EXPECT_FALSE(next()) << "one transaction at a time";
  const auto reply = store_.run(*election);
  leader_.answered(&reply);
  EXPECT_THAT(host_.notes, HasSubstr("cluster_leading"));
  read();
  view_.read_up_to(reply.revision - 1);
  EXPECT_FALSE(next()) << "what the leader before it did must be read first";
  view_.read_up_to(reply.revision);
  EXPECT_TRUE(next());
}

TEST_F(ClusterLeader, DoesNothingUnderAnotherLeader) {
  remove(keys_.leader());
  put(keys_.leader(), other_);
  read();
  EXPECT_FALSE(next());
}

TEST_F(ClusterLeader, H9_WhatItWritesHoldsOnlyUnderItsOwnLeaderKeyAndForWhatItRead) {
  const auto made = [&](const auto& change) {
    const auto keys = store_.keys;
    leader_.clear();
    const auto transaction = next();
    change();
    const bool succeeded = store_.run(*transaction).succeeded;
    store_.keys = keys;
    return succeeded;
  };
  EXPECT_TRUE(made([] {}));
  EXPECT_FALSE(made([&] {
    remove(keys_.leader());
    lead();
  })) << "the same name under another key";
  EXPECT_FALSE(made([&] { remove(keys_.server(self_)); }));
  EXPECT_FALSE(made([&] { put(keys_.generation(), other_); }));
  EXPECT_FALSE(made([&] { put(keys_.group("tv"), "1 1"); }));
}

TEST_F(ClusterLeader, TheFirstEpochOfAGroupIsActiveAtOnceAndAllThatLiveHaveSlotsOfIt) {
  join(other_);
  read();
  ASSERT_TRUE(work());
  EXPECT_EQ(tv().active, tv().highest);
  EXPECT_EQ(tv().highest, 1'800'000'000ull << 20);
  EXPECT_THAT(view_.epoch("tv", tv().highest)->value.assigned, ElementsAre(self_, other_));
  EXPECT_EQ(store_.keys.at(keys_.slot("tv", tv().highest, 1)).value, other_);
  EXPECT_THAT(host_.notes, HasSubstr("epoch_begun group=\"tv\" epoch=" + std::to_string(tv().highest)));
  EXPECT_FALSE(work());
}

TEST_F(ClusterLeader, H9_InANewGenerationEvenTheFirstEpochWaitsForAll) {
  put(keys_.generation(), self_);
  read();
  ASSERT_TRUE(work());
  EXPECT_EQ(tv().active, 0u);
  say(self_, {tv().highest, 0});
  read();
  host_.pass(10s);
  ASSERT_TRUE(work());
  EXPECT_EQ(tv().active, tv().highest);
}

TEST_F(ClusterLeader, H14_TheEpochIsSealedUnderTheClusterKeyAndForItsPlace) {
  settings_.key.span()[0] = 9;
  ASSERT_TRUE(work());
  const EpochValue& value = view_.epoch("tv", tv().highest)->value;
  const auto content =
      open_epoch(settings_.key, {"ks", "tv", tv().highest, value.begun_ms, value.expires_ms}, value.sealed);
  ASSERT_TRUE(content) << content.error().message;
  EXPECT_EQ(content->policy.spi_prefix, value.spi_prefix);
  EXPECT_FALSE(content->premaster.is_zero());
}

TEST_F(ClusterLeader, ANewerEpochIsActiveWhenAllHaveInstalledIt) {
  join(other_);
  read();
  ASSERT_TRUE(work());
  const std::uint64_t first = tv().highest;
  host_.pass(20s);
  want_newer();
  read();
  ASSERT_TRUE(work());
  const std::uint64_t second = tv().highest;
  EXPECT_GT(second, first);
  EXPECT_EQ(tv().active, first);
  say(self_, {second, first});
  read();
  EXPECT_FALSE(work()) << "the other one has it not";
  say(other_, {second, first});
  read();
  ASSERT_TRUE(work());
  EXPECT_EQ(tv().active, second);
}

TEST_F(ClusterLeader, OneThatSaysNothingIsWaitedForSoLongAndNotLonger) {
  join(other_);
  read();
  ASSERT_TRUE(work());
  host_.pass(20s);
  want_newer();
  read();
  ASSERT_TRUE(work());
  say(self_, {tv().highest, 0});
  const auto delay = std::chrono::milliseconds(host_.wanted.policy.activation_delay_ms);
  host_.pass(settings_.lease_ttl + 10s + delay - 1ms);
  read();
  EXPECT_FALSE(work());
  host_.pass(1ms);
  EXPECT_TRUE(work());
  EXPECT_EQ(tv().active, tv().highest);
}

TEST_F(ClusterLeader, MembersOfOneThatVanishedHaveTimeToComeToAnother) {
  join(other_);
  read();
  ASSERT_TRUE(work());
  host_.pass(20s);
  want_newer();
  read();
  ASSERT_TRUE(work());
  say(self_, {tv().highest, 0});
  remove(keys_.server(other_));
  read();
  host_.pass(9s);
  EXPECT_FALSE(work());
  host_.pass(1s);
  EXPECT_TRUE(work());
}

TEST_F(ClusterLeader, H11_WhereAMemberWasShutOutItDoesNotWaitForMembersOfOneThatVanished) {
  join(other_);
  read();
  ASSERT_TRUE(work());
  put(keys_.want("tv"), std::to_string(tv().highest) + " urgent");
  read();
  ASSERT_TRUE(work());
  say(self_, {tv().highest, 0});
  remove(keys_.server(other_));
  read();
  EXPECT_TRUE(work());
}

TEST_F(ClusterLeader, AWishFromTheFutureIsNoWish) {
  ASSERT_TRUE(work());
  put(keys_.want("tv"), std::to_string((1'800'000'000ull + 61) << 20) + " urgent");
  read();
  EXPECT_FALSE(work());
}

TEST_F(ClusterLeader, NoFifthEpochIsMadeWhileFourLive) {
  for (std::uint64_t number = 1; number <= 4; ++number)
    put_epoch(number, number);
  want_newer();
  read();
  put(keys_.want("tv"), "4 wanted");
  read();
  EXPECT_FALSE(work());
}

TEST_F(ClusterLeader, WhatIsSupersededLosesItsSecretAndItsSlotsAfterAWhile) {
  put_epoch(1, 1);
  put_epoch(2, 2);
  put(keys_.slot("tv", 1, 0), other_);
  read();
  host_.pass(std::chrono::milliseconds(host_.wanted.policy.deactivation_delay_ms) + 5s - 1ms);
  EXPECT_FALSE(work());
  host_.pass(1ms);
  ASSERT_TRUE(work());
  EXPECT_TRUE(view_.epoch("tv", 1)->value.retired);
  EXPECT_EQ(view_.epoch("tv", 1)->value.sealed, "");
  EXPECT_EQ(store_.keys.count(keys_.slot("tv", 1, 0)), 0u);
  EXPECT_FALSE(view_.epoch("tv", 2)->value.retired);
  EXPECT_FALSE(work());
}

TEST_F(ClusterLeader, WhatIsOverIsDeletedOnce) {
  put_epoch(1, 1);
  read();
  host_.pass(1h + 59s);
  put_epoch(2, 2);
  read();
  EXPECT_FALSE(next()) << "clocks differ";
  host_.pass(2s);
  const auto transaction = next();
  ASSERT_TRUE(transaction);
  EXPECT_THAT(keys_of(*transaction), ElementsAre("-" + keys_.epoch("tv", 1), "-" + keys_.slots("tv", 1)));
  leader_.answered(nullptr);
  EXPECT_FALSE(next());
  leader_.forget("tv", 1);
  EXPECT_TRUE(next());
}

TEST_F(ClusterLeader, H9_ItDoesNothingBeforeItHasReadWhatItWrote) {
  const auto transaction = next();
  ASSERT_TRUE(transaction);
  const auto reply = store_.run(*transaction);
  leader_.answered(&reply);
  EXPECT_FALSE(next()) << "else it would make another first epoch";
}

TEST_F(ClusterLeader, H5_AfterARestoredBackupNumbersAndSpisGoOnBehindThoseItRemembers) {
  remember((1'800'000'000ull + 500) << 20, 0x10050000);
  put_epoch(3, 3);
  put(keys_.generation(), self_);
  read();
  ASSERT_TRUE(work());
  EXPECT_EQ(tv().highest, ((1'800'000'000ull + 500) << 20) + 1);
  EXPECT_EQ(tv().active, 3u) << "not active before all have it";
  EXPECT_EQ(view_.epoch("tv", tv().highest)->value.spi_prefix, 0x10060000u);
}

TEST_F(ClusterLeader, H9_SpisOfAnEpochThatMayHaveBeenMadeAreNotTakenAgain) {
  const auto prefix = [&] {
    const auto transaction = next();
    for (const etcd::Operation& operation : transaction->success)
      if (const auto& put = std::get<etcd::Put>(operation); parse_shared(keys_, put.key).kind == "epoch")
        return EpochValue::parse(put.value)->spi_prefix;
    return 0u;
  };
  const std::uint32_t first = prefix();
  leader_.answered(nullptr);
  EXPECT_EQ(prefix(), first + 0x10000);
}

TEST_F(ClusterLeader, TwoEpochsOfOneTransactionHaveSpisOfTheirOwn) {
  host_.ids = {"radio", "tv"};
  ASSERT_TRUE(work());
  const std::uint64_t number = tv().highest;
  EXPECT_NE(view_.epoch("radio", number)->value.spi_prefix, view_.epoch("tv", number)->value.spi_prefix);
}

TEST_F(ClusterLeader, OfThreeEpochsInARangeForTwoOneIsNotMade) {
  settings_.spi_last = 0x1001ffff;
  host_.ids = {"one", "two", "three"};
  ASSERT_TRUE(work());
  EXPECT_THAT(view_.groups(), SizeIs(2));
  EXPECT_THAT(host_.notes, HasSubstr("no SPIs are free"));
}

TEST_F(ClusterLeader, WithoutFreeSpisItComplainsFromTimeToTime) {
  settings_.spi_last = 0x1000ffff;
  ASSERT_TRUE(work());
  host_.ids = {"radio", "tv"};
  host_.notes.clear();
  EXPECT_FALSE(work());
  EXPECT_THAT(host_.notes, HasSubstr("rekey_failed why=\"no SPIs are free"));
  host_.notes.clear();
  host_.pass(9s);
  EXPECT_FALSE(work());
  EXPECT_EQ(host_.notes, "");
  host_.pass(1s);
  EXPECT_FALSE(work());
  EXPECT_NE(host_.notes, "");
}

TEST_F(ClusterLeader, VouchesGoWithItsWorkAndAreWorkOfTheirOwn) {
  ASSERT_TRUE(work());
  EXPECT_FALSE(next());
  const auto transaction = next({etcd::Put{keys_.vouched(other_), self_, lease_}});
  ASSERT_TRUE(transaction);
  EXPECT_THAT(keys_of(*transaction), ElementsAre(keys_.vouched(other_)));
  EXPECT_THAT(transaction->compares, SizeIs(3)) << "leader, itself, generation";
}

TEST_F(ClusterLeader, ATransactionStaysBelowWhatEtcdAllows) {
  host_.ids.clear();
  for (int i = 0; i < 300; ++i)
    host_.ids.push_back("g" + std::to_string(i));
  for (char c = 'd'; c < 'z'; ++c)
    join(std::string(32, c));
  read();
  std::size_t most = 0;
  int rounds = 0;
  for (; rounds < 1000; ++rounds) {
    const auto transaction = next();
    if (!transaction) break;
    most = std::max({most, transaction->success.size(), transaction->compares.size()});
    const auto reply = store_.run(*transaction);
    leader_.answered(&reply);
    read();
  }
  EXPECT_LE(most, max_operations);
  EXPECT_LT(rounds, 1000) << "it comes to an end";
  EXPECT_THAT(view_.groups(), SizeIs(300));
}

}  // namespace
}  // namespace sealcast::cluster::testing
