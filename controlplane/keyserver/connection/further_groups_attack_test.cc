// Several groups on one connection, and groups that come and go, seen by an attacker.
#include <gmock/gmock.h>

#include "controlplane/keyserver/testing/further_groups_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using handshake::ActivateAck;
using handshake::GroupJoin;
using handshake::GroupRefused;
using handshake::GroupUpdate;
using handshake::GroupUpdateAck;
using handshake::Keepalive;
using handshake::Leave;
using handshake::Revoked;

class FurtherGroupsAttack : public SeveralGroups {
 protected:
  Result<void> reload(const config::KeyserverConfig& config) {
    return on_loop([this, &config] { return server_->reload(config); });
  }
  Result<void> revoke(const std::string& name, const std::optional<std::string>& group) {
    return on_loop([this, name, group] { return server_->revoke(name, group); });
  }
  // What `revoke` reports of a group; null: nothing is under way.
  json exclusion(const std::string& group) {
    const json all = json::parse(on_loop([this] { return admin::to_json(server_->revocations()); }));
    for (const json& one : all["groups"])
      if (one["group"] == group) return one;
    return nullptr;
  }
};

// Each of the connection's groups is told, so that the gateway wipes the keys of all of them.
TEST_F(FurtherGroupsAttack, H11_WhoIsRevokedInAllGroupsIsToldInEach) {
  groups(2);
  start();
  auto sender = member("sender");
  ASSERT_TRUE(join_further(*sender, "g0"));
  ASSERT_TRUE(join_further(*sender, "g1"));
  ASSERT_TRUE(revoke("sender", std::nullopt));
  std::set<std::string> told;
  for (int i = 0; i < 3; ++i)
    if (const auto revoked = sender->expect<Revoked>(1s)) told.insert(revoked->group_id);
  EXPECT_EQ(told, (std::set<std::string>{"tv", "g0", "g1"}));
  EXPECT_TRUE(sender->ended());
  EXPECT_TRUE(eventually([&] { return status()["members"] == 0 && status()["connections"] == 0; }));
}

// Its senders go on under what they have until they are back or their leases end, whatever the configuration says of
// the group meanwhile.
TEST_F(FurtherGroupsAttack, H11_ARemovedGroupsSendersAreWaitedForWhenItIsBack) {
  groups(1);
  config_.groups[1].authority_lease = 2s;
  start();
  const auto without = [this] {
    auto config = config_;
    config.groups.pop_back();
    return config;
  }();
  auto sender = member("sender");
  ASSERT_TRUE(join_further(*sender, "g0"));
  auto spy = member("spy");
  ASSERT_TRUE(join_further(*spy, "g0"));
  ASSERT_TRUE(reload(without));
  ASSERT_TRUE(sender->ended());
  ASSERT_TRUE(reload(config_));
  ASSERT_TRUE(revoke("spy", "g0"));
  const json now = exclusion("g0");
  ASSERT_FALSE(now.is_null()) << "the sender goes on under the epoch that the spy has";
  EXPECT_EQ(now["complete"], false);
  EXPECT_TRUE(now.contains("leases_end_in_s"));
  EXPECT_TRUE(eventually([&] { return exclusion("g0")["complete"] == true; })) << "when its lease has ended";
}

TEST_F(FurtherGroupsAttack, H11_ARevocationThatWasUnderWayIsGoneOnWithWhenTheGroupIsBack) {
  groups(1);
  config_.groups[1].authority_lease = 3s;
  start();
  auto sender = member("sender");
  ASSERT_TRUE(join_further(*sender, "g0"));
  auto spy = member("spy");
  ASSERT_TRUE(join_further(*spy, "g0"));
  ASSERT_TRUE(revoke("spy", "g0"));
  ASSERT_EQ(exclusion("g0")["complete"], false) << "the sender says nothing";
  auto without = config_;
  without.groups.pop_back();
  ASSERT_TRUE(reload(without));
  ASSERT_TRUE(reload(config_));
  const json now = exclusion("g0");
  ASSERT_FALSE(now.is_null());
  EXPECT_EQ(now["complete"], false);
}

// What was said of a group before it was left, or removed, means nothing to the one that is there now.
TEST_F(FurtherGroupsAttack, H9_H11_WhatIsSaidOfAFormerMembershipEndsTheConnection) {
  groups(1);
  start();
  const std::vector<std::function<handshake::ControlMessage(std::uint64_t)>> late = {
      [](std::uint64_t epoch) {
        return GroupUpdateAck{"g0", epoch};
      },
      [](std::uint64_t epoch) {
        return ActivateAck{"g0", epoch};
      },
      [](std::uint64_t epoch) {
        return handshake::SlotRequest{"g0", epoch, 1};
      },
      [](std::uint64_t epoch) { return handshake::StatusReport{"g0", epoch, 0, 0, 0, {}}; },
  };
  for (const auto& message : late) {
    auto sender = member("sender");
    const auto update = join_further(*sender, "g0");
    ASSERT_TRUE(update);
    ASSERT_TRUE(sender->say(Leave{"g0"}));
    ASSERT_TRUE(sender->say(message(update->keying.epoch)));
    EXPECT_TRUE(sender->ended());
    EXPECT_TRUE(eventually([&] { return status()["members"] == 0; }));
  }
}

// A slot that was given out once is never given again: and what is said of it by the one that had it is not taken.
TEST_F(FurtherGroupsAttack, H9_WhoLeavesAndJoinsAgainGetsAnotherSlotAndMaySayNothingOfTheFormer) {
  groups(1);
  start();
  auto sender = member("sender");
  std::set<std::uint16_t> slots;
  std::optional<GroupUpdate> first;
  std::optional<GroupUpdate> last;
  for (int i = 0; i < 3; ++i) {
    last = join_further(*sender, "g0");
    ASSERT_TRUE(last);
    EXPECT_TRUE(slots.insert(last->keying.assignment.first_slot).second);
    if (!first) first = std::move(last);
    if (last) {
      EXPECT_EQ(last->keying.epoch, first->keying.epoch);
    }
    if (i < 2) {
      ASSERT_TRUE(sender->say(Leave{"g0"}));
    }
  }
  const std::uint32_t former = first->keying.policy.spi_prefix | first->keying.assignment.first_slot;
  const handshake::SlotCounter lie{former, ~std::uint64_t{0} - 1, 0};
  ASSERT_TRUE(sender->say(handshake::StatusReport{"g0", first->keying.epoch, 0, 0, 0, {lie}}));
  ASSERT_TRUE(sender->say(Keepalive{1}));
  ASSERT_TRUE(sender->expect<Keepalive>()) << "it is no reason to end the connection";
}

// Others on the same connection, and who wants to know whether it is alive, hear of the key server all the while.
TEST_F(FurtherGroupsAttack, WhoJoinsAgainAndAgainPutsOffNoKeepalive) {
  groups(1);
  start();  // leases of 1 s: a Keepalive each 250 ms
  auto sender = member("sender");
  for (int i = 0; i < 15; ++i) {
    ASSERT_TRUE(sender->say(GroupJoin{"g0"}));
    std::this_thread::sleep_for(30ms);
    ASSERT_TRUE(sender->say(Leave{"g0"}));
    std::this_thread::sleep_for(30ms);
  }
  EXPECT_TRUE(sender->expect<Keepalive>(50ms));
}

// A group that is unknown, forbidden, or differently keyed: one answer, so that no client learns which there are.
TEST_F(FurtherGroupsAttack, AGroupThatWasRemovedIsRefusedLikeOneThatNeverWas) {
  groups(2);
  start();
  auto sender = member("sender");
  auto without = config_;
  without.groups.pop_back();
  ASSERT_TRUE(reload(without));
  for (const std::string group : {"g1", "g2"}) {
    ASSERT_TRUE(sender->say(GroupJoin{group}));
    const auto refused = sender->expect<GroupRefused>();
    ASSERT_TRUE(refused) << group;
    EXPECT_EQ(refused->why, handshake::Refusal::refused);
  }
}

}  // namespace
}  // namespace sealcast::keyserver::testing
