// Members of many groups and the real key server: one connection for all.
#include "controlplane/member/testing/together.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using testing::Json;
using testing::Together;

class SharedTogether : public Together {
 protected:
  static std::string name(int i) { return "g" + std::to_string(i); }
  // g0 … g<count - 1> beside tv, at the key server and for members to have.
  void groups(int count) {
    server_.reset();
    for (int i = 0; i < count; ++i) {
      config::KeyserverGroup group = server_config_.groups[0];
      group.id = name(i);
      group.selectors[0].destination =
          *Prefix::parse("239.2." + std::to_string(i / 256) + "." + std::to_string(i % 256) + "/32");
      server_config_.groups.push_back(group);
      config::MemberGroup wanted;
      wanted.id = group.id;
      wanted.selectors = group.selectors;
      more_.push_back(wanted);
    }
    serve();
    pki::FolderOptions options;
    options.folder = folder_;
    options.now = std::time(nullptr);
    options.force = true;
    for (const char* member : {"studio", "home"})
      ASSERT_TRUE(pki::make_member(options, member, {}));
  }
  Member& join_all(const std::string& who, config::MemberRole role) {
    for (config::MemberGroup& group : more_) {
      const auto id = group.id;
      const auto selectors = group.selectors;
      group = member_group(role);
      group.id = id;
      group.selectors = selectors;
    }
    return join(who, role, 1, more_);
  }
  // As until(), for conditions that cost more than what the loop does.
  template <typename Condition>
  bool some_time(Condition condition) {
    for (int i = 0; i < 1200; ++i) {
      if (condition()) return true;
      io_.run_for(50ms);
    }
    return false;
  }
  static Json status(const Member& member) { return Json::parse(admin::to_json(member.agent->status())); }
  static std::size_t joined(const Member& member) { return status(member)["joined"]; }
  static Json group(const Member& member, const std::string& id) {
    const Json now = status(member);
    for (const Json& one : now["groups"])
      if (one["group"] == id) return one;
    return {};
  }
  std::size_t connections() const { return Json::parse(admin::to_json(server_->status()))["connections"]; }

  std::vector<config::MemberGroup> more_;
};

TEST_F(SharedTogether, HundredsOfGroupsAreJoinedRekeyedAndComeBackOverOneConnection) {
  constexpr int count = 300;
  report_every_ = 5s;  // as gateways do: more would be more than a connection's allowance
  groups(count);
  Member& studio = join_all("studio", config::MemberRole::sender);
  Member& home = join_all("home", config::MemberRole::receiver);
  ASSERT_TRUE(some_time([&] { return joined(studio) == count + 1 && joined(home) == count + 1; }))
      << joined(studio) << " " << joined(home) << " " << group(studio, "g250");
  EXPECT_EQ(connections(), 2u);
  EXPECT_EQ(status(studio)["connections"], 1);
  const std::uint64_t first = group(studio, "g7")["epoch"];
  ASSERT_TRUE(server_->rekey("g7"));
  ASSERT_TRUE(some_time([&] { return group(studio, "g7")["epoch"] > first; }));
  ASSERT_TRUE(some_time([&] { return group(home, "g7")["epoch"] == group(studio, "g7")["epoch"]; }));
  EXPECT_EQ(group(studio, "g8")["rekeys"], 0);
  EXPECT_EQ(group(studio, "g7")["joins"], 1);

  server_.reset();
  ASSERT_TRUE(some_time([&] { return joined(studio) == 0 && joined(home) == 0; }));
  serve();
  ASSERT_TRUE(some_time([&] { return joined(studio) == count + 1 && joined(home) == count + 1; }));
  EXPECT_EQ(connections(), 2u);
}

TEST_F(SharedTogether, H11_RevokedInOneGroupItComesBackForTheOthers) {
  groups(3);
  Member& home = join_all("home", config::MemberRole::receiver);
  ASSERT_TRUE(until([&] { return joined(home) == 4; }));
  ASSERT_TRUE(server_->revoke("home", "g1"));
  ASSERT_TRUE(until([&] { return group(home, "g1")["state"] != "joined" && joined(home) == 3; }));
  EXPECT_TRUE(std::none_of(home.plane.held.begin(), home.plane.held.end(), [](const auto& held) {
    return held.first.first == "g1";
  })) << "its keys are wiped";
  EXPECT_EQ(group(home, "tv")["state"], "joined");
  ASSERT_TRUE(server_->reinstate("home", "g1"));
  ASSERT_TRUE(until([&] { return joined(home) == 4; })) << status(home);
  EXPECT_EQ(connections(), 1u);
}

// The group for which the connection was to be opened must not stand in the others' way.
TEST_F(SharedTogether, WhoIsRefusedInTheFirstGroupJoinsTheOthers) {
  groups(3);
  server_.reset();
  server_config_.groups[0].members_by_certificate = false;
  server_config_.groups[0].members = {"studio"};
  serve();
  auto& member = *members_.emplace_back(std::make_unique<Member>(1));
  MemberSettings settings = settings_of("home");
  settings.member.groups = {member_group(config::MemberRole::receiver)};
  for (config::MemberGroup group : more_) {
    auto wanted = member_group(config::MemberRole::receiver);
    wanted.id = group.id;
    wanted.selectors = group.selectors;
    settings.member.groups.push_back(wanted);
  }
  member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
  ASSERT_TRUE(member.agent->start());
  ASSERT_TRUE(until([&] { return joined(member) == 3; })) << status(member);
  EXPECT_EQ(connections(), 1u);
  EXPECT_GE(group(member, "tv")["failures"], 1);
}

TEST_F(SharedTogether, LeavingOneGroupTellsTheKeyServerAndKeepsTheConnection) {
  groups(2);
  more_[0].on_demand = true;
  const auto demand = [&](config::MemberGroup& group) { group.on_demand = group.id == "g0"; };
  for (config::MemberGroup& group : more_) {
    const auto id = group.id;
    const auto selectors = group.selectors;
    group = member_group(config::MemberRole::receiver);
    group.id = id;
    group.selectors = selectors;
    demand(group);
  }
  Member& home = join("home", config::MemberRole::receiver, 1, more_);
  ASSERT_TRUE(until([&] { return joined(home) == 2; }));
  const auto members_of_g0 = [&]() -> std::size_t {
    const Json all = Json::parse(admin::to_json(server_->status()));
    for (const Json& one : all["groups"])
      if (one["group"] == "g0") return one["members"].size();
    return 0;
  };
  for (int round = 1; round <= 3; ++round) {
    home.plane.events.interests = {{"g0", true}};
    ASSERT_TRUE(until([&] { return joined(home) == 3; })) << status(home);
    EXPECT_EQ(members_of_g0(), 1u);
    home.plane.events.interests = {{"g0", false}};
    ASSERT_TRUE(until([&] { return members_of_g0() == 0; }));
    EXPECT_EQ(joined(home), 2u);
  }
  EXPECT_EQ(group(home, "tv")["joins"], 1);
  EXPECT_EQ(connections(), 1u);
}

// SIGHUP with another list of groups.
TEST_F(SharedTogether, H10_GroupsAreAddedChangedAndRemovedWhileTheOthersGoOn) {
  groups(3);
  Member& home = join_all("home", config::MemberRole::receiver);
  ASSERT_TRUE(until([&] { return joined(home) == 4; }));
  MemberSettings settings = settings_of("home");
  config::MemberConfig wanted = settings.member;
  wanted.groups = {member_group(config::MemberRole::receiver), more_[1], more_[2]};
  wanted.groups[2].role = config::MemberRole::both;  // g2 is another one now; g0 is gone
  home.plane.calls.clear();
  ASSERT_TRUE(home.agent->reload(wanted));
  EXPECT_EQ(home.plane.count("unprotect g0"), 1);
  EXPECT_EQ(home.plane.count("unprotect g1") + home.plane.count("unprotect tv"), 0);
  EXPECT_LT(std::find(home.plane.calls.begin(), home.plane.calls.end(), "unprotect g2"),
            std::find(home.plane.calls.begin(), home.plane.calls.end(), "protect g2"));
  ASSERT_TRUE(until([&] { return joined(home) == 3; })) << status(home);
  EXPECT_TRUE(group(home, "g0").is_null());
  EXPECT_EQ(group(home, "g1")["joins"], 1);
  EXPECT_EQ(group(home, "tv")["joins"], 1);
  EXPECT_EQ(group(home, "g2")["role"], "both");
  EXPECT_EQ(connections(), 1u);

  wanted.groups.insert(wanted.groups.begin(), more_[0]);
  ASSERT_TRUE(home.agent->reload(wanted));
  ASSERT_TRUE(until([&] { return joined(home) == 4; })) << status(home);
  ASSERT_TRUE(home.agent->reload(wanted)) << "nothing new";
  EXPECT_EQ(group(home, "g0")["joins"], 1);
  EXPECT_EQ(connections(), 1u);

  // What will not do changes nothing.
  config::MemberConfig broken = wanted;
  broken.groups.resize(1);
  broken.ca = folder_ + "/other.pem";
  const auto refused = home.agent->reload(broken);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("member.ca can't change"));
  EXPECT_EQ(joined(home), 4u);
}

}  // namespace
}  // namespace sealcast::member
