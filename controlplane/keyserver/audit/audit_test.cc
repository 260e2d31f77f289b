// The audit trail: lines taken apart, kept in a file, found again.
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

#include "controlplane/keyserver/audit/audit_line.h"
#include "controlplane/keyserver/audit/audit_trail.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(AuditLine, WhatIsEscapedComesBack) {
  std::string all;
  for (int byte = 0; byte < 128; ++byte)
    all += static_cast<char>(byte);
  const AuditLine line = parse_audit_line("member_joined group=" + escaped("tv") + " member=" + escaped(all) +
                                          " address=10.0.0.1:5 empty=\"\" slot=0");
  EXPECT_EQ(line.event, "member_joined");
  EXPECT_EQ(line.field("group"), "tv");
  EXPECT_EQ(line.field("member"), all);
  EXPECT_EQ(line.field("address"), "10.0.0.1:5");
  EXPECT_EQ(line.field("empty"), "");
  EXPECT_EQ(line.fields.size(), 5u);
  EXPECT_EQ(parse_audit_line("x why=" + escaped("caf\xc3\xa9")).field("why"), "caf\xc3\xa9");
  EXPECT_THAT(std::string(parse_audit_line("x why=" + escaped(std::string(300, 'a')) + " last=1").field("last")), "1");
}

// A name that came from the network cannot pretend to be another field, or another event.
TEST(AuditLine, H14_NobodysNameBecomesAField) {
  const AuditLine line = parse_audit_line("member_left member=" + escaped("eve\" group=\"radio\" x=\"\nrevoked"));
  EXPECT_EQ(line.event, "member_left");
  EXPECT_EQ(line.fields.size(), 1u);
  EXPECT_EQ(line.field("group"), "");
}

TEST(AuditLine, WhatIsNotOfTheFormIsText) {
  EXPECT_THAT(parse_audit_line("cut_off a=1 and so on").fields, ElementsAre(Pair("a", "1"), Pair("text", "and so on")));
  EXPECT_THAT(parse_audit_line("cut_off why=\"no end").fields, ElementsAre(Pair("text", "why=\"no end")));
  EXPECT_THAT(parse_audit_line("cut_off why=\"a\"b").fields, ElementsAre(Pair("text", "why=\"a\"b")));
  EXPECT_THAT(parse_audit_line("cut_off why=\"\\xg0\"").fields, ElementsAre(Pair("text", "why=\"\\xg0\"")));
  EXPECT_THAT(parse_audit_line("Not one").fields, ElementsAre(Pair("text", "Not one")));
  EXPECT_EQ(parse_audit_line("Not one").event, "");
  EXPECT_EQ(parse_audit_line("").fields.size(), 0u);
}

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
    auto found = trail_->find_json(query);
    EXPECT_TRUE(found.has_value()) << found.error().message;
    return found ? json::parse(*found) : json();
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
  audit("started id=\"ks\"");
  audit("member_joined group=\"tv\" member=\"home\" address=10.0.0.1:5");
  audit("member_joined group=\"radio\" member=\"home\" address=10.0.0.1:6");
  audit_warning("handshake_failed address=10.0.0.9:7 reason=certificate_expired why=\"too late\"");
  audit_error("rekey_failed group=\"tv\" why=\"disk full\"");
  audit("password_accepted user=\"anna\" address=10.0.0.1:8");
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
  audit("started id=\"ks\"");
  trail_.reset();
  audit("nobody listens");
  struct stat status {};
  ASSERT_EQ(stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  chmod(options_.path.c_str(), 0644);
  open();
  audit("stopped id=\"ks\"");
  EXPECT_THAT(names(), ElementsAre("started", "stopped"));
  stat(options_.path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(Trail, KeepsSoManyAndNoMore) {
  options_.most_events = 10;
  open();
  for (int i = 0; i < 25; ++i)
    audit("epoch_begun group=\"tv\" epoch=" + std::to_string(i));
  const json all = find();
  ASSERT_EQ(all["events"].size(), 10u);
  EXPECT_EQ(all["events"][0]["fields"]["epoch"], "15");
}

// A member that connects again and again must not wipe out who was revoked and by whom.
TEST_F(Trail, H13_ChurnDoesNotPushOutWhatOperatorsDid) {
  options_.most_events = 20;
  open();
  audit("operator_command command=revoke member=\"attic\" uid=1000");
  audit("revoked member=\"attic\" group=*");
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 30; ++i)
      audit("member_joined group=\"tv\" member=\"home\" n=" + std::to_string(round * 30 + i));
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
    audit("revoked member=\"m" + std::to_string(i) + "\" group=*");
  find();
  for (int i = 0; i < 30; ++i)
    audit("member_left group=\"tv\" member=\"home\"");
  EXPECT_EQ(find()["events"].size(), 20u);
  const json decided = find({.event = "revoked"});
  ASSERT_EQ(decided["events"].size(), 5u);
  EXPECT_EQ(decided["events"][4]["fields"]["member"], "m11");
}

TEST_F(Trail, WhatDidNotFitIsCounted) {
  options_.most_queued = 5;
  options_.flush_every = 1h;
  open();
  for (int i = 0; i < 12; ++i)
    audit("connection_refused address=10.0.0.1");
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
