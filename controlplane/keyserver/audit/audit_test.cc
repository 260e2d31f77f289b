// The audit trail: events kept in a file, and found again.
#include "controlplane/keyserver/audit/audit.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "controlplane/keyserver/audit/audit_trail.h"
#include "controlplane/keyserver/audit/holdings.h"
#include "controlplane/store/sqlite.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Trail : public ::testing::Test {
 protected:
  Trail() {
    char folder[] = "/tmp/sealcast-audit-XXXXXX";
    folder_ = mkdtemp(folder);
    options_.path = folder_ + "/ks.audit";
    options_.flush_every = 20ms;
  }
  ~Trail() override {
    trail_.reset();
    std::filesystem::remove_all(folder_);
  }
  void open() {
    trail_.reset();
    auto opened = AuditTrail::open(options_);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    trail_ = std::move(*opened);
  }
  json find(const AuditQuery& query = {}) {
    auto found = trail_->find(query);
    EXPECT_TRUE(found.has_value()) << found.error().message;
    return found ? json::parse(admin::to_json(*found)) : json();
  }
  std::vector<std::string> names(const AuditQuery& query = {}) {
    std::vector<std::string> out;
    const json found = find(query);
    for (const json& event : found["events"])
      out.push_back(event["event"]);
    return out;
  }

  std::string folder_;
  AuditTrail::Options options_;
  std::unique_ptr<AuditTrail> trail_;
};

TEST_F(Trail, KeepsEveryLineAndFindsItByWhatItSays) {
  open();
  audit(Event("started", {{"id", "ks"}}));
  audit(Event("member_joined", {{"group", "tv"}, {"member", "home"}, {"address", Word{"10.0.0.1:5"}}}));
  audit(Event("member_joined", {{"group", "radio"}, {"member", "home"}, {"address", Word{"10.0.0.1:6"}}}));
  audit_warning(Event("handshake_failed",
                      {{"address", Word{"10.0.0.9:7"}}, {"reason", Word{"certificate_expired"}}, {"why", "too late"}}));
  audit_error(Event("rekey_failed", {{"group", "tv"}, {"why", "disk full"}}));
  audit(Event("password_accepted", {{"user", "anna"}, {"address", Word{"10.0.0.1:8"}}}));
  const json all = find();
  ASSERT_EQ(all["events"].size(), 6u) << "those of this moment, too";
  EXPECT_EQ(all["more"], false);
  EXPECT_EQ(all["events"][1]["fields"], json({{"group", "tv"}, {"member", "home"}, {"address", "10.0.0.1:5"}}));
  EXPECT_EQ(all["events"][3]["level"], "warning");
  EXPECT_EQ(all["events"][4]["level"], "error");
  EXPECT_THAT(all["events"][0]["time"].get<std::string>(),
              ::testing::MatchesRegex("20[0-9][0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9].[0-9]{3}Z"));
  EXPECT_THAT(names({.group = "tv"}), ElementsAre("member_joined", "rekey_failed"));
  EXPECT_THAT(names({.member = "home", .event = "member_joined"}), ElementsAre("member_joined", "member_joined"));
  EXPECT_THAT(names({.member = "anna"}), ElementsAre("password_accepted"));
  EXPECT_THAT(names({.group = "tv'; DROP TABLE events; --"}), ElementsAre());
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  EXPECT_EQ(names({.since_ms = now - 60'000}).size(), 6u);
  EXPECT_EQ(names({.since_ms = now + 60'000}).size(), 0u);
  const json newest = find({.count = 2});
  ASSERT_EQ(newest["events"].size(), 2u);
  EXPECT_EQ(newest["events"][1]["event"], "password_accepted");
  EXPECT_EQ(newest["more"], true);
}

TEST_F(Trail, OutlivesTheProcessAndIsItsOwnersAlone) {
  open();
  audit(Event("started", {{"id", "ks"}}));
  trail_.reset();
  audit(Event("unheard"));
  struct stat status {};
  ASSERT_EQ(stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  chmod(options_.path.c_str(), 0644);
  open();
  audit(Event("stopped", {{"id", "ks"}}));
  EXPECT_THAT(names(), ElementsAre("started", "stopped"));
  stat(options_.path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// A name that came from the network cannot pretend to be another field, or another event.
TEST_F(Trail, H14_ANameFromTheNetworkStaysOneField) {
  open();
  std::string name;
  for (int byte = 0; byte < 128; ++byte)
    name += static_cast<char>(byte);
  audit(Event("member_left", {{"member", name}}));
  audit(Event("member_left", {{"member", "eve\" group=\"radio\" x=\"\nrevoked"}}));
  audit(Event("member_left", {{"member", std::string(300, 'a')}, {"why", "caf\xc3\xa9"}}));
  const json all = find()["events"];
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0]["fields"], json({{"member", name}}));
  EXPECT_EQ(all[1]["fields"].size(), 1u);
  EXPECT_EQ(all[2]["fields"], json({{"member", std::string(200, 'a') + "…"}, {"why", "caf\xc3\xa9"}}));
  EXPECT_THAT(names({.group = "radio"}), ElementsAre());
  EXPECT_THAT(names({.event = "revoked"}), ElementsAre());
}

TEST_F(Trail, AFileOfVersion1KeepsItsEvents) {
  {
    std::ofstream(options_.path).flush();
    auto old = store::Database::open(options_.path, "audit file");
    ASSERT_TRUE(old.has_value());
    ASSERT_TRUE(
        old->run("CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, level "
                 "INTEGER NOT NULL, event TEXT NOT NULL, group_id TEXT NOT NULL, member TEXT NOT NULL, line TEXT "
                 "NOT NULL); CREATE INDEX events_by_event ON events (event); "
                 "INSERT INTO events (time_ms, level, event, group_id, member, line) VALUES "
                 "(1000, 1, 'revoked', 'tv', 'attic', 'revoked member=\"attic\" group=\"tv\"'); "
                 "PRAGMA application_id=1397047637; PRAGMA user_version=1;"));
  }
  open();
  audit(Event("stopped"));
  EXPECT_THAT(names(), ElementsAre("revoked", "stopped"));
  const json found = find({.member = "attic"});
  ASSERT_EQ(found["events"].size(), 1u);
  EXPECT_EQ(found["events"][0]["time"], "1970-01-01T00:00:01.000Z");
  EXPECT_EQ(found["events"][0]["fields"], json({{"text", "revoked member=\"attic\" group=\"tv\""}}));
  open();
  EXPECT_EQ(find()["events"].size(), 2u) << "once";
}

TEST_F(Trail, KeepsSoManyAndNoMore) {
  options_.most_events = 10;
  open();
  for (int i = 0; i < 25; ++i)
    audit(Event("epoch_begun", {{"group", "tv"}, {"epoch", i}}));
  const json all = find();
  ASSERT_EQ(all["events"].size(), 10u);
  EXPECT_EQ(all["events"][0]["fields"]["epoch"], "15");
}

// A member that connects again and again must not push out what operators revoked.
TEST_F(Trail, H13_ChurnDoesNotPushOutWhatOperatorsDid) {
  options_.most_events = 20;
  open();
  audit(Event("operator_command", {{"command", Word{"revoke"}}, {"member", "attic"}, {"uid", Word{"1000"}}}));
  audit(Event("revoked", {{"member", "attic"}, {"group", Word{"*"}}}));
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 30; ++i)
      audit(Event("member_joined", {{"group", "tv"}, {"member", "home"}, {"n", round * 30 + i}}));
    find();
    if (round == 2) open();  // counted anew
  }
  const json all = find();
  ASSERT_EQ(all["events"].size(), 20u);
  EXPECT_EQ(all["events"][0]["event"], "operator_command");
  EXPECT_EQ(all["events"][1]["event"], "revoked");
  EXPECT_EQ(all["events"][2]["fields"]["n"], "132");
  // Nor the other way round: they have a quarter to themselves, and no more when the rest is needed.
  for (int i = 0; i < 12; ++i)
    audit(Event("revoked", {{"member", "m" + std::to_string(i)}, {"group", Word{"*"}}}));
  find();
  for (int i = 0; i < 30; ++i)
    audit(Event("member_left", {{"group", "tv"}, {"member", "home"}}));
  EXPECT_EQ(find()["events"].size(), 20u);
  const json decided = find({.event = "revoked"});
  ASSERT_EQ(decided["events"].size(), 5u);
  EXPECT_EQ(decided["events"][4]["fields"]["member"], "m11");
}

class TrailHolders : public Trail {
 protected:
  static void epoch(std::uint64_t number) { audit(Event("epoch_begun", {{"group", "tv"}, {"epoch", number}})); }
  static void give(const std::string& member, std::uint64_t epoch, const std::string& serial = "01") {
    audit_holding({"tv", epoch, member, serial, "10.0.0.1:5"});
  }
  // "home 10-12 x3": the first and last epoch, and how often it was given one.
  std::vector<std::string> held(std::uint64_t epoch) {
    std::vector<std::string> out;
    const json found = find({.group = "tv", .epoch = epoch});
    for (const json& one : found["events"]) {
      const json& fields = one["fields"];
      out.push_back(fields["member"].get<std::string>() + " " + fields["first_epoch"].get<std::string>() + "-" +
                    fields["last_epoch"].get<std::string>() + " x" + fields["times"].get<std::string>());
    }
    return out;
  }
};

// The attack: 825 joins of one member in 14 s pushed out what was known of another.
TEST_F(TrailHolders, H27_WhoHeldAnEpochIsPushedOutByNoMember) {
  options_.most_events = 20;
  open();
  epoch(10);
  give("home", 10);
  audit(Event("key_sent", {{"group", "tv"}, {"member", "home"}, {"epoch", 10}}));
  for (int i = 0; i < 1000; ++i) {
    give("flood", 10);
    audit(Event("key_sent", {{"group", "tv"}, {"member", "flood"}, {"epoch", 10}}));
    if (i % 100 == 0) find();
  }
  EXPECT_THAT(names({.member = "home"}), ElementsAre()) << "the events of it are gone";
  EXPECT_THAT(held(10), ElementsAre("flood 10-10 x1000", "home 10-10 x1"));
  open();
  EXPECT_THAT(held(10), ElementsAre("flood 10-10 x1000", "home 10-10 x1"));
  EXPECT_THAT(held(9), ElementsAre());
}

TEST_F(TrailHolders, H27_EpochsWithoutAGapAreOneRowAndNoOtherEpochIsClaimed) {
  open();
  for (std::uint64_t number = 10; number <= 14; ++number) {
    epoch(number);
    give("home", number);
    if (number != 12) give("away", number);
    if (number % 2 == 0) find();  // some are merged in memory, some in the file
  }
  EXPECT_THAT(held(11), ElementsAre("away 10-11 x2", "home 10-14 x5"));
  EXPECT_THAT(held(12), ElementsAre("home 10-14 x5"));
  EXPECT_THAT(held(13), ElementsAre("away 13-14 x2", "home 10-14 x5"));
  give("home", 12);
  EXPECT_THAT(held(12), ElementsAre("home 10-14 x6")) << "an earlier one, given again";
  give("home", 14, "02");
  EXPECT_THAT(held(14), ElementsAre("away 13-14 x2", "home 10-14 x6", "home 14-14 x1")) << "another certificate";
  open();  // a restart: what came before an epoch is not known any more
  epoch(20);
  give("home", 20);
  EXPECT_THAT(held(17), ElementsAre());
  EXPECT_THAT(held(20), ElementsAre("home 20-20 x1"));
}

TEST_F(TrailHolders, H27_AFileOfVersion2KeepsItsEventsAndTakesHolders) {
  open();
  audit(Event("started"));
  trail_.reset();
  {
    auto old = store::Database::open(options_.path, "audit file");
    ASSERT_TRUE(old && old->run("DROP TABLE holdings; PRAGMA user_version=2;"));
  }
  open();
  epoch(7);
  give("home", 7);
  EXPECT_THAT(held(7), ElementsAre("home 7-7 x1"));
  EXPECT_THAT(names(), ElementsAre("started", "epoch_begun"));
}

TEST_F(TrailHolders, H27_OldRowsGoByTheirAge) {
  open();
  give("home", 7);
  ASSERT_THAT(held(7), ElementsAre("home 7-7 x1"));
  auto file = store::Database::open(options_.path, "audit file");
  ASSERT_TRUE(file.has_value());
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  ASSERT_TRUE(holdings::prune(*file, (now + 89 * 24h).count()));
  EXPECT_THAT(held(7), ElementsAre("home 7-7 x1"));
  ASSERT_TRUE(holdings::prune(*file, (now + 91 * 24h).count()));
  EXPECT_THAT(held(7), ElementsAre());
}

// While the file cannot be written newcomers are refused before there is no room for those that are joined.
TEST_F(TrailHolders, H27_H29_ATrailThatCannotBeWrittenTellsBeforeItLosesAnything) {
  options_.most_queued = 400;
  open();
  EXPECT_TRUE(holdings_have_room());
  auto other = store::Database::open(options_.path, "audit file");
  ASSERT_TRUE(other && other->run("BEGIN IMMEDIATE;"));  // as long as it is held, nothing is written
  epoch(7);
  for (int i = 0; i < 200; ++i)
    give("m" + std::to_string(i), 7);
  EXPECT_FALSE(holdings_have_room());
  epoch(8);
  for (int i = 0; i < 200; ++i)
    give("m" + std::to_string(i), 8);  // a rekey
  ASSERT_TRUE(other->run("COMMIT;"));
  for (int i = 0; i < 500 && !holdings_have_room(); ++i)
    usleep(20'000);
  EXPECT_EQ(held(8).size(), 100u) << "of 200";
  EXPECT_EQ(held(7).size(), 100u);
  EXPECT_THAT(names({.event = "audit_lost"}), ElementsAre());
}

TEST_F(Trail, WhatDidNotFitIsCounted) {
  options_.most_queued = 5;
  options_.flush_every = 1h;
  open();
  for (int i = 0; i < 12; ++i)
    audit(Event("connection_refused", {{"address", Word{"10.0.0.1"}}}));
  (void)find();
  const json lost = find({.event = "audit_lost"});
  ASSERT_EQ(lost["events"].size(), 1u) << find().dump();
  EXPECT_EQ(lost["events"][0]["fields"]["count"], "7");
}

TEST_F(Trail, AFileThatIsNoneIsRefused) {
  const auto refusal = [&] {
    const auto opened = AuditTrail::open(options_);
    return opened ? std::string() : opened.error().message;
  };
  std::ofstream(options_.path) << "certainly no database of any kind, and longer than a header: "
                               << std::string(200, 'x');
  EXPECT_THAT(refusal(), HasSubstr("audit file " + options_.path));
  std::filesystem::remove(options_.path);
  std::filesystem::create_directory(options_.path);
  EXPECT_THAT(refusal(), HasSubstr(options_.path));
  options_.path = folder_ + "/none/ks.audit";
  EXPECT_THAT(refusal(), HasSubstr("No such file"));
}

}  // namespace
}  // namespace sealcast::keyserver
