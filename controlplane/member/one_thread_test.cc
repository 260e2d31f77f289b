// The real key server and real member agents in one thread, without a socket or a clock: time is the test's.
#include "controlplane/member/testing/one_thread.h"

#include <set>

#include "controlplane/member/testing/together.h"

namespace sealcast::member::testing {
namespace {

class OneThread : public Together {
 protected:
  void SetUp() override {
    Together::SetUp();
    server_.reset();  // the one over TCP
    server_config_.listen = *config::ListenAddress::parse("10.9.0.1:7400");
    server_config_.groups[0].epoch_lifetime = 1h;
    server_config_.groups[0].activation_delay = 10s;
    server_config_.groups[0].deactivation_delay = 10s;
    server_config_.groups[0].authority_lease = 30s;
    serve_here();
  }
  void TearDown() override {
    members_.clear();
    server_.reset();
    loop_->run_for(1min);  // sessions linger, and hold themselves until then
    Together::TearDown();
  }
  void serve_here() {
    server_.reset();
    keyserver::KeyServerOptions options;
    options.loop = loop_;
    options.door = [this] { return std::make_unique<PipeDoor>(network_); };
    options.clock_difference = [] { return 0ns; };
    server_ = std::make_unique<keyserver::KeyServer>(io_, server_config_, options);
    const auto started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  Member& join_here(const std::string& name, config::MemberRole role) {
    auto& member = *members_.emplace_back(std::make_unique<Member>(1));
    MemberSettings settings = settings_of(name);
    settings.timing = {};
    settings.timing.poll = 500ms;
    settings.member.groups = {member_group(role)};
    settings.member.groups[0].keyservers = {{"10.9.0.1", 7400}};
    settings.seams.loop = loop_.get();
    settings.seams.open_link = PipeLink::over(network_);
    settings.seams.clocks = [this] {
      return std::pair(loop_->now().time_since_epoch(), loop_->now().time_since_epoch());
    };
    member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
    const auto started = member.agent->start();
    EXPECT_TRUE(started) << started.error().message;
    return member;
  }
  static std::string state(const Member& member) { return member.group()["state"]; }

  std::shared_ptr<sealcast::testing::ManualLoop> loop_ = std::make_shared<sealcast::testing::ManualLoop>(
      SteadyTime(std::chrono::hours(1000)), std::chrono::seconds(std::time(nullptr)));
  PipeNetwork network_{*loop_};
};

TEST_F(OneThread, EightHoursOfRekeysPassInSeconds) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(2s);
  ASSERT_EQ(state(studio), "joined") << admin::to_json(studio.agent->status());
  ASSERT_EQ(state(home), "joined");
  std::uint64_t epoch = studio.epoch();
  EXPECT_EQ(home.epoch(), epoch);
  int rekeys = 0;
  for (int minute = 0; minute < 8 * 60; ++minute) {
    loop_->run_for(1min);
    ASSERT_EQ(state(studio), "joined") << "minute " << minute << admin::to_json(studio.agent->status());
    ASSERT_EQ(studio.group()["alarm"], "") << "minute " << minute;
    ASSERT_EQ(home.epoch(), studio.epoch()) << "minute " << minute;
    ASSERT_GE(studio.epoch(), epoch) << "an epoch fell";
    rekeys += studio.epoch() > epoch ? 1 : 0;
    epoch = studio.epoch();
  }
  EXPECT_GE(rekeys, 8);
  EXPECT_LE(rekeys, 9) << "an epoch lives for an hour, and its successor takes over seconds before its end";
  EXPECT_EQ(studio.group()["joins"], 1);
  EXPECT_EQ(home.group()["failures"], 0);
}

TEST_F(OneThread, H10_WithoutAWordFromTheKeyServerSendingEndsWithTheLease) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(2s);
  ASSERT_EQ(state(studio), "joined");
  const auto lease = [&] { return studio.group()["lease_remaining_s"].get<double>(); };
  loop_->run_for(10min);
  EXPECT_GT(lease(), 19);
  network_.cut = true;
  loop_->run_for(20s);
  EXPECT_NE(studio.group()["alarm"], "") << "half of the lease is over";
  loop_->run_for(15s);
  EXPECT_EQ(lease(), 0);
  EXPECT_EQ(state(studio), "reconnecting");
  network_.cut = false;
  loop_->run_for(30s);
  EXPECT_EQ(state(studio), "joined") << admin::to_json(studio.agent->status());
  EXPECT_GT(lease(), 19);
  EXPECT_EQ(studio.group()["alarm"], "");
}

TEST_F(OneThread, H9_AfterAKeyServersRestartAllComeBackAndNoSlotIsGivenTwice) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(2s);
  ASSERT_EQ(state(home), "joined");
  std::set<std::string> slots;
  for (int restart = 0; restart < 20; ++restart) {
    const Json own = studio.group()["own_slots"];
    for (const auto& slot : own)
      EXPECT_TRUE(slots.insert(slot.get<std::string>() + " of " + std::to_string(studio.epoch())).second)
          << slot << " again after restart " << restart;
    serve_here();
    loop_->run_for(1min);
    ASSERT_EQ(state(studio), "joined") << "restart " << restart << admin::to_json(studio.agent->status());
    ASSERT_EQ(home.epoch(), studio.epoch()) << "restart " << restart;
  }
  EXPECT_EQ(slots.size(), 20u);
}

// H17: whatever the way to the key server is like, and after its restart, members agree on the times of an epoch.
TEST_F(OneThread, H17_MembersAgreeOnTheTimesOfEveryEpoch) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(2s);
  network_.latency = 150ms;
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(5s);
  std::set<std::uint64_t> seen;
  const auto agree = [&](std::chrono::milliseconds most) {
    ASSERT_EQ(state(studio), "joined");
    ASSERT_EQ(state(home), "joined");
    for (const auto& [key, held] : studio.plane.held) {
      const auto* const other = home.plane.find(key.second);
      if (other == nullptr) continue;
      ASSERT_TRUE(held.value.clock && other->value.clock);
      const EpochClock &a = *held.value.clock, &b = *other->value.clock;
      EXPECT_LE(std::chrono::abs(a.zero - b.zero), a.error + b.error);
      EXPECT_LE(a.error, most);
      EXPECT_LE(b.error, most);
      // An hour's epoch and its successor; the zero lies a minute before the beginning.
      EXPECT_GT(loop_->now() - a.zero, 59s);
      EXPECT_LT(loop_->now() - a.zero, 1h + 3min);
      EXPECT_GE(a.worst_error, a.error + 6ms) << "of a lease of 30 s";
      seen.insert(key.second);
    }
  };
  agree(700ms);
  for (int minute = 0; minute < 130; ++minute) {
    network_.latency = std::chrono::milliseconds(minute % 3 == 0 ? 2 : 400);
    loop_->run_for(1min);
    ASSERT_NO_FATAL_FAILURE(agree(minute < 3 ? 700ms : 40ms)) << "minute " << minute;
    if (minute == 70) serve_here();
  }
  EXPECT_GE(seen.size(), 3u);
}

// H8: a key server that was revoked after the handshake loses its members when it hands out the next epoch. They send
// no longer than their lease.
TEST_F(OneThread, H8_ARevokedKeyServerLosesItsMembersWithTheNextEpoch) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(10s);
  ASSERT_EQ(state(studio), "joined");
  const std::uint64_t epoch = studio.epoch();
  pki::FolderOptions options;
  options.folder = folder_;
  options.now = std::time(nullptr);
  ASSERT_TRUE(pki::revoke(options, "ks.example"));
  loop_->run_for(5min);
  EXPECT_EQ(state(studio), "joined") << "its files are read with the next epoch";
  ASSERT_TRUE(server_->rekey("tv"));
  loop_->run_for(1s);
  EXPECT_EQ(state(studio), "reconnecting");
  EXPECT_THAT(studio.group()["why"].get<std::string>(), ::testing::HasSubstr("revoked"));
  EXPECT_EQ(studio.epoch(), epoch) << "what came with it is not used";
  loop_->run_for(1min);
  EXPECT_EQ(state(studio), "reconnecting");
  EXPECT_EQ(studio.group()["lease_remaining_s"].get<double>(), 0);
}

}  // namespace
}  // namespace sealcast::member::testing
