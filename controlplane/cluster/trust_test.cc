// Which of what lies in etcd is gone on with: nothing that may have been lost is used, whichever key server comes
// first.
#include "controlplane/cluster/trust.h"

#include "controlplane/cluster/testing/node_fixture.h"
#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::HasSubstr;

class ClusterTrust : public ClusterNodes {
 protected:
  struct Backup {
    std::map<std::string, FakeStore::Value> keys;
    etcd::Revision revision;
    std::set<std::int64_t> leases;
  };
  Backup backup() const { return {store_.keys, store_.revision, store_.leases}; }
  // Leases are in it, and begin anew.
  void restore(const Backup& backup) {
    store_.keys = backup.keys;
    store_.revision = backup.revision;
    store_.leases = backup.leases;
  }
  void end_all_leases() {
    for (const std::int64_t lease : std::set(store_.leases))
      store_.end_lease(lease);
  }
  void forget(Server& server) { unlink((folder_ + "/" + server.name_).c_str()); }
  std::size_t epochs_in_etcd() const {
    const std::string prefix = Keys("ks.example").shared() + "epoch/";
    return static_cast<std::size_t>(std::count_if(
        store_.keys.begin(), store_.keys.end(), [&](const auto& entry) { return entry.first.rfind(prefix, 0) == 0; }));
  }
};

TEST_F(ClusterTrust, H9_AllRestartedMeansNewEpochs) {
  pass(1s);
  take_slots(5);
  const std::uint64_t epoch = servers_[0]->active;
  for (auto& server : servers_)
    server->crash();
  for (auto& server : servers_)
    server->open();
  pass(20s);
  for (const auto& server : servers_) {
    EXPECT_TRUE(server->node->serving()) << server->node->status().state;
    EXPECT_GT(server->active, epoch);
    EXPECT_EQ(server->active, servers_[0]->active);
  }
  take_slots(20);
  expect_one_secret_each();
}

// One that was away knows less than the backup has: what came after the backup is unknown to it, too.
TEST_F(ClusterTrust, H9_WhoWasAwayDoesNotTrustARestoredBackup) {
  pass(15s);
  Server& stale = *servers_[1];
  stale.crash();
  pass(15s);
  take_slots(20);
  const Backup old = backup();
  take_slots(60);
  const std::uint64_t epoch = servers_[0]->active;
  servers_[0]->crash();
  servers_[2]->crash();
  restore(old);
  stale.open();
  pass(4s);
  EXPECT_FALSE(stale.node->serving()) << "those in the backup may live";
  EXPECT_TRUE(stale.epochs.empty());
  end_all_leases();
  pass(20s);
  EXPECT_TRUE(stale.node->serving()) << stale.notes;
  EXPECT_GT(stale.active, epoch);
  take_slots(60);
  servers_[0]->open();
  servers_[2]->open();
  pass(20s);
  EXPECT_EQ(servers_[0]->active, servers_[2]->active);
  take_slots(30);
  expect_one_secret_each();
}

// The backup knows of the member, but of an earlier revocation that was lifted.
TEST_F(ClusterTrust, H11_ARestoredBackupDoesNotLiftALaterRevocation) {
  pass(15s);
  ASSERT_TRUE(servers_[0]->node->revoke({"mallory", "", 5}).has_value());
  ASSERT_TRUE(*servers_[0]->node->reinstate("mallory", ""));
  pass(1s);
  const Backup old = backup();
  ASSERT_TRUE(servers_[1]->node->revoke({"mallory", "", 9}).has_value());
  pass(1s);
  for (auto& server : servers_)
    server->crash();
  restore(old);
  store_.revision += 20;  // so that it does not show by that (etcdutl's --bump-revision)
  servers_[0]->open();
  pass(4s);
  // It may not write yet, since those in the backup may live. What it puts back later would overwrite this.
  const auto again = servers_[0]->node->revoke({"mallory", "", 12});
  ASSERT_FALSE(again.has_value());
  EXPECT_THAT(again.error().message, ::testing::HasSubstr("being put back"));
  const auto lifted = servers_[0]->node->reinstate("mallory", "");
  ASSERT_FALSE(lifted.has_value());
  EXPECT_THAT(lifted.error().message, ::testing::HasSubstr("being put back"));
  end_all_leases();
  servers_[1]->open();
  servers_[2]->open();
  pass(20s);
  for (const auto& server : servers_) {
    EXPECT_TRUE(server->node->serving()) << server->notes;
    ASSERT_EQ(server->node->revocations()->size(), 1u);
    EXPECT_EQ(server->node->revocations()->front().since, 9);
  }
  EXPECT_TRUE(*servers_[0]->node->reinstate("mallory", ""));
}

TEST_F(ClusterTrust, H9_WithoutAStateFileNobodyInABackupIsTakenForAlive) {
  pass(15s);
  take_slots(5);
  const std::uint64_t epoch = servers_[0]->active;
  const Backup old = backup();
  take_slots(30);
  for (auto& server : servers_) {
    server->crash();
    forget(*server);
  }
  restore(old);
  servers_[0]->open();
  pass(4s);
  EXPECT_FALSE(servers_[0]->node->serving());
  EXPECT_TRUE(servers_[0]->epochs.empty()) << "it uses nothing of the backup";
  end_all_leases();
  pass(20s);
  EXPECT_TRUE(servers_[0]->node->serving()) << servers_[0]->notes;
  EXPECT_GT(servers_[0]->active, epoch);
  EXPECT_THAT(servers_[0]->notes, HasSubstr("cluster_starts_over"));
  take_slots(40);
}

TEST_F(ClusterTrust, H9_AfterAnEtcdThatWasGoneForLongNothingIsTakenForSound) {
  pass(15s);
  take_slots(5);
  const std::uint64_t epoch = servers_[0]->active;
  for (auto& server : servers_)
    server->etcd.reachable = false;
  pass(6s);
  for (auto& server : servers_) {
    EXPECT_FALSE(server->node->serving());
    server->etcd.reachable = true;
  }
  pass(25s);
  for (auto& server : servers_) {
    EXPECT_TRUE(server->node->serving()) << server->notes;
    EXPECT_GT(server->active, epoch);
  }
  take_slots(10);
}

TEST_F(ClusterTrust, WhoIsAloneForTheFirstTimeBeginsAtOnce) {
  servers_[1]->crash();
  servers_[2]->crash();
  pass(1s);
  EXPECT_TRUE(servers_[0]->node->serving());
  EXPECT_NE(servers_[0]->active, 0u) << "there is nobody who could hold another";
  EXPECT_EQ(servers_[0]->notes.find("cluster_starts_over"), std::string::npos);
}

// The same incarnation under the leader's key is not enough: it must be the key that this leader made.
TEST_F(ClusterTrust, H9_AnEpochIsMadeOnlyUnderTheLeaderKeyOfItsMaker) {
  pass(15s);
  Server* const old = leader();
  ASSERT_NE(old, nullptr);
  const std::size_t before = epochs_in_etcd();
  old->node->want_epoch("tv", old->active, "asked for");
  const Keys keys("ks.example");
  const auto made = store_.keys.at(keys.leader());
  // Until what it asks next is the epoch.
  for (int i = 0; i < 4; ++i) {
    old->node->tick();
    // Whatever it asks meets another leader key, with the same value.
    store_.run({{}, {etcd::Delete{keys.leader(), ""}}, {}});
    store_.run({{}, {etcd::Put{keys.leader(), made.value, made.lease}}, {}});
    const auto recreated = store_.keys.at(keys.leader());
    ASSERT_NE(recreated.created, made.created);
    old->etcd.answer_one();
    old->etcd.answer_one();
  }
  EXPECT_EQ(epochs_in_etcd(), before);
}

// Whatever the reason for which another's name is under a block, it is not handed out.
TEST_F(ClusterTrust, H9_ABlockUnderAnothersNameIsNeverUsed) {
  pass(1s);
  Server& one = *servers_[0];
  const Keys keys("ks.example");
  std::set<std::uint32_t> strange;
  for (std::uint32_t block = 0; block < 40; ++block) {
    const std::string key = keys.slot("tv", one.active, block);
    if (store_.keys.count(key)) continue;
    store_.run({{}, {etcd::Put{key, "a stranger"}}, {}});
    strange.insert(block);
  }
  ASSERT_GT(strange.size(), 20u);
  take_slots(80);
  for (const auto& [epoch, slot] : given_)
    EXPECT_FALSE(strange.count(slot / most_block_slots)) << slot;
  EXPECT_GT(given_.size(), 150u);
}

// ---------------------------------------------------------------- the part alone

class ClusterTrustAlone : public ClusterPart {
 protected:
  // Seeks, and etcd does what it asks for.
  Trust::Outcome seek() {
    const auto enter = trust_.seek();
    if (!enter) return Trust::Outcome::refused;
    const auto reply = store_.run(*enter);
    const auto outcome = trust_.answered(&reply, host_.clock.steady);
    read();
    return outcome;
  }

  Trust trust_{view_};
};

TEST_F(ClusterTrustAlone, TheFirstOfAllIsTrustedWithoutANewGeneration) {
  trust_.begin(false, host_.clock.steady);
  EXPECT_FALSE(trust_.granted());
  host_.pass(1s);
  EXPECT_EQ(seek(), Trust::Outcome::joined);
  EXPECT_TRUE(trust_.granted());
  EXPECT_EQ(trust_.since(), host_.clock.steady);
  EXPECT_EQ(view_.generation(), 0);
  EXPECT_EQ(store_.keys.count(keys_.trusted(self_)), 1u);
}

TEST_F(ClusterTrustAlone, H9_TheFirstOneBackFoundsAGeneration) {
  put_epoch(1, 1);
  read();
  EXPECT_EQ(seek(), Trust::Outcome::founded);
  EXPECT_TRUE(trust_.granted());
  EXPECT_EQ(store_.keys.at(keys_.generation()).value, self_);
  EXPECT_FALSE(view_.usable(*view_.epoch("tv", 1), host_.clock.unix_ms));
}

TEST_F(ClusterTrustAlone, H9_WhereAnEarlierGenerationWasFoundedItIsNotTheFirst) {
  put(keys_.generation(), other_);
  read();
  EXPECT_EQ(seek(), Trust::Outcome::founded);
}

TEST_F(ClusterTrustAlone, H9_OthersThatAreTrustedMustVouchForItOrEnd) {
  join(other_);
  put(keys_.trusted(other_), "");
  read();
  EXPECT_FALSE(trust_.seek());
  put(keys_.leader(), other_);
  remove(keys_.trusted(other_));
  read();
  EXPECT_FALSE(trust_.seek()) << "a leader that is only remembered may live";
  put(keys_.vouched(self_), other_);
  read();
  EXPECT_EQ(seek(), Trust::Outcome::joined);
}

TEST_F(ClusterTrustAlone, H9_NothingIsGrantedWhereAnotherCameFirst) {
  put_epoch(1, 1);
  read();
  const auto enter = trust_.seek();
  ASSERT_TRUE(enter);
  EXPECT_FALSE(trust_.seek()) << "one transaction at a time";
  put(keys_.leader(), other_);
  const auto reply = store_.run(*enter);
  EXPECT_FALSE(reply.succeeded);
  EXPECT_EQ(trust_.answered(&reply, host_.clock.steady), Trust::Outcome::refused);
  EXPECT_FALSE(trust_.granted());
  EXPECT_TRUE(trust_.seek()) << "and it may seek again";
  EXPECT_EQ(trust_.answered(nullptr, host_.clock.steady), Trust::Outcome::refused) << "an answer was lost";
}

TEST_F(ClusterTrustAlone, AnewSessionSeeksAnewUnlessItHasStartedOverItself) {
  ASSERT_EQ(seek(), Trust::Outcome::joined);
  EXPECT_FALSE(trust_.seek()) << "there is nothing to seek";
  trust_.begin(false, host_.clock.steady);
  EXPECT_FALSE(trust_.granted());
  trust_.begin(true, host_.clock.steady);
  EXPECT_TRUE(trust_.granted());
}

TEST_F(ClusterTrustAlone, H9_OnlyTheLeaderVouchesAndOnlyForStrangers) {
  join(other_);
  join(third_);
  put(keys_.trusted(third_), "");
  read();
  EXPECT_TRUE(trust_.vouches().empty());
  lead();
  read();
  const Operations vouches = trust_.vouches();
  ASSERT_EQ(vouches.size(), 1u);
  EXPECT_EQ(std::get<etcd::Put>(vouches[0]).key, keys_.vouched(other_));
  EXPECT_EQ(std::get<etcd::Put>(vouches[0]).lease, lease_) << "its word ends with it";
  store_.run({{}, vouches, {}});
  read();
  EXPECT_TRUE(trust_.vouches().empty());
  for (char c = 'd'; c < 'z'; ++c)
    join(std::string(32, c));
  read();
  EXPECT_EQ(trust_.vouches().size(), 8u) << "the others with the next transaction";
}

}  // namespace
}  // namespace sealcast::cluster::testing
