// Groups that share a connection, at a key server that says what the test wants.
#include "controlplane/member/testing/agent_fixture.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::GroupJoin;
using handshake::GroupKeying;
using handshake::GroupRefused;
using handshake::GroupUpdate;
using handshake::Keepalive;
using handshake::Leave;
using ::testing::HasSubstr;
using Json = nlohmann::json;

class Shared : public testing::AgentFixture {
 protected:
  // tv and count - 1 others: g1, g2, …
  void groups(int count) {
    for (int i = 1; i < count; ++i) {
      auto group = settings_.member.groups[0];
      group.id = "g" + std::to_string(i);
      for (Selector& selector : group.selectors)
        selector.destination = *Prefix::parse("239.2." + std::to_string(i) + ".0/24");
      settings_.member.groups.push_back(group);
    }
    serve();
    for (auto& group : settings_.member.groups)
      group.keyservers = settings_.member.groups[0].keyservers;
  }
  // What answers GroupJoin.
  GroupUpdate keying_of(int i, std::uint64_t step = 0) {
    GroupKeying keying = handshake::testing::sample_keying();
    keying.group_id = "g" + std::to_string(i);
    keying.epoch = epoch_ + step;
    keying.policy.selectors = settings_.member.groups[static_cast<std::size_t>(i)].selectors;
    keying.policy.spi_prefix =
        0x10000000u + static_cast<std::uint32_t>(i) * 0x100000u + static_cast<std::uint32_t>(step) * 0x10000u;
    keying.assignment.first_slot = next_slot_++;
    keying.policy.slots_used = next_slot_;
    keying.premaster.data()[0] = static_cast<std::uint8_t>(0x40 + i);
    keying.premaster.data()[1] = static_cast<std::uint8_t>(step);
    return {std::move(keying)};
  }
  Json status() const { return Json::parse(admin::to_json(agent_->status())); }
  Json group(int i) const { return status()["groups"][static_cast<std::size_t>(i)]; }
  int joined_now() const { return status()["joined"]; }
  std::size_t asked(const std::string& group_id) const {
    std::size_t count = 0;
    for (const GroupJoin& join : server_->all<GroupJoin>())
      count += join.group_id == group_id ? 1 : 0;
    return count;
  }
};

TEST_F(Shared, P27_OneHandshakeAndGroupJoinForTheRest) {
  groups(3);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1 && asked("g2") == 1; }));
  EXPECT_EQ(joined_now(), 1);
  ASSERT_TRUE(server_->say(keying_of(2)));
  ASSERT_TRUE(server_->say(keying_of(1)));
  ASSERT_TRUE(until([&] { return joined_now() == 3; })) << status();
  EXPECT_EQ(server_->accepted, 1);
  EXPECT_EQ(status()["connections"], 1);
  const auto* held = plane_.find(epoch_, "g1");
  ASSERT_NE(held, nullptr);
  EXPECT_TRUE(held->active);
  EXPECT_EQ(held->outbound.size(), 1u);
  EXPECT_GT(group(1)["lease_remaining_s"], 50.0);
  // A later epoch of one of them.
  GroupUpdate next = keying_of(1, 1);
  next.keying.state = handshake::EpochState::pending;
  ASSERT_TRUE(server_->say(std::move(next)));
  ASSERT_TRUE(server_->say(handshake::Activate{"g1", epoch_ + 1}));
  ASSERT_TRUE(until([&] { return group(1)["epoch"] == epoch_ + 1; }));
  EXPECT_EQ(group(2)["epoch"], epoch_);
}

TEST_F(Shared, ARefusedGroupComesAgainAndLeavesTheOthersAlone) {
  groups(3);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1 && asked("g2") == 1; }));
  ASSERT_TRUE(server_->say(keying_of(2)));
  ASSERT_TRUE(server_->say(GroupRefused{"g1", handshake::Refusal::refused}));
  ASSERT_TRUE(until([&] { return group(1)["failures"] == 1; }));
  EXPECT_THAT(group(1)["why"].get<std::string>(), HasSubstr("refuses this member in the group"));
  ASSERT_TRUE(until([&] { return asked("g1") == 2; }));
  ASSERT_TRUE(server_->say(keying_of(1)));
  ASSERT_TRUE(until([&] { return joined_now() == 3; }));
  EXPECT_EQ(group(2)["joins"], 1);
  EXPECT_EQ(server_->accepted, 1);
}

// A key server of before: it ignores what it does not know.
TEST_F(Shared, WithoutAnAnswerToGroupJoinEachGroupHasAConnection) {
  settings_.timing.handshake_timeout = 400ms;
  groups(3);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1; }));
  ASSERT_TRUE(until([&] { return server_->accepted >= 3; })) << status();
  EXPECT_EQ(group(0)["state"], "joined") << "which goes on";
  EXPECT_TRUE(server_->all<Leave>().empty()) << "it would take that for a mistake";
  // What comes late is of no use, and does no harm.
  ASSERT_TRUE(until([&] { return group(1)["failures"] > 0; })) << "the scripted one knows tv alone";
  EXPECT_EQ(group(0)["joins"], 1);
  EXPECT_THAT(log_->str(), HasSubstr("does not know GroupJoin"));
}

// Records that an attacker holds back and lets through later must not count for a later question (LEASE-1).
TEST_F(Shared, LEASE1_AnAnswerThatWasHeldBackIsNobodys) {
  settings_.timing.handshake_timeout = 300ms;
  groups(3);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1 && asked("g2") == 1; }));
  ASSERT_TRUE(server_->say(keying_of(2)));  // it knows GroupJoin
  server_->answers = false;
  ASSERT_TRUE(until([&] { return group(1)["failures"] == 1; }));
  EXPECT_THAT(group(1)["why"].get<std::string>(), HasSubstr("no answer to GroupJoin in time"));
  ASSERT_TRUE(until([&] { return !server_->all<Leave>().empty(); }));
  EXPECT_EQ(server_->all<Leave>().front().group_id, "g1");
  pass(200ms);
  EXPECT_EQ(asked("g1"), 1u) << "not before everything of the first time has come";
  ASSERT_TRUE(server_->say(keying_of(1)));
  pass(100ms);
  EXPECT_EQ(group(1)["joins"], 0);
  EXPECT_EQ(plane_.find(epoch_, "g1"), nullptr);
  ASSERT_TRUE(server_->say(Keepalive{server_->all<Keepalive>().back().sequence}));
  ASSERT_TRUE(until([&] { return asked("g1") == 2; }));
  server_->answers = true;
  ASSERT_TRUE(server_->say(keying_of(1)));
  ASSERT_TRUE(until([&] { return joined_now() == 3; })) << status();
  EXPECT_EQ(server_->accepted, 1);
}

TEST_F(Shared, LEASE1_ASilentConnectionIsNobodysAnyMore) {
  settings_.timing.handshake_timeout = 300ms;
  tamper_ = [](GroupKeying& keying) { keying.policy.authority_lease_s = 1; };
  groups(2);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1; }));
  ASSERT_TRUE(server_->say(keying_of(1)));
  ASSERT_TRUE(until([&] { return joined_now() == 2; }));
  server_->answers = false;
  ASSERT_TRUE(until([&] { return server_->accepted == 2; })) << "tv has a short lease";
  EXPECT_EQ(group(1)["state"], "reconnecting") << "and g1 does not go on with what is silent";
}

TEST_F(Shared, WhatNobodyAskedForEndsTheConnection) {
  for (const bool keying : {false, true}) {
    settings_.member.groups.resize(1);
    groups(2);
    start();
    ASSERT_TRUE(until([&] { return asked("g1") == 1; }));
    if (keying) {
      ASSERT_TRUE(server_->say(keying_of(1)));
    }
    ASSERT_TRUE(until([&] { return group(0)["state"] == "joined"; }));
    const bool said = server_->say(handshake::Activate{"g7", 1});
    ASSERT_TRUE(said);
    ASSERT_TRUE(until([&] { return group(0)["joins"] == 2; })) << status();
    EXPECT_GE(group(1)["failures"].get<int>() + group(1)["joins"].get<int>(), 1);
    EXPECT_THAT(log_->str(), HasSubstr("which was not asked for"));
    agent_.reset();
    plane_.held.clear();
    next_slot_ = static_cast<std::uint16_t>(next_slot_ + 100);
    std::filesystem::remove(folder_ + "/state");
  }
}

TEST_F(Shared, KeepalivesAreTheConnections) {
  constexpr int count = 40;
  settings_.timing.poll = 20ms;
  groups(count);
  start();
  for (int i = 1; i < count; ++i) {
    ASSERT_TRUE(until([&] { return asked("g" + std::to_string(i)) == 1; })) << i;
    ASSERT_TRUE(server_->say(keying_of(i)));
  }
  ASSERT_TRUE(until([&] { return joined_now() == count; }));
  const std::size_t before = server_->all<Keepalive>().size();
  pass(1s);
  const std::size_t sent = server_->all<Keepalive>().size() - before;
  EXPECT_LE(sent, 60u) << "one a poll at most, instead of " << count << " each 100 ms";
  EXPECT_GE(sent, 8u);
  const Json now = status();  // one moment's: nothing renews a lease while the test looks at the others
  for (const Json& group : now["groups"]) {
    EXPECT_EQ(group["joins"], 1);
    EXPECT_GT(group["lease_remaining_s"], 58.0) << "answered all the same";
  }
}

TEST_F(Shared, WithTheConnectionAllGroupsAreLostAndKeepTheirKeys) {
  groups(2);
  start();
  ASSERT_TRUE(until([&] { return asked("g1") == 1; }));
  ASSERT_TRUE(server_->say(keying_of(1)));
  ASSERT_TRUE(until([&] { return joined_now() == 2; }));
  server_->die();
  ASSERT_TRUE(until([&] { return joined_now() == 0; }));
  EXPECT_EQ(group(0)["state"], "reconnecting");
  EXPECT_EQ(group(1)["state"], "reconnecting");
  EXPECT_EQ(status()["connections"], 0);
  EXPECT_NE(plane_.find(epoch_, "g1"), nullptr) << "until its lease ends (H10)";
}

}  // namespace
}  // namespace sealcast::member
