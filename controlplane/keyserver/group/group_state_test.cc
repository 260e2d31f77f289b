// The rules of one group: what each member gets, slots, counters, what members report.
#include <algorithm>
#include <utility>

#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver {
namespace {

using namespace testing;
using ::testing::UnorderedElementsAre;

TEST_F(GroupStateTest, P4_P5_P41_EveryMemberGetsTheSamePremasterFromTheServer) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_TRUE(a.keying.premaster.equals(b.keying.premaster));
  EXPECT_FALSE(a.keying.premaster.is_zero());
  EXPECT_EQ(a.keying.epoch, b.keying.epoch);
  EXPECT_EQ(a.keying.state, EpochState::active) << "the first epoch ever has nobody to wait for";
  EXPECT_EQ(a.keying.key_server_id, "ks");
  EXPECT_EQ(a.keying.remaining_ms, 3'600'000u);
}

TEST_F(GroupStateTest, P35_P36_P37_P38_KeyingHoldsAllThatAnSaNeeds) {
  const auto a = join("sender");
  const auto b = join("home");
  EXPECT_EQ(a.keying.policy.selectors, config_.selectors);
  EXPECT_EQ(a.keying.policy.spi_prefix, b.keying.policy.spi_prefix) << "the server sets the SPI, for all alike";
  EXPECT_GE(a.keying.policy.spi_prefix, 0x10000000u);
  EXPECT_EQ(a.keying.policy.spi_slot_bits, 16);
  EXPECT_EQ(a.keying.policy.authority_lease_s, 60u);
  EXPECT_EQ(a.keying.policy.replay_window, 4096u);
}

TEST_F(GroupStateTest, AllZeroPremasterIsNeverUsed) {
  random_.zeros = 48;
  EXPECT_FALSE(issue("home").premaster.is_zero());
}

TEST_F(GroupStateTest, H9_SlotsDifferAndReceiversGetNone) {
  const auto a = join("sender");
  const auto b = join("sender2");
  const auto c = join("home");
  EXPECT_EQ(a.keying.assignment.slot_count, 1);
  EXPECT_EQ(b.keying.assignment.slot_count, 1);
  EXPECT_NE(a.keying.assignment.first_slot, b.keying.assignment.first_slot);
  EXPECT_EQ(a.keying.assignment.roles, handshake::sender_and_receiver);
  EXPECT_EQ(c.keying.assignment.slot_count, 0);
  EXPECT_EQ(c.keying.assignment.roles, handshake::receiver);
  EXPECT_EQ(c.keying.policy.slots_used, 2);
  const auto again = join("sender");
  EXPECT_EQ(again.keying.assignment.first_slot, 2) << "a new registration never gets the old slot";
}

TEST_F(GroupStateTest, AUTH3_WhoIsNoMemberGetsNothing) {
  const auto refused = [&](handshake::PeerIdentity who) {
    const auto keying = group_->issue(who, "10.0.0.1:5", now_);
    return keying ? std::string("given!") : keying.error().message;
  };
  auto stranger = identity("home");
  stranger.groups = {"radio"};
  EXPECT_THAT(refused(stranger), HasSubstr("does not name the group \"tv\""));
  stranger = identity("home");
  stranger.may_decrypt = false;
  EXPECT_THAT(refused(stranger), HasSubstr("does not allow decryption"));
  EXPECT_THAT(refused(identity("")), HasSubstr("1 to 64 bytes"));
  EXPECT_THAT(refused(identity(std::string(65, 'x'))), HasSubstr("1 to 64 bytes"));
  config_.members_by_certificate = false;
  config_.members = {"sender"};
  group_->reconfigure(config_, now_);
  EXPECT_THAT(refused(identity("home")), HasSubstr("not among the members"));
  EXPECT_THAT(group_->epochs(), IsEmpty()) << "a refusal must not even begin an epoch";
  EXPECT_TRUE(group_->issue(identity("sender"), "10.0.0.1:5", now_).has_value());
}

TEST_F(GroupStateTest, H9_QuotaAndEndOfBlockRefuseAndNeverWrap) {
  slot_bits_ = 4;
  config_.slots_per_member = 6;
  start();
  const auto a = join("sender");
  ASSERT_TRUE(say(a, SlotRequest{"tv", a.keying.epoch, 5}));
  EXPECT_THAT(a.link->take(), ElementsAre("grant 1+5 of 6"));
  ASSERT_TRUE(say(a, SlotRequest{"tv", a.keying.epoch, 1}));
  EXPECT_THAT(a.link->take(), ElementsAre("grant 0+0 of 6")) << "quota";
  const auto b = join("sender2");
  ASSERT_TRUE(say(b, SlotRequest{"tv", b.keying.epoch, 5}));
  EXPECT_THAT(b.link->take(), ElementsAre("grant 7+5 of 12"));
  const auto a2 = join("sender");
  EXPECT_EQ(a2.keying.assignment.slot_count, 0) << "beyond its quota a sender only receives";
  EXPECT_EQ(a2.keying.assignment.roles, handshake::receiver);
  ASSERT_TRUE(say(a2, SlotRequest{"tv", b.keying.epoch, 1}));
  EXPECT_THAT(a2.link->take(), ElementsAre("grant 0+0 of 12"));
  ASSERT_TRUE(say(b, SlotRequest{"tv", b.keying.epoch + 1, 1}));
  EXPECT_THAT(b.link->take(), ElementsAre("grant 0+0 of 0")) << "an epoch that isn't there";
}

TEST_F(GroupStateTest, H9_ANearlyUsedBlockBringsARekeyButNotARaceOfThem) {
  slot_bits_ = 4;
  start();
  const auto a = join("sender");
  const std::uint64_t first = a.keying.epoch;
  ASSERT_TRUE(say(a, SlotRequest{"tv", first, 10}));
  pass(15s);
  EXPECT_EQ(group_->epochs().size(), 1u) << "11 of 16 is less than three quarters";
  ASSERT_TRUE(say(a, SlotRequest{"tv", first, 1}));
  a.link->take();
  pass(0ms);
  EXPECT_NE(pending(), 0u);
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", pending())));
}

TEST_F(GroupStateTest, H9_AQuotaUsedUpByManyRegistrationsBringsANewEpoch) {
  config_.slots_per_member = 6;
  start();
  std::vector<Joined> earlier;
  for (int i = 0; i < 6; ++i) {
    earlier.push_back(join("sender"));
    EXPECT_EQ(earlier.back().keying.assignment.slot_count, 1);
  }
  const std::uint64_t first = active();
  const auto silent = join("sender");
  EXPECT_EQ(silent.keying.assignment.slot_count, 0);
  pass(10s);
  EXPECT_GT(pending(), first);
  EXPECT_EQ(silent.link->slots, 1) << "and may send again";
  ASSERT_TRUE(say(silent, GroupUpdateAck{"tv", pending()}));
  const std::uint64_t second = active();
  ASSERT_TRUE(say(silent, SlotRequest{"tv", second, 6}));
  pass(1min);
  EXPECT_EQ(active(), second) << "what no epoch's quota allows brings none";
}

TEST_F(GroupStateTest, StatusReportsAreKept) {
  const auto a = join("sender");
  const std::uint32_t spi = a.keying.policy.spi_prefix;
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 10, 20, 3, {{spi, 4711}}}));
  EXPECT_EQ(group_->members().at("sender").report->opened, 20u);
}

TEST_F(GroupStateTest, DATA3_CountersOfAnothersSlotAreIgnored) {
  const auto a = join("sender");
  const auto liar = join("sender2");
  const std::uint32_t spi = a.keying.policy.spi_prefix;  // slot 0 is the other's
  for (const std::uint32_t victim : {spi, spi + 2, spi - 1, std::uint32_t{0}}) {
    ASSERT_TRUE(say(liar, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{spi + 1, 5}, {victim, ~std::uint64_t{0}}}}));
    EXPECT_FALSE(group_->members().at("sender2").report.has_value());
  }
}

TEST_F(GroupStateTest, AHighCounterBringsARekeyBeforeTheVolumeLimit) {
  const auto a = join("sender");
  pass(11s);
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{a.keying.policy.spi_prefix, (1ULL << 32) - 1}}}));
  pass(0ms);
  EXPECT_EQ(pending(), 0u) << "one packet less";
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{a.keying.policy.spi_prefix, 1ULL << 32}}}));
  pass(0ms);
  EXPECT_NE(pending(), 0u);
}

TEST_F(GroupStateTest, RekeyOnVolumeOfPacketsOrBytesOfOneSender) {
  config_.rekey_after_packets = 5000;
  config_.rekey_after_bytes = 3 << 20;
  start();
  const auto a = join("sender");
  const auto b = join("sender2");
  pass(11s);
  const auto report = [&](const Joined& who, std::uint64_t packets, std::uint64_t bytes) {
    const std::uint64_t epoch = active();
    const std::uint32_t slot =
        who.link->slots && epoch != who.keying.epoch ? who.link->first_slot : who.keying.assignment.first_slot;
    const auto found = std::find_if(group_->epochs().begin(), group_->epochs().end(),
                                    [&](const Epoch& e) { return e.number == epoch; });
    const std::uint32_t spi = found->policy.spi_prefix + slot;
    ASSERT_TRUE(say(who, StatusReport{"tv", epoch, 1, 1, 1, {{spi, packets, bytes}}}));
    pass(0ms);
  };
  report(a, 4999, (3 << 20) - 1);
  report(b, 4999, (3 << 20) - 1);
  EXPECT_EQ(pending(), 0u) << "two senders' volumes are not added: each has a key of its own";
  report(b, 5000, 100);
  const std::uint64_t second = pending();
  ASSERT_NE(second, 0u) << "packets";
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", second}));
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", second}));
  ASSERT_EQ(active(), second);
  pass(11s);
  report(a, 2, 3 << 20);
  EXPECT_NE(pending(), 0u) << "bytes";
  EXPECT_NE(pending(), second);
}

TEST_F(GroupStateTest, CHAN2_WhatNoMemberMaySayEndsItsMembership) {
  const std::vector<std::function<ControlMessage(std::uint64_t)>> wrong = {
      [](std::uint64_t epoch) {
        return Activate{"tv", epoch};
      },
      [](std::uint64_t epoch) {
        return Retire{"tv", epoch};
      },
      [](std::uint64_t epoch) {
        return GroupUpdateAck{"radio", epoch};
      },
      [](std::uint64_t epoch) {
        return SlotRequest{"radio", epoch, 1};
      },
      [](std::uint64_t) {
        return Revoked{"tv", "x"};
      },
      [](std::uint64_t) { return GroupUpdate{}; },
  };
  for (const auto& make : wrong) {
    const auto a = join("sender");
    EXPECT_FALSE(say(a, make(a.keying.epoch)).has_value());
    EXPECT_EQ(group_->members().count("sender"), 0u);
  }
}

// What the group says, beside its log.
class ToldTest : public GroupStateTest {
 protected:
  ToldTest() {
    audit_to([this](AuditLevel level, const Event& event) {
      if (level == AuditLevel::error) errors_.push_back(event.line());
      lines_.push_back(event.line());
    });
    holdings_to([this](const Holding& held) { held_.push_back(held.member + " " + std::to_string(held.epoch)); },
                [this] { return room_; });
  }
  ~ToldTest() override {
    audit_to({});
    holdings_to({}, {});
  }
  std::vector<std::string> take_held() { return std::exchange(held_, {}); }
  std::size_t lines_about(const std::string& member) const {
    const std::string field = "member=\"" + member + "\"";
    return static_cast<std::size_t>(std::count_if(
        lines_.begin(), lines_.end(), [&](const std::string& line) { return line.find(field) != line.npos; }));
  }

  std::vector<std::string> lines_, errors_, held_;
  bool room_ = true;
};

TEST_F(ToldTest, H13_H27_AMemberThatJoinsTooOftenIsToldToComeAgainAndCostsNothingMeanwhile) {
  for (int i = 0; i < 30; ++i)
    join("sender");
  take_held();
  for (int i = 0; i < 500; ++i) {
    const auto refused = group_->issue(identity("sender"), "10.0.0.1:5", now_);
    ASSERT_FALSE(refused) << i;
    EXPECT_THAT(refused.error().message, HasSubstr("it may come again in 6 s"));
  }
  EXPECT_TRUE(group_->may_join(identity("sender"), now_).good()) << "so that it is told to come again, not refused";
  EXPECT_THAT(take_held(), IsEmpty());
  EXPECT_EQ(join("home").keying.policy.slots_used, 30) << "others join, and no slot was lost";
  pass(6s);
  EXPECT_EQ(join("sender").keying.assignment.first_slot, 30);
}

TEST_F(ToldTest, H27_EveryWayToAnEpochIsKept) {
  const auto a = join("sender");
  const auto b = join("home");
  const std::uint64_t first = a.keying.epoch;
  EXPECT_THAT(take_held(), ElementsAre(word("sender", first), word("home", first)));
  ASSERT_TRUE(group_->rekey("asked for", now_));
  EXPECT_THAT(take_held(), UnorderedElementsAre(word("sender", pending()), word("home", pending())));
  issue("broken off");
  EXPECT_THAT(take_held(), ElementsAre(word("broken off", first))) << "whether or not it joins (H3)";
}

TEST_F(ToldTest, H27_H29_WithoutRoomForTheirRowsNewcomersWaitAndMembersAreRekeyed) {
  const auto a = join("sender");
  room_ = false;
  const auto refused = group_->issue(identity("home"), "10.0.0.1:5", now_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("the audit trail can't be written"));
  EXPECT_TRUE(group_->may_join(identity("home"), now_).good());
  ASSERT_TRUE(group_->rekey("asked for", now_));
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", pending())));
  room_ = true;
  join("home");
}

TEST_F(ToldTest, H13_ACertificateInTwoPlacesIsAnAlarmWithBothAddresses) {
  links_.reserve(100);
  const auto join_from = [&](const std::string& address) {
    const auto keying = group_->issue(identity("home"), address, now_);
    ASSERT_TRUE(keying.has_value());
    links_.push_back(std::make_shared<FakeLink>());
    group_->join(*links_.back(), identity("home"), address, given_of(*keying), now_);
  };
  join_from("10.0.0.1:5");
  for (int i = 0; i < 8; ++i) {
    pass(1s);
    join_from(i % 2 == 0 ? "10.0.0.2:6" : "10.0.0.1:5");
  }
  EXPECT_THAT(errors_,
              ElementsAre(HasSubstr(
                  "duplicate_member group=\"tv\" member=\"home\" address=10.0.0.1:5 other_address=10.0.0.2:6")))
      << "once a minute, whatever it does";
}

TEST_F(ToldTest, H13_H27_LinesOfOneMemberAreBoundedAndCounted) {
  config_.joins_per_minute = 60'000;
  start();
  for (int i = 0; i < 300; ++i)
    join("home");
  join("studio");
  EXPECT_LE(lines_about("home"), 62u) << "its joins and replacements, and the alarm";
  EXPECT_EQ(lines_about("studio"), 1u);
  pass(10s);
  join("home");
  EXPECT_THAT(lines_.back(), HasSubstr("not_logged_before="));
}

TEST_F(GroupStateTest, LeaveAndKeepalive) {
  const auto a = join("sender");
  EXPECT_TRUE(say(a, handshake::Keepalive{1}).has_value());
  EXPECT_THAT(say(a, handshake::Leave{"tv"}).error().message, HasSubstr("left"));
  EXPECT_THAT(group_->members(), IsEmpty());
}

}  // namespace
}  // namespace sealcast::keyserver
