// Which members are shut out, whatever happened to etcd (H11).
#include "controlplane/cluster/revocations.h"

#include "controlplane/cluster/testing/part_fixture.h"

namespace sealcast::cluster::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ClusterRevocations : public ClusterPart {
 protected:
  // All records of revocations, as the session reads them.
  void read_all() {
    for (const auto& [key, value] : store_.keys)
      if (const SharedKey shared = parse_shared(keys_, key); shared.kind == "revoked")
        revocations_.take(shared, {key, value.value, value.created, value.modified});
    read();
  }
  std::string record(const std::string& member) const { return store_.keys.at(keys_.revoked(member, "")).value; }

  KeptMemory memory_{{}, "/nonexistent/state", host_};
  FakeEtcd etcd_{store_};
  Revocations revocations_{view_, memory_, etcd_};
};

TEST_F(ClusterRevocations, H11_ARevocationIsInEtcdAndInMemoryWhenItReturns) {
  read_all();
  ASSERT_TRUE(revocations_.revoke({"m", "", 5}));
  EXPECT_EQ(record("m"), "5 revoked");
  EXPECT_EQ(revocations_.all(), (std::vector<store::Revocation>{{"m", "", 5}}));
  EXPECT_EQ(memory_->revoked.size(), 1u);
  EXPECT_THAT(host_.notes, HasSubstr("cluster_memory_failed")) << "it was saved";
  EXPECT_EQ(revocations_.noted_at({"m", "", 5}), store_.revision);
  EXPECT_TRUE(*revocations_.reinstate("m", ""));
  EXPECT_EQ(record("m"), "5 lifted");
  EXPECT_THAT(revocations_.all(), IsEmpty());
  EXPECT_FALSE(*revocations_.reinstate("m", ""));
}

TEST_F(ClusterRevocations, H11_TheNewestEpochOfThatMomentCountsThoughItIsNotReadYet) {
  put(keys_.group("tv"), "8 7");
  put(keys_.group("radio"), "3 3");
  ASSERT_TRUE(revocations_.revoke({"m", "tv", 5}));
  EXPECT_EQ(revocations_.heard_of("tv"), 8u);
  EXPECT_EQ(revocations_.heard_of("radio"), 0u) << "it is not about that";
  ASSERT_TRUE(revocations_.revoke({"n", "", 5}));
  EXPECT_EQ(revocations_.heard_of("radio"), 3u);
  revocations_.clear();
  EXPECT_EQ(revocations_.heard_of("tv"), 0u);
}

TEST_F(ClusterRevocations, H11_TheSameRevocationStaysUnlessItWasLiftedMeanwhile) {
  ASSERT_TRUE(revocations_.revoke({"m", "", 5}));
  ASSERT_TRUE(revocations_.revoke({"m", "", 9}));
  EXPECT_EQ(record("m"), "5 revoked");
  put(keys_.revoked("m", ""), "5 lifted");
  ASSERT_TRUE(revocations_.revoke({"m", "", 5}));
  EXPECT_EQ(record("m"), "6 revoked") << "so that it is not taken for the one before";
}

TEST_F(ClusterRevocations, WithoutEtcdNothingIsRevoked) {
  etcd_.reachable = false;
  EXPECT_FALSE(revocations_.revoke({"m", "", 5}));
  etcd_.reachable = true;
  remove(keys_.server(self_));
  EXPECT_THAT(revocations_.revoke({"m", "", 5}).error().message, HasSubstr("cut off"));
  EXPECT_THAT(revocations_.all(), IsEmpty());
}

TEST_F(ClusterRevocations, WhatOthersWroteIsRememberedAndWhatIsNoRecordIsNot) {
  put(keys_.revoked("m", ""), "5 revoked");
  put(keys_.revoked("n", ""), "5 lifted");
  put(keys_.revoked("o", ""), "x");
  revocations_.restore();
  EXPECT_FALSE(revocations_.moved());
  read_all();
  EXPECT_TRUE(revocations_.moved());
  EXPECT_THAT(revocations_.restore(), IsEmpty());
  EXPECT_EQ(revocations_.all(), (std::vector<store::Revocation>{{"m", "", 5}}));
}

TEST_F(ClusterRevocations, H11_WhatARestoredBackupHasLostIsPutBack) {
  memory_.change().revoked = {{{"gone", ""}, 5}, {{"lifted later", ""}, 5}, {{"lifted before", ""}, 7}};
  put(keys_.revoked("lifted later", ""), "5 lifted");
  put(keys_.revoked("lifted before", ""), "6 lifted");
  read_all();
  const Operations lost = revocations_.restore();
  ASSERT_THAT(lost, SizeIs(2));
  EXPECT_EQ(std::get<etcd::Put>(lost[0]).key, keys_.revoked("gone", ""));
  EXPECT_EQ(std::get<etcd::Put>(lost[1]).key, keys_.revoked("lifted before", ""));
  EXPECT_EQ(std::get<etcd::Put>(lost[1]).value, "7 revoked");
  EXPECT_THAT(revocations_.all(), SizeIs(2));
  // Until it is there, nothing that would be overwritten by it is taken.
  EXPECT_THAT(revocations_.revoke({"gone", "", 9}).error().message, HasSubstr("being put back"));
  EXPECT_THAT(revocations_.reinstate("gone", "").error().message, HasSubstr("being put back"));
  EXPECT_FALSE(revocations_.noted_at({"gone", "", 5}));
  store_.run({{}, lost, {}});
  read_all();
  EXPECT_THAT(revocations_.restore(), IsEmpty());
  EXPECT_TRUE(*revocations_.reinstate("gone", ""));
}

TEST_F(ClusterRevocations, H11_WhatWasReadBeforeItWasChangedFromHereDoesNotCount) {
  const etcd::Revision before = put(keys_.revoked("m", ""), "5 lifted");
  read_all();
  ASSERT_TRUE(revocations_.revoke({"m", "", 7}));
  revocations_.take(parse_shared(keys_, keys_.revoked("m", "")), {keys_.revoked("m", ""), "5 lifted", before, before});
  EXPECT_THAT(revocations_.restore(), IsEmpty());
  EXPECT_EQ(revocations_.all(), (std::vector<store::Revocation>{{"m", "", 7}}));
}

}  // namespace
}  // namespace sealcast::cluster::testing
