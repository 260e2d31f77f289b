// Which slots are claimed, and that none is handed out before it is (H9).
#include "controlplane/cluster/slot_claims.h"

#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ClusterSlotClaims : public ClusterPart {
 protected:
  static constexpr std::uint64_t number = 5;

  std::optional<etcd::Transaction> next() { return claims_.next(host_.clock.unix_ms); }
  Result<store::Issue> issue(std::uint16_t count) { return claims_.issue({"tv", number, "m", "1", "a", 3, count, 0}); }
  // As many claims as are wanted, all carried out.
  void claim() {
    while (const auto ask = next()) {
      const auto reply = store_.run(*ask);
      claims_.answered(&reply);
    }
  }
  void own(std::uint32_t block, const std::string& incarnation) { put(keys_.slot("tv", number, block), incarnation); }

  const SlotClaims::Epoch epoch_{"tv", number};
  SlotClaims claims_{view_};
};

TEST_F(ClusterSlotClaims, H9_WhatWasAssignedWithTheEpochIsItsOwnAtOnce) {
  put_epoch(number, number, {other_, self_});
  read();
  EXPECT_FALSE(issue(1)) << "not before the epoch is taken up";
  EXPECT_TRUE(claims_.ready(epoch_, 16));
  const auto issued = issue(1);
  ASSERT_TRUE(issued) << issued.error().message;
  EXPECT_EQ(issued->first_slot, 16u) << "the second block";
  EXPECT_EQ(issued->slots_used, 32u) << "the other's block counts as used";
  EXPECT_TRUE(claims_.ready(epoch_, 15)) << "it is not given them again";
  EXPECT_FALSE(claims_.ready(epoch_, 16));
}

TEST_F(ClusterSlotClaims, H9_NoSlotIsHandedOutBeforeItsBlockIsClaimed) {
  put_epoch(number, number);
  read();
  EXPECT_FALSE(claims_.ready(epoch_, 20));
  EXPECT_TRUE(claims_.wants(epoch_));
  const auto ask = next();
  ASSERT_TRUE(ask);
  EXPECT_THAT(keys_of(*ask), ElementsAre(keys_.slot("tv", number, 0), keys_.slot("tv", number, 1)));
  EXPECT_FALSE(next()) << "one claim at a time";
  const auto refused = issue(1);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("expected 1 slots in a row, got 0 claimed"));
  const auto reply = store_.run(*ask);
  ASSERT_TRUE(reply.succeeded);
  EXPECT_THAT(claims_.answered(&reply), ElementsAre("tv"));
  EXPECT_FALSE(claims_.wants(epoch_));
  EXPECT_TRUE(claims_.ready(epoch_, 20));
  EXPECT_EQ(issue(20)->first_slot, 0u);
  EXPECT_EQ(store_.keys.at(keys_.slot("tv", number, 1)).value, self_);
}

TEST_F(ClusterSlotClaims, H9_AClaimHoldsOnlyForTheSessionTheGenerationAndTheEpochAsItWasRead) {
  put_epoch(number, number);
  read();
  const auto refused = [&](const auto& change) {
    const auto keys = store_.keys;
    claims_.clear();
    claims_.want(epoch_, 1);
    const auto ask = next();
    change();
    const bool succeeded = store_.run(*ask).succeeded;
    store_.keys = keys;
    return !succeeded;
  };
  EXPECT_FALSE(refused([] {}));
  EXPECT_TRUE(refused([&] { remove(keys_.server(self_)); }));
  EXPECT_TRUE(refused([&] { put(keys_.generation(), other_); }));
  EXPECT_TRUE(refused([&] { put(keys_.epoch("tv", number), "retired"); }));
  EXPECT_TRUE(refused([&] { own(0, other_); }));
}

TEST_F(ClusterSlotClaims, H9_WhereOthersWereQuickerItGoesOnBehindThem) {
  put_epoch(number, number);
  read();
  for (std::uint32_t block = 0; block < 5; ++block)
    own(block, other_);
  claims_.want(epoch_, 1);
  const auto ask = next();
  ASSERT_TRUE(ask);
  const auto reply = store_.run(*ask);
  EXPECT_FALSE(reply.succeeded);
  EXPECT_THAT(claims_.answered(&reply), IsEmpty());
  EXPECT_TRUE(claims_.wants(epoch_)) << "still";
  EXPECT_EQ(issue(0)->slots_used, 80u);
  claim();
  const auto issued = issue(1);
  ASSERT_TRUE(issued);
  EXPECT_EQ(issued->first_slot, 80u);
}

TEST_F(ClusterSlotClaims, H9_AClaimWithoutAnAnswerBurnsItsBlocks) {
  put_epoch(number, number);
  read();
  claims_.want(epoch_, 1);
  const auto ask = next();
  ASSERT_TRUE(store_.run(*ask).succeeded) << "and its answer is lost";
  EXPECT_THAT(claims_.answered(nullptr), IsEmpty());
  const auto again = next();
  ASSERT_TRUE(again);
  EXPECT_EQ(keys_of(*again).front(), keys_.slot("tv", number, 2));
  const auto reply = store_.run(*again);
  claims_.answered(&reply);
  EXPECT_EQ(issue(1)->first_slot, 2 * most_block_slots);
}

TEST_F(ClusterSlotClaims, EachClaimIsTwiceTheLast) {
  put_epoch(number, number);
  read();
  std::vector<std::size_t> sizes;
  for (int i = 0; i < 6; ++i) {
    claims_.want(epoch_, 1);
    const auto ask = next();
    sizes.push_back(ask->success.size());
    const auto reply = store_.run(*ask);
    claims_.answered(&reply);
  }
  EXPECT_THAT(sizes, ElementsAre(2u, 4u, 8u, 16u, 32u, 32u));
}

TEST_F(ClusterSlotClaims, WhatCannotBeHadIsNotWantedAnyMore) {
  put_epoch(number, number);
  read();
  claims_.want({"tv", 4}, 1);
  claims_.want({"radio", 1}, 1);
  EXPECT_FALSE(next());
  EXPECT_TRUE(claims_.idle());
  claims_.want(epoch_, 1);
  host_.pass(1h);
  EXPECT_FALSE(next()) << "the epoch is over";
  EXPECT_TRUE(claims_.idle());
}

TEST_F(ClusterSlotClaims, H9_AnEpochRunsOutAndIsReadyWithWhatItHas) {
  put_epoch(number, number, {}, 6);  // 64 blocks of one slot
  read();
  EXPECT_FALSE(claims_.ready(epoch_, 1000)) << "as many as half the epoch's";
  for (int i = 0; i < 100; ++i) {
    claims_.want(epoch_, 8);
    claim();
  }
  EXPECT_TRUE(claims_.ready(epoch_, 1000));
  EXPECT_EQ(issue(64)->first_slot, 0u);
  EXPECT_FALSE(issue(1));
  EXPECT_FALSE(next());
  EXPECT_FALSE(claims_.wants(epoch_)) << "there will not be any more";
  EXPECT_TRUE(claims_.ready(epoch_, 1));
}

TEST_F(ClusterSlotClaims, MoreIsWantedBeforeTheLastIsGiven) {
  put_epoch(number, number, {self_});
  read();
  ASSERT_TRUE(claims_.ready(epoch_, 0));
  claims_.refill(epoch_);
  EXPECT_TRUE(claims_.idle());
  issue(8);
  EXPECT_TRUE(claims_.idle());
  EXPECT_FALSE(claims_.low(epoch_));
  issue(1);
  EXPECT_TRUE(claims_.low(epoch_));
  EXPECT_TRUE(claims_.wants(epoch_));
  EXPECT_TRUE(claims_.any(epoch_));
}

TEST_F(ClusterSlotClaims, H9_OfASessionThatIsOverNothingIsLeft) {
  put_epoch(number, number, {self_});
  read();
  ASSERT_TRUE(claims_.ready(epoch_, 1));
  claims_.want(epoch_, 1);
  ASSERT_TRUE(next());
  claims_.clear();
  EXPECT_FALSE(claims_.any(epoch_));
  EXPECT_FALSE(next());
  EXPECT_THAT(claims_.answered(nullptr), IsEmpty());
}

}  // namespace
}  // namespace sealcast::cluster::testing
