// What the others are told, until they know it.
#include "controlplane/cluster/notices.h"

#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::ElementsAre;

class ClusterNotices : public ClusterPart {
 protected:
  // Tells what there is to tell, and reads what came of it. Returns the keys it wrote.
  std::vector<std::string> tell() {
    const auto transaction = notices_.next();
    if (!transaction) return {};
    const auto reply = store_.run(*transaction);
    EXPECT_TRUE(notices_.answered(&reply));
    read();
    return keys_of(*transaction);
  }
  std::string value(const std::string& key) const { return store_.keys.at(key).value; }

  Notices notices_{host_, view_};
};

TEST_F(ClusterNotices, HowFarTheMembersAreIsToldOnceAndUntilTheyHaveSwitched) {
  put_epoch(5, 5);
  read();
  EXPECT_TRUE(notices_.idle());
  notices_.installed("tv", 5);
  notices_.installed("tv", 4);
  EXPECT_EQ(notices_.here("tv"), (AtValue{5, 0}));
  EXPECT_THAT(tell(), ElementsAre(keys_.at("tv", self_)));
  EXPECT_EQ(value(keys_.at("tv", self_)), "5 0");
  EXPECT_EQ(store_.keys.at(keys_.at("tv", self_)).lease, lease_);
  EXPECT_THAT(tell(), ElementsAre());
  EXPECT_FALSE(notices_.idle()) << "they have not switched yet";
  host_.switched_to["tv"] = 5;
  EXPECT_THAT(tell(), ElementsAre(keys_.at("tv", self_)));
  EXPECT_EQ(value(keys_.at("tv", self_)), "5 5");
  EXPECT_THAT(tell(), ElementsAre());
  EXPECT_TRUE(notices_.idle());
}

TEST_F(ClusterNotices, AWishIsToldOnceAndStandsUntilThereIsANewerEpoch) {
  put_epoch(5, 5);
  read();
  notices_.want("tv", 5, false);
  EXPECT_THAT(tell(), ElementsAre(keys_.want("tv")));
  EXPECT_EQ(value(keys_.want("tv")), "5 wanted");
  EXPECT_THAT(tell(), ElementsAre());
  EXPECT_FALSE(notices_.idle());
  notices_.clear();
  EXPECT_THAT(tell(), ElementsAre(keys_.want("tv"))) << "the session was another one";
  put_epoch(6, 5);
  read();
  EXPECT_THAT(tell(), ElementsAre());
  EXPECT_TRUE(notices_.idle());
}

TEST_F(ClusterNotices, H11_AWishIsNeitherLoweredNorLessUrgent) {
  notices_.want("tv", 5, true);
  notices_.want("tv", 4, false);
  tell();
  EXPECT_EQ(value(keys_.want("tv")), "5 urgent");
  const auto overwritten_by = [&](const std::string& other) {
    put(keys_.want("tv"), other);
    read();
    notices_.wish_read("tv");
    return !tell().empty();
  };
  EXPECT_TRUE(overwritten_by("4 urgent"));
  EXPECT_TRUE(overwritten_by("5 wanted"));
  EXPECT_FALSE(overwritten_by("6 urgent"));
}

TEST_F(ClusterNotices, WhatWasNotDoneIsToldAgain) {
  notices_.want("tv", 5, false);
  notices_.put_back({etcd::Put{keys_.revoked("m", ""), "1 revoked"}});
  notices_.installed("tv", 5);
  const auto first = notices_.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->success.size(), 3u);
  EXPECT_FALSE(notices_.next()) << "one transaction at a time";
  EXPECT_FALSE(notices_.answered(nullptr));
  const auto again = notices_.next();
  ASSERT_TRUE(again);
  EXPECT_EQ(keys_of(*again), keys_of(*first));
  etcd::Reply refused;
  EXPECT_FALSE(notices_.answered(&refused));
  EXPECT_EQ(tell(), keys_of(*first));
  EXPECT_THAT(tell(), ElementsAre());
}

TEST_F(ClusterNotices, AWishMadeMeanwhileIsToldToo) {
  notices_.want("tv", 5, false);
  const auto first = notices_.next();
  notices_.want("tv", 6, false);
  const auto reply = store_.run(*first);
  EXPECT_TRUE(notices_.answered(&reply));
  EXPECT_THAT(tell(), ElementsAre(keys_.want("tv")));
  EXPECT_EQ(value(keys_.want("tv")), "6 wanted");
}

TEST_F(ClusterNotices, NoKeyIsWrittenTwiceInOneTransactionAndTheLastCounts) {
  const std::string key = keys_.revoked("m", "");
  notices_.put_back({etcd::Put{key, "1 revoked"}, etcd::Put{key, "2 revoked"}});
  EXPECT_THAT(tell(), ElementsAre(key));
  EXPECT_EQ(value(key), "2 revoked");
  EXPECT_EQ(store_.duplicate_puts, 0);
  EXPECT_TRUE(notices_.idle());
}

TEST_F(ClusterNotices, MuchIsToldInSeveralTransactions) {
  Operations lost;
  for (int i = 0; i < 250; ++i)
    lost.push_back(etcd::Put{keys_.revoked("m" + std::to_string(i), ""), "1 revoked"});
  notices_.put_back(std::move(lost));
  EXPECT_EQ(tell().size(), max_operations);
  EXPECT_EQ(tell().size(), max_operations);
  EXPECT_EQ(tell().size(), 50u);
  EXPECT_TRUE(notices_.idle());
}

TEST_F(ClusterNotices, AKeyServerWhoseLeaseHasEndedTellsNothing) {
  notices_.installed("tv", 5);
  const auto transaction = notices_.next();
  remove(keys_.server(self_));
  EXPECT_FALSE(store_.run(*transaction).succeeded);
}

}  // namespace
}  // namespace sealcast::cluster::testing
