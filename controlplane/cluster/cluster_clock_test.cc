// The group clock of a cluster (H17, H19): all key servers tell the same time, within what they say, whichever leads.
#include "controlplane/cluster/cluster_clock.h"

#include "controlplane/cluster/testing/node_fixture.h"

namespace sealcast::cluster {
namespace {

using namespace testing;
using std::chrono::milliseconds;

class ClusterClocks : public ClusterNodes {
 protected:
  void SetUp() override {
    ClusterNodes::SetUp();
    servers_[1]->booted = 30h;
    servers_[1]->drift_ppm = 90;
    servers_[2]->booted = 7min;
    servers_[2]->drift_ppm = -90;
  }
  // Against a reading that is true: how far off, and how far it says that it may be.
  static void expect_true(const handshake::ClockReading& said, std::uint64_t id, double truth_ms) {
    ASSERT_EQ(said.clock_id, id);
    EXPECT_LE(std::abs(static_cast<double>(said.now_ms) - truth_ms), said.error_ms);
  }
  std::vector<Server*> alive() {
    std::vector<Server*> out;
    for (auto& server : servers_)
      if (server->node && !server->paused) out.push_back(server.get());
    return out;
  }
};

TEST_F(ClusterClocks, H17_AllKeyServersTellTheLeadersTimeWithinWhatTheySay) {
  pass(2s);
  Server* leading = leader();
  ASSERT_NE(leading, nullptr);
  const std::uint64_t id = leading->node->read_clock().clock_id;
  EXPECT_NE(id, 0u);
  for (const Server* server : alive())
    EXPECT_TRUE(server->node->serving()) << server->name_;
  std::uint32_t widest = 0;
  for (int second = 0; second < 300; ++second) {
    pass(1s);
    const auto truth = leading->node->read_clock();
    EXPECT_EQ(truth.error_ms, 1u);
    widest = 0;
    for (const Server* server : alive()) {
      expect_true(server->node->read_clock(), id, static_cast<double>(truth.now_ms));
      if (server != leading) widest = std::max(widest, server->node->read_clock().error_ms);
    }
  }
  EXPECT_LE(widest, 300u);
  EXPECT_EQ(leading->clocks.at(leading->active), id);
  EXPECT_EQ(leading->epochs.size(), 1u) << "nothing was rekeyed for the clock's sake";
}

// A member's estimate goes on being true: the new leader's clock is the old one, within its error.
TEST_F(ClusterClocks, H17_ANewLeaderGoesOnWithTheClockAndSaysHowWellItKnowsIt) {
  pass(60s);
  Server* first = leader();
  const std::uint64_t id = first->node->read_clock().clock_id, epoch = first->active;
  const auto before = first->node->read_clock();
  const auto then = clock_.now.steady;
  const double drift = 1 + first->drift_ppm * 1e-6;
  first->crash();
  end_leases_of(*first);
  pass(5s);
  Server* second = leader();
  ASSERT_NE(second, nullptr);
  ASSERT_NE(second, first);
  for (const Server* server : alive()) {
    const double passed = std::chrono::duration<double, std::milli>(clock_.now.steady - then).count() * drift;
    expect_true(server->node->read_clock(), id, static_cast<double>(before.now_ms) + passed);
    EXPECT_GT(server->node->read_clock().error_ms, 1u);
  }
  EXPECT_EQ(second->active, epoch) << "no rekey";
  // The new leader's own clock is the truth from now on: its error does not grow.
  const std::uint32_t error = second->node->read_clock().error_ms;
  pass(600s);
  ASSERT_EQ(leader(), second);
  EXPECT_EQ(second->node->read_clock().error_ms, error);
}

TEST_F(ClusterClocks, H17_ALeaderThatDoesNotKnowTheClockBeginsAnotherAndAllGroupsGetNewEpochs) {
  pass(5s);
  Server* first = leader();
  const std::uint64_t id = first->node->read_clock().clock_id, epoch = first->active;
  first->crash();
  for (Server* server : alive())
    server->node->resumed();  // from a snapshot: neither vouches for what it had measured
  end_leases_of(*first);
  pass(20s);
  Server* second = leader();
  ASSERT_NE(second, nullptr);
  const std::uint64_t anew = second->node->read_clock().clock_id;
  EXPECT_NE(anew, id);
  for (const Server* server : alive()) {
    EXPECT_TRUE(server->node->serving()) << server->name_;
    EXPECT_GT(server->active, epoch) << server->name_;
    EXPECT_EQ(server->clocks.at(server->active), anew) << server->name_;
    expect_true(server->node->read_clock(), anew, static_cast<double>(second->node->read_clock().now_ms));
  }
}

// Every change of leaders adds to the error; before members cannot send with it there is another clock.
TEST_F(ClusterClocks, H19_ErrorsThatAddUpEndTheClockNotTheService) {
  pass(5s);
  std::set<std::uint64_t> ids;
  for (int change = 0; change < 12; ++change) {
    Server* now = leader();
    ASSERT_NE(now, nullptr);
    ids.insert(now->node->read_clock().clock_id);
    EXPECT_LE(milliseconds(now->node->read_clock().error_ms), ClusterClock::largest_inherited_error);
    now->crash();
    end_leases_of(*now);
    pass(5s);
    now->open();
    pass(20s);
    for (const Server* server : alive()) {
      EXPECT_TRUE(server->node->serving()) << server->name_ << ", change " << change;
      EXPECT_EQ(server->clocks.at(server->active), server->node->read_clock().clock_id) << server->name_;
    }
  }
  EXPECT_GT(ids.size(), 1u);
  EXPECT_LT(ids.size(), 8u);
}

// The parts by themselves.

TEST(ClusterClock, AReadingThatAnswersNoQuestionTeachesNothing) {
  ClusterView view("ks");
  CountingRandom random(3);
  ClusterClock clock(view, random);
  const Keys& keys = view.keys();
  const std::string ours(32, 'a'), leads(32, 'b');
  view.begin({ours, 5, 10}, SteadyTime(1s));
  const auto live = [&](etcd::Revision asked) {
    std::vector<etcd::KeyValue> entries{
        {keys.leader(), leads, 4, 4}, {keys.server(ours), "- a", 10, 10}, {keys.server(leads), "- b", 3, 3}};
    if (asked) entries.push_back({keys.asked(ours), "", asked, asked});
    ASSERT_TRUE(view.take_live(entries, SteadyTime(1s)));
  };
  const auto read = [&](etcd::Revision answers, std::uint64_t now_ms, etcd::Revision at) {
    const Departed departed;
    view.take({keys.clock(), ClockValue{answers, {7, now_ms, 1}}.text(), at, at}, SteadyTime(1s), departed);
  };
  live(0);
  read(9, 1'000'000, 11);
  EXPECT_EQ(clock.measure(SteadyTime(50s)), ClusterClock::Outcome::no_clock);
  EXPECT_FALSE(clock.good(SteadyTime(50s)));
  EXPECT_EQ(clock.read(SteadyTime(50s)).clock_id, 0u);

  ASSERT_TRUE(clock.question(SteadyTime(50s)));
  EXPECT_FALSE(clock.question(SteadyTime(50s))) << "one is under way";
  etcd::Reply reply;
  reply.succeeded = true;
  reply.revision = 20;
  clock.questioned(&reply);
  EXPECT_TRUE(clock.waits());
  read(19, 1'000'100, 21);  // written after the question, by a leader that had not read it
  EXPECT_EQ(clock.measure(SteadyTime(50s + 100ms)), ClusterClock::Outcome::no_clock);
  EXPECT_FALSE(clock.good(SteadyTime(50s + 100ms)));
  read(20, 1'000'200, 22);
  EXPECT_EQ(clock.measure(SteadyTime(50s + 400ms)), ClusterClock::Outcome::taken);
  EXPECT_FALSE(clock.waits());
  const auto known = clock.read(SteadyTime(50s + 400ms));
  EXPECT_EQ(known.clock_id, 7u);
  EXPECT_NEAR(known.error_ms, 200 + 1, 2) << "half of the round trip, and what the leader says";
  EXPECT_NEAR(static_cast<double>(known.now_ms), 1'000'400, 2) << "between the answer and 400 ms later";

  clock.session_over();
  EXPECT_TRUE(clock.good(SteadyTime(51s))) << "what was measured holds on";
  clock.forget();
  EXPECT_FALSE(clock.good(SteadyTime(51s)));
}

TEST(ClusterClock, ValuesThatAreNoneAreNotTaken) {
  EXPECT_TRUE(ClockValue::parse("20 7 1000 1"));
  for (const char* odd : {"", "20 7 1000", "20 7 1000 1 1", "-1 7 1000 1", "20 0 1000 1", "20 7 x 1",
                          "20 7 1000 4294967296", "20 18446744073709551616 1000 1"})
    EXPECT_FALSE(ClockValue::parse(odd)) << odd;
}

}  // namespace
}  // namespace sealcast::cluster
