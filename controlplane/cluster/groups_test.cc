// Groups that come and go while key servers run, and leases that were longer than they are.
#include "controlplane/cluster/testing/node_fixture.h"

namespace sealcast::cluster::testing {
namespace {

// The key servers of a cluster are told of a new group one after the other, and the first of them makes its epoch.
TEST_F(ClusterNodes, AGroupThatComesLaterIsTakenUpAsItStandsInEtcd) {
  Server& late = *servers_[2];
  late.configured = false;
  pass(15s);
  const std::uint64_t epoch = servers_[0]->active;
  ASSERT_NE(epoch, 0u);
  ASSERT_TRUE(late.epochs.empty());
  late.configured = true;
  late.node->group_added("tv");
  pass(2s);
  EXPECT_EQ(late.epochs.count(epoch), 1u);
  EXPECT_EQ(late.active, epoch);
  EXPECT_TRUE(late.slot(epoch)) << late.refusal;
}

TEST_F(ClusterNodes, H9_AGroupThatIsRemovedAndComesBackHasItsEpochAndOtherSlots) {
  pass(15s);
  Server& one = *servers_[0];
  const std::uint64_t epoch = one.active;
  take_slot(one, epoch);
  one.configured = false;
  one.epochs.clear();
  one.active = 0;
  pass(2s);
  one.configured = true;
  one.node->group_added("tv");
  pass(2s);
  EXPECT_EQ(one.epochs.count(epoch), 1u);
  EXPECT_EQ(one.active, epoch);
  take_slots(20);
  expect_one_secret_each();
}

// The lease was shortened; senders of a key server that vanished before that still have the longer one.
TEST_F(ClusterNodes, H11_ALeaseThatWasLongerIsWaitedForAfterARestart) {
  for (auto& server : servers_)
    server->lease_s = 300;
  pass(90s);
  Server& one = other_than(leader());
  Server& gone = third_than(one);
  const std::uint64_t before = one.active;
  one.crash();
  end_leases_of(one);
  gone.crash();
  end_leases_of(gone);
  pass(1s);
  for (auto& server : servers_)
    server->lease_s = 10;
  one.open();
  pass(15s);
  ASSERT_TRUE(one.node->serving());
  rekey(one);
  pass(30s);
  EXPECT_FALSE(one.node->switched_elsewhere("tv", before)) << "what they were given says 300 s";
  pass(300s);
  EXPECT_TRUE(one.node->switched_elsewhere("tv", before));
}

}  // namespace
}  // namespace sealcast::cluster::testing
