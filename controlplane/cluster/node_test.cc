// What must never repeat, and what must go on, with several nodes over one etcd in memory.
#include "controlplane/cluster/testing/node_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(ClusterNodes, AllServeOneEpochUnderOneLeader) {
  pass(1s);
  int leaders = 0;
  for (const auto& server : servers_) {
    EXPECT_TRUE(server->node->serving()) << server->node->status().state;
    EXPECT_EQ(server->active, servers_[0]->active);
    leaders += server->node->status().leading ? 1 : 0;
    EXPECT_EQ(server->node->status().servers.size(), 3u);
  }
  EXPECT_EQ(leaders, 1);
  EXPECT_NE(servers_[0]->active, 0u);
  expect_one_secret_each();
}

TEST_F(ClusterNodes, H14_NoSecretLiesInEtcdInClear) {
  pass(1s);
  ASSERT_FALSE(servers_[0]->premasters.empty());
  const std::string& secret = servers_[0]->premasters.begin()->second;
  for (const auto& [key, value] : store_.keys) {
    EXPECT_EQ(value.value.find(secret), std::string::npos);
    EXPECT_EQ(to_hex(as_bytes(value.value)).find(secret), std::string::npos);
  }
}

TEST_F(ClusterNodes, H9_SlotsOfAllServersAreDistinct) {
  pass(1s);
  take_slots(60);
  EXPECT_GT(given_.size(), 150u);
}

TEST_F(ClusterNodes, H9_AnAnswerThatIsLostBurnsTheBlock) {
  pass(1s);
  Server& one = *servers_[0];
  for (int i = 0; i < 40; ++i) {
    one.etcd.lose_answers = i % 3 == 0;
    take_slot(one, one.active);
    one.tick();
  }
  one.etcd.lose_answers = false;
  take_slots(30);
}

TEST_F(ClusterNodes, ARekeyIsActiveEverywhereOnlyWhenAllHaveIt) {
  pass(15s);
  Server& slow = *servers_[2];
  slow.installs = false;
  const std::uint64_t before = servers_[0]->active;
  servers_[1]->node->want_epoch("tv", before, "asked for");
  pass(2s);
  EXPECT_EQ(servers_[0]->epochs.size(), 2u) << "everybody has it";
  EXPECT_EQ(servers_[0]->active, before) << "and nobody uses it yet";
  slow.installs = true;
  pass(1s);
  for (const auto& server : servers_)
    EXPECT_GT(server->active, before);
  expect_one_secret_each();
}

TEST_F(ClusterNodes, ALeaderThatSleptThroughItsLeaseDoesNoHarm) {
  pass(15s);
  Server* const old = leader();
  ASSERT_NE(old, nullptr);
  old->node->want_epoch("tv", old->active, "asked for");
  old->node->tick();  // asks, and falls asleep before the answer
  old->paused = true;
  pass(3s);
  end_leases_of(*old);
  pass(3s);
  ASSERT_NE(leader(), nullptr);
  const std::uint64_t now = rekey(other_than(old));
  old->paused = false;
  old->etcd.answer();
  EXPECT_FALSE(old->slot(old->active)) << "it knows that it does not know";
  pass(3s);
  EXPECT_EQ(old->cuts, 1);
  EXPECT_TRUE(old->node->serving());
  EXPECT_EQ(old->active, now);
  take_slots(20);
  expect_one_secret_each();
}

TEST_F(ClusterNodes, ANewLeaderRetiresOldEpochsAsSoonAsTheOneBeforeItWould) {
  pass(15s);
  for (int i = 0; i < 3; ++i)
    rekey(*servers_[0]);
  const auto alive = [&] {
    std::size_t count = 0;
    for (const auto& [key, value] : store_.keys)
      if (key.find("/shared/epoch/") != std::string::npos) count += EpochValue::parse(value.value)->retired ? 0u : 1u;
    return count;
  };
  pass(12s);
  EXPECT_GT(alive(), 1u);
  ASSERT_NE(leader(), nullptr);
  end_leases_of(*leader());
  pass(6s);
  EXPECT_EQ(alive(), 1u);
  rekey(*servers_[0]);
}

TEST_F(ClusterNodes, CutOffItServesNobodyAndComesBackByItself) {
  pass(1s);
  Server& one = *servers_[0];
  const std::uint64_t epoch = one.active;
  one.etcd.reachable = false;
  pass(5s);
  EXPECT_FALSE(one.node->serving());
  EXPECT_EQ(one.cuts, 1);
  EXPECT_FALSE(one.slot(epoch));
  EXPECT_THAT(one.refusal, HasSubstr("cut off"));
  EXPECT_FALSE(one.node->revoke({"mallory", "", 5}).has_value());
  end_leases_of(one);
  one.etcd.reachable = true;
  pass(2s);
  EXPECT_TRUE(one.node->serving());
  EXPECT_EQ(one.active, epoch) << "the epoch is still good";
  take_slots(20);
}

TEST_F(ClusterNodes, H9_ARestartGoesOnInTheSameEpochWithOtherSlots) {
  pass(1s);
  take_slots(5);
  const std::uint64_t epoch = servers_[0]->active;
  for (auto& server : servers_) {
    server->crash();
    pass(300ms);
    server->open();  // its lease before is given up at once
    pass(1s);
    if (!leader()) pass(2s);
    EXPECT_EQ(server->active, epoch) << server->notes;
    take_slots(5);
  }
  take_slots(20);
  EXPECT_GT(given_.size(), 60u);
}

TEST_F(ClusterNodes, H9_ARestoredBackupMeansNewEpochs) {
  pass(15s);
  const auto backup_keys = store_.keys;
  const auto backup_revision = store_.revision;
  take_slots(30);
  const std::uint64_t second = rekey(*servers_[0]);
  take_slots(30);
  ASSERT_TRUE(servers_[1]->node->revoke({"mallory", "", 5}).has_value());
  pass(1s);

  store_.keys = backup_keys;
  store_.revision = backup_revision;
  pass(500ms);
  for (const auto& server : servers_)
    EXPECT_GE(server->cuts, 1) << server->notes;
  pass(20s);
  for (const auto& server : servers_) {
    EXPECT_TRUE(server->node->serving()) << server->node->status().state;
    EXPECT_GT(server->active, second) << "a number that was never there";
    EXPECT_EQ(server->node->revocations()->size(), 1u) << "nobody comes back by a backup";
  }
  EXPECT_TRUE(std::any_of(store_.keys.begin(), store_.keys.end(),
                          [](const auto& entry) { return entry.first.find("/revoked/") != std::string::npos; }));
  take_slots(30);
  expect_one_secret_each();
  for (const auto& server : servers_)
    for (const auto& [prefix, numbers] : server->prefixes)
      EXPECT_EQ(numbers.size(), 1u) << "members may still hold an epoch with the SPIs from " << prefix;
}

// Before it has read anything it knows the newest epochs from what was answered to the revocation itself.
TEST_F(ClusterNodes, H11_ARevocationAtWhoHasJustComeCountsWhatItHasNotReadYet) {
  pass(15s);
  Server& late = other_than(leader());
  late.crash();
  pass(15s);
  const std::uint64_t made = rekey(*leader());
  pass(90s);
  late.open();
  for (int i = 0; i < 50 && !late.node->revoke({"mallory", "", 5}).has_value(); ++i)
    late.tick();
  EXPECT_TRUE(late.epochs.empty()) << "it has read nothing yet";
  EXPECT_GE(late.node->highest("tv"), made);
}

TEST_F(ClusterNodes, H11_WhoWaitsForLeasesOfStrangersIsToldWhenTheyAreOver) {
  pass(90s);
  Server& one = other_than(leader());
  Server& other = third_than(one);
  const std::uint64_t before = one.active;
  other.paused = true;
  pass(4s);
  end_leases_of(other);
  rekey(one);
  pass(5s);
  EXPECT_FALSE(one.node->switched_elsewhere("tv", before));
  const int told = one.others;
  bool after = false;
  for (int i = 0; i < 1000 && !after; ++i) {
    pass(100ms);
    after = one.node->switched_elsewhere("tv", before);
  }
  ASSERT_TRUE(after);
  pass(300ms);
  EXPECT_GT(one.others, told);
}

TEST_F(ClusterNodes, WhatTheHostNotesOfAGroupOutlivesTheProcess) {
  pass(15s);
  EXPECT_EQ(servers_[0]->node->standing("tv"), "");
  servers_[0]->node->note_standing({{"tv", "abc"}, {"radio two", "def"}});
  servers_[0]->node->note_standing({{"tv", "abd"}});
  servers_[0]->crash();
  servers_[0]->open();
  EXPECT_EQ(servers_[0]->node->standing("tv"), "abd");
  EXPECT_EQ(servers_[0]->node->standing("radio two"), "def");
}

TEST_F(ClusterNodes, H11_ARevocationIsKnownEverywhereAndLifted) {
  pass(1s);
  ASSERT_TRUE(servers_[0]->node->revoke({"mallory", "tv", 5}).has_value());
  pass(500ms);
  for (const auto& server : servers_) {
    ASSERT_EQ(server->node->revocations()->size(), 1u);
    EXPECT_EQ(server->node->revocations()->front().member_id, "mallory");
  }
  EXPECT_TRUE(*servers_[2]->node->reinstate("mallory", "tv"));
  pass(500ms);
  EXPECT_TRUE(servers_[0]->node->revocations()->empty());
  EXPECT_FALSE(*servers_[0]->node->reinstate("mallory", "tv"));
}

// Each at another key server, before what was done at the one before has come there.
TEST_F(ClusterNodes, H11_ARevocationAfterAnotherThatWasLiftedCounts) {
  pass(1s);
  ASSERT_TRUE(servers_[0]->node->revoke({"mallory", "tv", 5}).has_value());
  pass(500ms);
  ASSERT_TRUE(servers_[1]->node->revoke({"mallory", "tv", 9}).has_value());
  EXPECT_EQ(servers_[1]->node->revocations()->front().since, 5) << "it is the same one still";
  ASSERT_TRUE(*servers_[2]->node->reinstate("mallory", "tv"));
  ASSERT_TRUE(servers_[0]->node->revoke({"mallory", "tv", 5}).has_value());
  pass(500ms);
  for (const auto& server : servers_) {
    ASSERT_EQ(server->node->revocations()->size(), 1u) << "whoever was told that it is done may rely on it";
    EXPECT_EQ(server->node->revocations()->front().since, 6) << "and nobody takes it for the one before";
  }
}

TEST_F(ClusterNodes, H11_NobodyElseHasSwitchedBeforeItSaysSo) {
  pass(15s);
  const std::uint64_t before = servers_[0]->active;
  EXPECT_FALSE(servers_[0]->node->switched_elsewhere("tv", before));
  rekey(*servers_[0]);
  pass(1s);
  EXPECT_TRUE(servers_[0]->node->switched_elsewhere("tv", before));
  // One that vanishes may have senders that go on for their lease.
  servers_[1]->paused = true;
  pass(4s);
  end_leases_of(*servers_[1]);
  pass(1s);
  EXPECT_FALSE(servers_[0]->node->switched_elsewhere("tv", servers_[0]->active));
}

// The soak's finding: the epoch is in etcd, and the revoked member got it from a key server that was quicker.
TEST_F(ClusterNodes, H11_ARevocationCountsAnEpochThatDidNotComeHereYet) {
  pass(90s);
  Server& one = other_than(leader());
  const std::uint64_t before = one.active;
  one.paused = true;  // between two of its looks
  leader()->node->want_epoch("tv", before, "asked for");
  pass(1s);
  const std::uint64_t made = leader()->epochs.rbegin()->first;
  ASSERT_GT(made, before);
  EXPECT_EQ(one.node->highest("tv"), before);
  ASSERT_TRUE(one.node->revoke({"mallory", "", 5}).has_value());
  EXPECT_EQ(one.node->highest("tv"), made);
  one.node->want_epoch("tv", one.node->highest("tv"), "revocation");
  one.paused = false;
  pass(15s);
  EXPECT_GT(one.active, made) << "mallory has that one";
  EXPECT_EQ(one.epochs.size(), leader()->epochs.size());
  const std::size_t epochs = one.epochs.size();
  pass(30s);
  EXPECT_EQ(one.epochs.size(), epochs) << "and one is enough";
}

// A key server that reads of a revocation together with the epoch that was made for it needs no other.
TEST_F(ClusterNodes, H11_AnEpochMadeAfterARevocationIsNotHeldByTheRevoked) {
  pass(15s);
  Server& one = other_than(leader());
  const std::uint64_t before = one.active;
  one.paused = true;
  const store::Revocation mallory{"mallory", "tv", 5};
  ASSERT_TRUE(leader()->node->revoke(mallory).has_value());
  EXPECT_EQ(leader()->node->highest_before_revocation("tv", mallory), before);
  leader()->node->want_epoch("tv", before, "revocation");
  pass(1s);
  one.paused = false;
  pass(5s);
  EXPECT_GT(one.node->highest("tv"), before);
  EXPECT_EQ(one.node->highest_before_revocation("tv", mallory), before);
}

TEST_F(ClusterNodes, H11_WhoWasCutOffDoesNotKnowWhoVanishedMeanwhile) {
  pass(90s);
  Server& one = other_than(leader());
  Server& gone = third_than(one);
  const std::uint64_t before = one.active;
  one.etcd.reachable = false;
  pass(5s);
  ASSERT_EQ(one.cuts, 1);
  gone.crash();
  end_leases_of(gone);
  pass(1s);
  one.etcd.reachable = true;
  pass(15s);
  ASSERT_TRUE(one.node->serving());
  rekey(one);
  pass(1s);
  EXPECT_FALSE(one.node->switched_elsewhere("tv", before)) << "senders of the third may go on for their lease";
  pass(60s);
  EXPECT_TRUE(one.node->switched_elsewhere("tv", before));
}

TEST_F(ClusterNodes, H11_AWishMadeWithLessKnowledgeDoesNotUndoAnother) {
  pass(15s);
  Server& one = other_than(leader());
  const std::uint64_t before = one.active;
  rekey(one);
  one.node->want_epoch("tv", one.active, "revocation");
  const Keys keys("ks.example");
  one.etcd.answer();
  store_.run({{}, {etcd::Put{keys.want("tv"), std::to_string(before) + " wanted"}}, {}});
  const std::uint64_t known = one.active;
  pass(15s);
  EXPECT_GT(one.active, known);
}

TEST_F(ClusterNodes, AWishFromTheFutureIsNoWish) {
  pass(15s);
  const Keys keys("ks.example");
  const std::uint64_t before = servers_[0]->active;
  store_.run({{}, {etcd::Put{keys.want("tv"), std::to_string(~std::uint64_t{0} >> 1) + " urgent"}}, {}});
  pass(30s);
  EXPECT_EQ(servers_[0]->active, before);
}

TEST_F(ClusterNodes, AnotherClusterKeyIsRefusedAndNamed) {
  pass(1s);
  servers_[2]->crash();
  end_leases_of(*servers_[2]);
  servers_[2]->key = 1;
  servers_[2]->open();
  pass(5s);
  EXPECT_TRUE(servers_[2]->epochs.empty());
  EXPECT_THAT(servers_[2]->notes, HasSubstr("key_file"));
}

// The operator that ordered it was told that it would be done.
TEST_F(ClusterNodes, ARekeyThatWasAskedForIsNotForgottenByOneThatWasCutOff) {
  pass(15s);
  Server& one = other_than(leader());
  const std::uint64_t before = one.active;
  one.etcd.reachable = false;
  one.node->want_epoch("tv", before, "asked for");
  pass(5s);
  EXPECT_EQ(one.cuts, 1);
  EXPECT_EQ(leader()->active, before);
  one.etcd.reachable = true;
  pass(15s);
  EXPECT_GT(leader()->active, before);
  EXPECT_EQ(one.active, leader()->active);
  const std::uint64_t after = one.active;
  pass(30s);
  EXPECT_EQ(one.active, after) << "and not twice";
}

TEST_F(ClusterNodes, TheStatusNamesTheLeaderItsPeersAndWhatIsWrong) {
  pass(1s);
  Server* const lead = leader();
  ASSERT_NE(lead, nullptr);
  Server& other = other_than(lead);
  Node::Status status = other.node->status();
  EXPECT_EQ(status.leader, lead->name_);
  EXPECT_EQ(status.alarm, "");
  EXPECT_GT(status.revision, 1);
  ASSERT_TRUE(status.lease_left.has_value());
  EXPECT_GT(*status.lease_left, 3s);
  ASSERT_EQ(status.servers.size(), 3u);
  for (const auto& server : status.servers) {
    EXPECT_EQ(server.leader, server.peer.name == lead->name_);
    EXPECT_EQ(server.self, server.peer.name == other.name_);
    EXPECT_EQ(server.peer.address, "10.0.0.1:7400");
  }
  for (const auto& server : other.node->group_status("tv").servers) {
    EXPECT_EQ(server.installed, other.active) << server.name;
    EXPECT_EQ(server.switched, other.active) << server.name;
  }

  lead->crash();
  end_leases_of(*lead);
  pass(1s);
  status = other.node->status();
  EXPECT_NE(status.leader, lead->name_);
  EXPECT_EQ(status.servers.size(), 2u);
  ASSERT_EQ(status.gone.size(), 1u);
  EXPECT_EQ(status.gone[0].name, lead->name_);

  other.etcd.reachable = false;
  pass(2s);
  status = other.node->status();
  EXPECT_EQ(status.state, "serving") << "not cut off yet";
  EXPECT_THAT(status.alarm, HasSubstr("no answer"));
  EXPECT_THAT(other.notes, HasSubstr("cluster_etcd_silent"));
  pass(3s);
  status = other.node->status();
  EXPECT_THAT(status.alarm, HasSubstr("cut off"));
  ASSERT_TRUE(status.cut_off_for.has_value());
  EXPECT_LT(*status.cut_off_for, 2s);
  const auto lines = other.notes.size();
  pass(4s);
  EXPECT_LT(other.notes.size(), lines + 300) << "it does not say so ten times a second";
  other.etcd.reachable = true;
  pass(10s);
  EXPECT_EQ(other.node->status().alarm, "");
}

TEST_F(ClusterNodes, WhatIsNoRecordOfOursIsLeftAlone) {
  pass(1s);
  const Keys keys("ks.example");
  for (const std::string& key :
       {keys.shared() + "epoch/7476/x", keys.shared() + "epoch/zz/1", keys.epoch("tv", 5), keys.group("tv") + "/x",
        keys.at("tv", "x"), keys.want("tv"), keys.revoked("m", ""), keys.shared() + "else", keys.live() + "server/x"})
    store_.run({{}, {etcd::Put{key, "rubbish \x01\xff"}}, {}});
  pass(2s);
  for (const auto& server : servers_)
    EXPECT_TRUE(server->node->serving());
  take_slots(10);
}

}  // namespace
}  // namespace sealcast::cluster::testing
