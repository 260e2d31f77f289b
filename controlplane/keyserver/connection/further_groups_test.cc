// Several groups on one connection: GroupJoin, GroupRefused, Leave.
#include <gmock/gmock.h>

#include "controlplane/keyserver/testing/further_groups_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using handshake::Activate;
using handshake::ActivateAck;
using handshake::CipherSuite;
using handshake::GroupJoin;
using handshake::GroupRefused;
using handshake::GroupUpdate;
using handshake::GroupUpdateAck;
using handshake::Keepalive;
using handshake::Leave;
using handshake::Refusal;
using handshake::Revoked;

class FurtherGroups : public SeveralGroups {
 protected:
  // As there; the connection, whose first group tv is, has keepalives seldom.
  void groups(int count) {
    SeveralGroups::groups(count);
    config_.groups[0].authority_lease = 30s;
  }
  std::set<std::string> members_of(const std::string& group) {
    std::set<std::string> out;
    const json now = status();
    for (const auto& one : now["groups"])
      if (one["group"] == group)
        for (const auto& member : one["members"])
          out.insert(member["member"].get<std::string>());
    return out;
  }
};

TEST_F(FurtherGroups, P4_P9_AFurtherGroupGivesWhatItsOwnHandshakeWouldHave) {
  groups(1);
  start();
  auto sender = member("sender");
  const auto update = join_further(*sender, "g0");
  ASSERT_TRUE(update);
  EXPECT_EQ(update->keying.group_id, "g0");
  EXPECT_EQ(update->keying.state, handshake::EpochState::active);
  EXPECT_EQ(update->keying.assignment.member_id, "sender");
  EXPECT_EQ(update->keying.assignment.roles, handshake::sender_and_receiver);
  EXPECT_EQ(update->keying.assignment.slot_count, 1);
  EXPECT_NE(to_hex(update->keying.premaster.view()), to_hex(sender->keying().premaster.view())) << "another group";
  auto wish = member_config(pki_.member("sender2"));
  wish->multicast->group_id = "g0";
  auto other = connect(wish);
  ASSERT_TRUE(other->join());
  EXPECT_EQ(to_hex(other->keying().premaster.view()), to_hex(update->keying.premaster.view())) << "one secret for all";
  EXPECT_NE(other->keying().assignment.first_slot, update->keying.assignment.first_slot);
  EXPECT_EQ(members_of("tv"), (std::set<std::string>{"sender"}));
  EXPECT_EQ(members_of("g0"), (std::set<std::string>{"sender", "sender2"}));
  EXPECT_EQ(status()["connections"], 2);
}

TEST_F(FurtherGroups, EachGroupIsRekeyedOnItsOwn) {
  groups(1);
  start();
  auto sender = member("sender");
  const auto first = join_further(*sender, "g0");
  ASSERT_TRUE(first);
  ASSERT_TRUE(on_loop([this] { return server_->rekey("g0"); }));
  const auto next = sender->expect<GroupUpdate>();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->keying.group_id, "g0");
  EXPECT_GT(next->keying.epoch, first->keying.epoch);
  ASSERT_TRUE(sender->say(GroupUpdateAck{"g0", next->keying.epoch}));
  const auto activate = sender->expect<Activate>(300ms);
  ASSERT_TRUE(activate) << "before the activation delay";
  EXPECT_EQ(activate->group_id, "g0");
  ASSERT_TRUE(sender->say(ActivateAck{"g0", next->keying.epoch}));
  ASSERT_TRUE(rekey());
  const auto tv = sender->expect<GroupUpdate>();
  ASSERT_TRUE(tv);
  EXPECT_EQ(tv->keying.group_id, "tv");
}

// The same answer whatever the reason; the connection and its group are as before.
TEST_F(FurtherGroups, H4_H8_H11_WhoMayNotJoinIsRefusedAndKeepsWhatItHas) {
  groups(4);
  config_.groups[2].flow.suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;  // g1
  config_.groups[3].members_by_certificate = false;                            // g2
  config_.groups[3].members = {"sender2"};
  start();
  ASSERT_TRUE(on_loop([this] { return server_->revoke("sender", "g3"); }));
  auto sender = member("sender", {"tv", "g1", "g2", "g3"});
  for (const std::string group : {"g0", "g1", "g2", "g3", "no such group"}) {
    ASSERT_TRUE(sender->say(GroupJoin{group}));
    const auto answer = sender->expect<GroupRefused>();
    ASSERT_TRUE(answer) << group;
    EXPECT_EQ(answer->group_id, group);
    EXPECT_EQ(answer->why, Refusal::refused) << group;
    ASSERT_TRUE(sender->say(Leave{group})) << "which says nothing new";
  }
  EXPECT_EQ(failed("group_join_refused"), 5u);
  ASSERT_TRUE(rekey());
  EXPECT_TRUE(sender->expect<GroupUpdate>());
  EXPECT_EQ(status()["members"], 1);
}

TEST_F(FurtherGroups, LeavingOneKeepsTheOthersAndTheLastEndsTheConnection) {
  groups(2);
  start();
  auto sender = member("sender");
  ASSERT_TRUE(join_further(*sender, "g0"));
  ASSERT_TRUE(join_further(*sender, "g1"));
  ASSERT_TRUE(sender->say(Leave{"tv"}));
  ASSERT_TRUE(eventually([&] { return members_of("tv").empty(); })) << "the handshake's own group, too";
  EXPECT_EQ(members_of("g0").size(), 1u);
  ASSERT_TRUE(sender->say(Keepalive{7}));
  std::optional<Keepalive> answer;
  do {
    answer = sender->expect<Keepalive>();
  } while (answer && answer->sequence != 7);
  EXPECT_TRUE(answer);
  ASSERT_TRUE(join_further(*sender, "tv")) << "and back";
  for (const std::string group : {"g0", "tv"})
    ASSERT_TRUE(sender->say(Leave{group}));
  ASSERT_TRUE(eventually([&] { return status()["members"] == 1; }));
  EXPECT_FALSE(sender->over());
  ASSERT_TRUE(sender->say(Leave{"g1"}));
  EXPECT_TRUE(sender->ended());
  EXPECT_EQ(status()["members"], 0);
}

TEST_F(FurtherGroups, H11_WhoIsRevokedInOneGroupLosesTheConnectionWithAllOfThem) {
  groups(2);
  start();
  auto sender = member("sender");
  auto other = member("sender2");
  ASSERT_TRUE(join_further(*sender, "g0"));
  ASSERT_TRUE(join_further(*sender, "g1"));
  ASSERT_TRUE(on_loop([this] { return server_->revoke("sender", "g0"); }));
  const auto told = sender->expect<Revoked>();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->group_id, "g0");
  EXPECT_TRUE(sender->ended());
  EXPECT_TRUE(eventually([&] { return status()["members"] == 1 && status()["connections"] == 1; }));
  EXPECT_TRUE(members_of("g1").empty());
  auto again = member("sender");
  EXPECT_TRUE(join_further(*again, "g1")) << "where it still may";
  ASSERT_TRUE(again->say(GroupJoin{"g0"}));
  EXPECT_TRUE(again->expect<GroupRefused>());
}

TEST_F(FurtherGroups, TheNewestConnectionWinsInEachGroup) {
  groups(1);
  start();
  auto old = member("sender");
  ASSERT_TRUE(join_further(*old, "g0"));
  auto wish = member_config(pki_.member("sender"));
  wish->multicast->group_id = "g0";
  auto fresh = connect(wish);
  ASSERT_TRUE(fresh->join());
  EXPECT_TRUE(old->ended());
  EXPECT_TRUE(eventually([&] { return members_of("tv").empty(); })) << "nobody is left behind where it was";
  EXPECT_EQ(members_of("g0").size(), 1u);
}

TEST_F(FurtherGroups, H13_WhatBreaksTheRulesEndsTheConnection) {
  groups(1);
  start();
  const std::vector<std::vector<handshake::ControlMessage>> cases = [] {
    std::vector<std::vector<handshake::ControlMessage>> all(3);
    all[0].emplace_back(GroupJoin{"tv"});
    all[1].emplace_back(GroupJoin{"g0"});
    all[1].emplace_back(GroupJoin{"g0"});
    all[2].emplace_back(GroupUpdateAck{"g0", 1});
    return all;
  }();
  for (const auto& messages : cases) {
    auto sender = member("sender");
    for (const auto& message : messages)
      ASSERT_TRUE(sender->say(message));
    EXPECT_TRUE(sender->ended());
    EXPECT_TRUE(eventually([&] { return status()["members"] == 0; }));
  }
}

TEST_F(FurtherGroups, H13_ThousandsOfGroupsComeInTurnsAndTheAllowanceGrowsWithThem) {
  constexpr int count = 300;
  groups(count);
  options_.control_burst = 2s;  // a hundred messages
  start();
  auto sender = member("sender");
  int asked = 0;
  int joined = 0;
  while (joined < count) {
    for (; asked < count && asked < joined + 16; ++asked)
      ASSERT_TRUE(sender->say(GroupJoin{"g" + std::to_string(asked)}));
    const auto update = sender->expect<GroupUpdate>();
    ASSERT_TRUE(update) << joined;
    ++joined;
  }
  EXPECT_EQ(status()["members"], count + 1);
  EXPECT_EQ(status()["connections"], 1);
  for (int i = 0; i < count; ++i)
    ASSERT_TRUE(sender->say(GroupUpdateAck{"g" + std::to_string(i), 1}));
  ASSERT_TRUE(rekey());
  EXPECT_TRUE(sender->expect<GroupUpdate>()) << "300 at once were within its allowance";
  for (int i = 0; i < 5000 && sender->say(Keepalive{1}); ++i) {
  }
  EXPECT_TRUE(sender->ended()) << "5000 are not";
  EXPECT_TRUE(eventually([&] { return status()["members"] == 0; }));
}

TEST_F(FurtherGroups, H13_WhoAsksForTooManyAtOnceIsToldToComeAgain) {
  constexpr int count = 200;
  groups(count);
  start();
  auto sender = member("sender");
  Bytes all;
  for (int i = 0; i < count; ++i) {
    ASSERT_TRUE(sender->endpoint().send(GroupJoin{"g" + std::to_string(i)}));
    const Bytes one = sender->endpoint().take_output();
    all.insert(all.end(), one.begin(), one.end());
  }
  ASSERT_TRUE(sender->wire().send(all));
  const auto refused = sender->expect<GroupRefused>();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->why, Refusal::come_again);
  EXPECT_TRUE(eventually([&] { return status()["members"] >= 65; }));
  ASSERT_TRUE(join_further(*sender, refused->group_id));
}

}  // namespace
}  // namespace sealcast::keyserver::testing
