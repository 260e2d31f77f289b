// How a session begins, goes on and ends, and which answers are taken.
#include "controlplane/cluster/etcd_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/cluster/testing/fake_etcd.h"
#include "controlplane/cluster/testing/plain_host.h"

namespace sealcast::cluster::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Stage = EtcdSession::Stage;

class Owner final : public SessionOwner {
 public:
  void joined(bool started_over) override { told.push_back(started_over ? "joined, started over" : "joined"); }
  void looked(const std::vector<Peer>&) override { told.push_back("looked"); }
  void read(const etcd::KeyValue& entry) override { told.push_back("read " + entry.value); }
  void all_read() override { told.push_back("all read"); }
  void lost(const std::string& why, bool had) override { told.push_back((had ? "lost: " : "no session: ") + why); }

  std::vector<std::string> told;
};

class ClusterEtcdSession : public ::testing::Test {
 protected:
  ClusterEtcdSession() {
    settings_.name = "a";
    settings_.address = "10.0.0.1:7400";
  }

  void tick(std::chrono::milliseconds time = 0ms) {
    host_.pass(time);
    session_.tick();
    etcd_.answer();
  }
  std::vector<std::string> told() { return std::exchange(owner_.told, {}); }
  std::string own_key() const { return keys_.server(view_.self().incarnation); }

  const Keys keys_{"ks"};
  NodeSettings settings_;
  PlainHost host_;
  FakeStore store_;
  FakeEtcd etcd_{store_};
  KeptMemory memory_{{}, "/nonexistent/state", host_};
  ClusterView view_{"ks"};
  Outage outage_{host_};
  Owner owner_;
  EtcdSession session_{settings_, host_, etcd_, handshake::system_random(), memory_, view_, outage_, owner_};
};

TEST_F(ClusterEtcdSession, ItGoesFromStageToStage) {
  EXPECT_EQ(session_.stage(), Stage::cut_off);
  session_.tick();
  EXPECT_EQ(session_.stage(), Stage::joining);
  EXPECT_FALSE(session_.open());
  session_.advance(Stage::serving);
  EXPECT_EQ(session_.stage(), Stage::joining) << "there is no session to advance";
  for (int i = 0; i < 3; ++i)  // lease, look, registration
    etcd_.answer_one();
  EXPECT_EQ(session_.stage(), Stage::registered);
  EXPECT_EQ(store_.keys.at(own_key()).value, "10.0.0.1:7400 a");
  EXPECT_EQ(view_.self().registered, store_.keys.at(own_key()).created);
  EXPECT_EQ(memory_->lease, view_.self().lease);
  EXPECT_THAT(told(), ElementsAre("joined"));
  etcd_.answer();
  EXPECT_EQ(session_.stage(), Stage::synced);
  EXPECT_EQ(view_.revision(), store_.revision);
  EXPECT_THAT(told(), ElementsAre("looked", "all read"));
  session_.advance(Stage::serving);
  session_.advance(Stage::trusted);
  EXPECT_EQ(session_.stage(), Stage::serving) << "never back";
  session_.lose("why");
  EXPECT_EQ(session_.stage(), Stage::cut_off);
  EXPECT_EQ(view_.self().incarnation, "");
  EXPECT_THAT(told(), ElementsAre("lost: why"));
}

TEST_F(ClusterEtcdSession, OnlyWhatHasChangedIsReadAndInItsOrder) {
  store_.run({{}, {etcd::Put{keys_.want("b"), "1"}}, {}});
  store_.run({{}, {etcd::Put{keys_.want("a"), "2"}}, {}});
  tick();
  EXPECT_THAT(told(), ElementsAre("joined", "looked", "read 1", "read 2", "all read"));
  tick();
  EXPECT_THAT(told(), ElementsAre("looked", "all read"));
  store_.run({{}, {etcd::Put{keys_.want("b"), "3"}}, {}});
  tick();
  EXPECT_THAT(told(), ElementsAre("looked", "read 3", "all read"));
}

// A page may end between two keys that one transaction wrote.
TEST_F(ClusterEtcdSession, MuchIsReadInSeveralPages) {
  for (int i = 0; i < 1200; i += 3) {
    Operations three;
    for (int k = i; k < i + 3; ++k)
      three.push_back(etcd::Put{keys_.want(std::to_string(k)), std::to_string(k)});
    store_.run({{}, three, {}});
  }
  tick();
  const auto all = told();
  const std::set<std::string> each(all.begin(), all.end());
  EXPECT_EQ(each.size(), 1200u + 3) << "joined, looked, all read";
  EXPECT_EQ(std::count(all.begin(), all.end(), "all read"), 1);
}

TEST_F(ClusterEtcdSession, ItEndsWhenEtcdHasNotAnsweredForFourFifthsOfTheLease) {
  tick();
  told();
  etcd_.reachable = false;
  tick(4s);
  EXPECT_TRUE(session_.fresh(host_.clock.steady));
  EXPECT_THAT(told(), IsEmpty());
  host_.pass(1ms);
  EXPECT_FALSE(session_.fresh(host_.clock.steady));
  tick();
  EXPECT_THAT(told(), ElementsAre("lost: etcd has not answered for too long"));
}

TEST_F(ClusterEtcdSession, WhatIsAnsweredLateSaysNothingAboutNow) {
  tick();
  const SteadyTime asked = host_.clock.steady + 100ms;
  host_.pass(100ms);
  session_.tick();
  host_.pass(2s);
  etcd_.answer();
  EXPECT_EQ(session_.looked(), asked);
}

TEST_F(ClusterEtcdSession, TheLeaseIsKeptAliveAndItsEndIsNoticed) {
  tick();
  for (int i = 0; i < 100; ++i)
    tick(100ms);
  EXPECT_EQ(session_.stage(), Stage::synced);
  EXPECT_LE(host_.clock.steady - session_.kept_alive(), 1300ms);
  told();
  store_.leases.clear();  // its key is still there
  for (int i = 0; i < 13; ++i)
    tick(100ms);
  const auto all = told();
  EXPECT_EQ(std::count(all.begin(), all.end(), "lost: the lease has ended"), 1);
}

TEST_F(ClusterEtcdSession, ItEndsWhenItsKeyIsGone) {
  tick();
  told();
  store_.run({{}, {etcd::Delete{own_key(), ""}}, {}});
  tick();
  EXPECT_THAT(told(), ElementsAre("lost: the lease has ended"));
}

TEST_F(ClusterEtcdSession, AnotherOneBeginsAfterAWhileUnderAnotherName) {
  tick();
  const auto first = view_.self();
  session_.lose("why");
  EXPECT_EQ(store_.leases.count(first.lease), 0u);
  tick(299ms);
  EXPECT_EQ(session_.stage(), Stage::cut_off);
  tick(1ms);
  EXPECT_EQ(session_.stage(), Stage::synced);
  EXPECT_NE(view_.self().incarnation, first.incarnation);
}

TEST_F(ClusterEtcdSession, WithoutEtcdItTriesAgainAndSaysWhy) {
  etcd_.reachable = false;
  tick();
  EXPECT_THAT(told(), ElementsAre("no session: no answer"));
  etcd_.reachable = true;
  tick(300ms);
  EXPECT_EQ(session_.stage(), Stage::synced);
}

TEST_F(ClusterEtcdSession, AnswersComeOnceAndNotAfterTheSession) {
  tick();
  int answers = 0;
  const auto count = [&](const etcd::Reply* reply) { answers += reply ? 1 : 100; };
  session_.ask({}, count);
  etcd_.answer();
  EXPECT_EQ(answers, 1);
  etcd_.reachable = false;
  session_.ask({}, count);
  etcd_.answer();
  EXPECT_EQ(answers, 101);
  etcd_.reachable = true;
  session_.ask({}, count);
  session_.lose("why");
  tick(300ms);
  ASSERT_TRUE(session_.open());
  EXPECT_EQ(answers, 101);
}

// Two registrations under way would leave the key of one bound to the lease of the other.
TEST_F(ClusterEtcdSession, WhatWasAskedWhileJoiningIsNotAnsweredOnceThatWasGivenUp) {
  session_.tick();
  etcd_.answer_one();
  session_.lose("why");
  EXPECT_THAT(told(), ElementsAre("no session: why"));
  etcd_.answer();
  EXPECT_EQ(session_.stage(), Stage::cut_off);
  EXPECT_TRUE(store_.keys.empty()) << "it has not registered";
  tick(300ms);
  EXPECT_EQ(session_.stage(), Stage::synced);
  EXPECT_EQ(store_.keys.size(), 1u);
}

TEST_F(ClusterEtcdSession, H9_AnAnswerOfAnEtcdThatWasSetBackEndsItAndTheNextStartsOver) {
  store_.revision = 100;
  tick();
  told();
  store_.revision = 50;
  bool answered = false;
  session_.ask({}, [&](const etcd::Reply*) { answered = true; });
  etcd_.answer();
  EXPECT_FALSE(answered);
  EXPECT_THAT(told(), ElementsAre("lost: etcd was set back: revision 50 came after 101"));
  tick(300ms);
  EXPECT_EQ(told().front(), "joined, started over");
  EXPECT_EQ(store_.keys.at(keys_.generation()).value, view_.self().incarnation);
  EXPECT_EQ(store_.keys.count(keys_.trusted(view_.self().incarnation)), 1u);
  EXPECT_THAT(host_.notes, HasSubstr("cluster_starts_over why=\"etcd was set back to an older state"));
}

TEST_F(ClusterEtcdSession, H9_BeforeItJoinsItComparesEtcdWithTheOneItRemembers) {
  memory_.change().revision = 100;
  memory_.change().etcd_cluster = store_.cluster;
  store_.revision = 99;
  tick();
  EXPECT_EQ(told().front(), "joined, started over");
  EXPECT_THAT(host_.notes, HasSubstr("etcd is at revision 99, which is below the known 100"));
  EXPECT_EQ(memory_->revision, store_.revision);
  session_.lose("why");
  ++store_.cluster;
  host_.notes.clear();
  tick(300ms);
  EXPECT_THAT(host_.notes, HasSubstr("this is another etcd cluster than the known one"));
  EXPECT_EQ(memory_->etcd_cluster, store_.cluster);
}

// The memory may say that this etcd is known only when the new generation lies in it.
TEST_F(ClusterEtcdSession, H9_AnEtcdIsNotKnownBeforeTheRegistrationIsDone) {
  memory_.change().revision = 100;
  memory_.change().etcd_cluster = store_.cluster;
  store_.revision = 9;
  session_.tick();
  etcd_.answer_one();
  etcd_.answer_one();
  etcd_.reachable = false;
  etcd_.answer();
  EXPECT_EQ(memory_->revision, 100);
  etcd_.reachable = true;
  tick(300ms);
  EXPECT_EQ(store_.keys.count(keys_.generation()), 1u);
}

TEST_F(ClusterEtcdSession, ItLeavesWithoutBeingWaitedFor) {
  tick();
  const std::int64_t lease = view_.self().lease;
  told();
  session_.leave();
  EXPECT_EQ(store_.leases.count(lease), 0u);
  EXPECT_EQ(memory_->lease, 0);
  EXPECT_FALSE(session_.open());
  etcd_.answer();
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(ClusterEtcdSession, TheLeaseOfTheLastProcessIsGivenUp) {
  store_.leases.insert(90);
  memory_.change().lease = 90;
  tick();
  EXPECT_EQ(store_.leases.count(90), 0u);
}

}  // namespace
}  // namespace sealcast::cluster::testing
