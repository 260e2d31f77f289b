// The real key server and real member agents in one thread, without a socket or a clock: time is the test's.
#include <set>

#include "controlplane/member/testing/one_thread_fixture.h"

namespace sealcast::member::testing {
namespace {

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

// H8: a key server that was revoked after the handshake loses its members when the list is there. They send no longer
// than their lease.
TEST_F(OneThread, H8_ARevokedKeyServerLosesItsMembersWhenTheirFilesSaySo) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(10s);
  ASSERT_EQ(state(studio), "joined");
  const std::uint64_t epoch = studio.epoch();
  pki::FolderOptions options;
  options.folder = folder_;
  options.now = std::time(nullptr);
  ASSERT_TRUE(pki::revoke(options, "ks.example"));
  loop_->run_for(3s);
  EXPECT_EQ(state(studio), "reconnecting");
  EXPECT_THAT(studio.group()["why"].get<std::string>(), ::testing::HasSubstr("revoked"));
  EXPECT_EQ(studio.epoch(), epoch) << "what it holds stays in use";
  loop_->run_for(1min);
  EXPECT_EQ(state(studio), "reconnecting");
  EXPECT_EQ(studio.group()["lease_remaining_s"].get<double>(), 0);
}

}  // namespace
}  // namespace sealcast::member::testing
