// H19: clocks, certificates and lists are no kill switches. The real key server and real member agents, whose clocks
// the test steps.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "controlplane/member/testing/one_thread_fixture.h"

namespace sealcast::member::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::chrono::seconds a_day = 24h;

class ClocksTogether : public OneThread {
 protected:
  // Days pass: nothing needs to be looked at every second.
  void SetUp() override {
    poll_ = 5s;
    keepalive_ = 10s;  // a member leaves a key server that is silent for 35 s
    OneThread::SetUp();
    server_config_.groups[0].authority_lease = 5min;
    serve_here();
  }
  Json server() const { return Json::parse(admin::to_json(server_->status())); }
  std::string why(const Member& member) const { return member.group()["why"]; }
  std::uint64_t failed(const std::string& reason) const { return server()["handshakes"]["failed"].value(reason, 0); }
  void both_stream(const Member& studio, const Member& home) const {
    ASSERT_EQ(state(studio), "joined") << why(studio);
    ASSERT_EQ(state(home), "joined") << why(home);
    ASSERT_EQ(home.epoch(), studio.epoch());
    ASSERT_EQ(studio.group()["alarm"], "");
    ASSERT_GT(studio.group()["lease_remaining_s"].get<double>(), 0);
    ASSERT_NE(studio.plane.find(studio.epoch()), nullptr);
    ASSERT_NE(home.plane.find(home.epoch()), nullptr);
  }
  pki::FolderOptions folder(int days = 0, std::chrono::seconds later = 0s) const {
    pki::FolderOptions options;
    options.folder = folder_;
    options.now = std::time(nullptr) + later.count();
    options.days = days;
    options.force = true;
    return options;
  }
  void make_short(const std::string& name, int days) { ASSERT_TRUE(pki::make_member(folder(days), name, {"tv"})); }

  std::chrono::seconds member_stepped_{};  // one member's wall clock
};

class SteppedClock : public ClocksTogether, public ::testing::WithParamInterface<int> {};  // days

TEST_P(SteppedClock, H19_TheStreamGoesOnRevocationsHoldAndNewcomersNeedAClockThatAgrees) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(30s);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  stepped_ = GetParam() * a_day;
  for (int minute = 0; minute < 150; ++minute) {
    loop_->run_for(1min);
    ASSERT_NO_FATAL_FAILURE(both_stream(studio, home)) << "minute " << minute;
  }
  EXPECT_LE(studio.group()["joins"], 2) << "resumed from a snapshot, perhaps (H9): it comes back once";
  EXPECT_EQ(server()["clock"]["agrees"], false);
  EXPECT_NEAR(server()["clock"]["apart_s"].get<double>(), static_cast<double>(stepped_.count()), 10);

  const Member& attic = join_here("attic", config::MemberRole::receiver);
  loop_->run_for(1min);
  EXPECT_NE(state(attic), "joined");
  EXPECT_GT(failed("group_unavailable"), 0);

  // Without a word of its own about dates, a revocation holds.
  ASSERT_TRUE(server_->revoke("home", std::nullopt));
  loop_->run_for(30s);
  EXPECT_EQ(state(home), "revoked");
  EXPECT_TRUE(home.plane.held.empty());
  EXPECT_EQ(state(studio), "joined");
  ASSERT_TRUE(server_->reinstate("home", std::nullopt));

  // It is set right: newcomers may come again.
  stepped_ = 0s;
  loop_->run_for(2min);
  EXPECT_EQ(server()["clock"]["agrees"], true);
  EXPECT_EQ(state(attic), "joined") << why(attic);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
}
INSTANTIATE_TEST_SUITE_P(Days, SteppedClock, ::testing::Values(-400, -1, 1, 30, 400));

TEST_F(ClocksTogether, H19_AStepWhileTheKeyServerWasDownIsSeenAndItsMembersAreKnown) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(30s);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  stepped_ = 400 * a_day;
  serve_here();
  loop_->run_for(1min);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  EXPECT_EQ(server()["clock"]["agrees"], false);
  const Member& attic = join_here("attic", config::MemberRole::receiver);
  loop_->run_for(1min);
  EXPECT_NE(state(attic), "joined");
}

TEST_F(ClocksTogether, H19_WhatAnOperatorAcceptsIsTheTime) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(10s);
  EXPECT_FALSE(server_->accept_clock()) << "it is not doubted";
  stepped_ = 3 * a_day;
  loop_->run_for(1min);
  ASSERT_EQ(server()["clock"]["agrees"], false);
  ASSERT_TRUE(server_->accept_clock());
  EXPECT_EQ(server()["clock"]["agrees"], true);
  const Member& attic = join_here("attic", config::MemberRole::receiver);
  loop_->run_for(1min);
  EXPECT_EQ(state(attic), "joined") << why(attic);
  EXPECT_EQ(state(studio), "joined");
  serve_here();
  loop_->run_for(1min);
  EXPECT_EQ(server()["clock"]["agrees"], true) << "the next process knows";
}

TEST_F(ClocksTogether, H19_AnExpiredMemberGetsNoNewEpochAfterItsGraceAndKeepsWhatItHas) {
  make_short("home", 1);
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(25h);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home)) << "its certificate has ended, its grace has not";
  const auto validity = Json::parse(admin::to_json(home.agent->status()))["validity"];
  EXPECT_THAT(validity.dump(), HasSubstr("\"stage\":100"));
  serve_here();  // a key server that restarts knows it, too
  loop_->run_for(1min);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  while (state(home) != "expired") {
    loop_->run_for(10min);
    ASSERT_LT(loop_->now().time_since_epoch(), 1000h + 49h);
    ASSERT_NE(state(home), "revoked");
  }
  EXPECT_GE(loop_->now().time_since_epoch(), 1000h + 47h);
  EXPECT_THAT(why(home), HasSubstr("expired"));
  const std::uint64_t epoch = home.epoch();
  EXPECT_EQ(epoch, studio.epoch());
  EXPECT_NE(home.plane.find(epoch), nullptr) << "what it holds is not wiped";
  loop_->run_for(1h);
  EXPECT_NE(studio.epoch(), epoch) << "the others went on without it";
  EXPECT_EQ(state(studio), "joined");
  loop_->run_for(1h);
  EXPECT_TRUE(home.plane.held.empty()) << "and what it held has ended by itself";
  ASSERT_TRUE(pki::make_member(folder(0, 50h), "home", {"tv"}));
  loop_->run_for(1min);
  EXPECT_EQ(state(home), "joined") << why(home);
}

TEST_F(ClocksTogether, H19_AListThatIsLateIsNoRevocation) {
  ASSERT_TRUE(pki::renew_revocation_list(folder(1)));
  server_config_.groups[0].crl_grace = 24h;
  keepalive_ = 25s;  // two days pass
  serve_here();
  const Member& studio = join_here("studio", config::MemberRole::sender);
  const Member& home = join_here("home", config::MemberRole::receiver);
  for (int hour = 0; hour < 30; ++hour) {
    loop_->run_for(1h);
    ASSERT_NO_FATAL_FAILURE(both_stream(studio, home)) << "hour " << hour;
  }
  const Member& attic = join_here("attic", config::MemberRole::receiver);
  loop_->run_for(1min);
  EXPECT_NE(state(attic), "joined") << "newcomers need a list that holds";
  EXPECT_THAT(server()["validity"].dump(), HasSubstr("\"stage\":100"));
  ASSERT_TRUE(pki::renew_revocation_list(folder(1, 7h)));
  loop_->run_for(1min);
  EXPECT_EQ(state(attic), "joined") << why(attic);
  ASSERT_TRUE(pki::revoke(folder(1, 8h), "home"));
  loop_->run_for(1min);
  EXPECT_EQ(state(home), "revoked") << "who is on a list is";
  loop_->run_for(3h);
  EXPECT_EQ(state(home), "revoked") << "and stays so though the list is late";
  EXPECT_EQ(state(studio), "joined");
}

TEST_F(ClocksTogether, H19_AfterTheGraceOfAListItsMembersHaveExpiredAndWereNotRevoked) {
  ASSERT_TRUE(pki::renew_revocation_list(folder(1)));
  server_config_.groups[0].crl_grace = 2h;
  serve_here();
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(25h);
  ASSERT_EQ(state(studio), "joined") << why(studio);
  loop_->run_for(1h);
  while (state(studio) == "joined") {
    loop_->run_for(1min);
    ASSERT_LT(loop_->now().time_since_epoch(), 1000h + 27h);
  }
  EXPECT_EQ(state(studio), "expired");
  EXPECT_NE(studio.plane.find(studio.epoch()), nullptr);
}

TEST_F(ClocksTogether, H19_AnUnreadableOrOlderListNeverReplacesAGoodOne) {
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(10s);
  const std::string old_list = *config::read_pem(folder_ + "/crl.pem", "crl");
  ASSERT_TRUE(pki::revoke(folder(), "home"));
  loop_->run_for(10s);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(10s);
  const auto replace = [&](const std::string& text) {
    std::ofstream(folder_ + "/crl.new") << text;
    std::filesystem::rename(folder_ + "/crl.new", folder_ + "/crl.pem");
    loop_->run_for(10s);
  };
  for (const std::string& text : {old_list, std::string("no list\n"), std::string()}) {
    replace(text);
    loop_->run_for(1min);
    EXPECT_EQ(state(studio), "joined") << why(studio);
    EXPECT_EQ(home.group()["joins"], 0) << "it is on the list that holds";
    EXPECT_FALSE(server_->reload(server_config_)) << text;
  }
}

TEST_F(ClocksTogether, H19_AKeyServerWhoseCertificateHasEndedIsKnownToItsMembers) {
  ASSERT_TRUE(pki::make_server(folder(1), "ks.example"));
  serve_here();
  const Member& studio = join_here("studio", config::MemberRole::sender);
  loop_->run_for(25h);
  ASSERT_EQ(state(studio), "joined");
  serve_here();
  loop_->run_for(1min);
  EXPECT_EQ(state(studio), "joined") << why(studio);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(1min);
  EXPECT_NE(state(home), "joined") << "who never met it does not believe it";
}

TEST_F(ClocksTogether, H19_AMembersClockThatStepsKeepsItFromNothing) {
  const Member& studio = join_here("studio", config::MemberRole::sender, &member_stepped_);
  const Member& home = join_here("home", config::MemberRole::receiver);
  loop_->run_for(30s);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  member_stepped_ = 500 * a_day;
  loop_->run_for(1min);
  ASSERT_NO_FATAL_FAILURE(both_stream(studio, home));
  EXPECT_EQ(studio.group()["joins"], 2) << "its slots may be another's (H9)";
}

TEST_F(ClocksTogether, H19_ARefusalByDatesNamesTheClocksWhereTheyDiffer) {
  stepped_ = -2 * a_day;
  serve_here();
  member_stepped_ = 500 * a_day;
  const Member& studio = join_here("studio", config::MemberRole::sender, &member_stepped_);
  loop_->run_for(10s);
  ASSERT_NE(state(studio), "joined");
  EXPECT_THAT(why(studio), AllOf(HasSubstr("the clocks differ"), HasSubstr("timedatectl")));
  EXPECT_THAT(why(studio), ::testing::Not(HasSubstr("sealcast pki")));
}

}  // namespace
}  // namespace sealcast::member::testing
