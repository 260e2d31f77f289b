// What of a group's epochs reaches the data plane, and when; and what never does.
#include "controlplane/member/group_epochs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/member/testing/fake_data_plane.h"
#include "handshake/testing/in_process.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::EpochState;
using handshake::GroupKeying;
using ::testing::ElementsAre;
using testing::FakeDataPlane;
using ::testing::HasSubstr;

class Epochs : public ::testing::Test {
 protected:
  explicit Epochs(std::uint32_t workers = 1) : plane_(workers) {
    group_.id = "tv";
    group_.role = config::MemberRole::both;
    EXPECT_TRUE(plane_.protect("tv", {}));
  }
  static GroupKeying keying(std::uint64_t epoch, EpochState state = EpochState::active) {
    GroupKeying out = handshake::testing::sample_keying();
    out.epoch = epoch;
    out.state = state;
    out.policy.spi_prefix = 0x10000000u + static_cast<std::uint32_t>(epoch) * 0x10000u;
    out.premaster.data()[0] = static_cast<std::uint8_t>(epoch);
    return out;
  }
  Result<GroupEpochs::Own> apply(const GroupKeying& keying) {
    const auto master = handshake::derive_group_master(keying.policy.cipher_suite, keying.premaster);
    epochs_.proven(time_);
    return epochs_.apply(keying, master, handshake::derive_epoch_id(keying.policy.cipher_suite, master), time_);
  }
  static SaStatistics seen(std::uint64_t epoch, std::uint32_t spi, std::uint64_t packets) {
    SaStatistics sa;
    sa.group_id = "tv";
    sa.epoch = epoch;
    sa.spi = spi;
    sa.packets = packets;
    return sa;
  }

  // As the agent does with every poll, until there is nothing left to do.
  int ahead() {
    int steps = 0;
    while (epochs_.look_ahead(time_, look_ahead_budget) != 0)
      ++steps;
    return steps;
  }

  SteadyTime time_{std::chrono::hours(1)};
  config::MemberGroup group_;
  FakeDataPlane plane_;
  GroupEpochs epochs_{group_, plane_};
};

TEST_F(Epochs, P35_InstallsAnActiveEpochWithEverySlotButOurOwn) {
  const auto own = apply(keying(1));
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->slots, 1u);
  EXPECT_EQ(own->wanted, 0u);
  const auto* held = plane_.find(1);
  ASSERT_NE(held, nullptr);
  EXPECT_TRUE(held->active);
  EXPECT_THAT(held->outbound, ElementsAre(0x10010002u));
  EXPECT_EQ(held->inbound.count(0x10010002u), 0u) << "our own slot must not be opened";
  EXPECT_EQ(held->inbound.size(), 3u - 1u) << "all that may be in use; what lies above follows in the background";
  EXPECT_EQ(held->value.selectors.size(), 1u);
  EXPECT_EQ(held->value.expires, time_ + 3600s);
  EXPECT_EQ(held->value.lease_until, time_ + 60s);
}

TEST_F(Epochs, H12_EveryEpochInTheWayOfARangeIsNamed) {
  ASSERT_TRUE(apply(keying(1)));  // 0x10010000-0x1001ffff
  ASSERT_TRUE(apply(keying(3, EpochState::pending)));
  const auto in_the_way = [&](std::uint32_t first, std::uint32_t last) {
    std::vector<LiveEpoch> found;
    epochs_.live_within(first, last, found);
    std::vector<std::uint64_t> out;
    for (const LiveEpoch& each : found)
      out.push_back(each.epoch);
    return out;
  };
  EXPECT_THAT(in_the_way(0x10000000, 0x1000ffff), ElementsAre());
  EXPECT_THAT(in_the_way(0x10000000, 0x10010000), ElementsAre(1)) << "its first SPI";
  EXPECT_THAT(in_the_way(0x1001ffff, 0x1002ffff), ElementsAre(1)) << "its last SPI";
  EXPECT_THAT(in_the_way(0x10020000, 0x1002ffff), ElementsAre());
  EXPECT_THAT(in_the_way(0x10018000, 0x10018000), ElementsAre(1)) << "within it";
  EXPECT_THAT(in_the_way(0x10000000, 0x1fffffff), ElementsAre(1, 3)) << "around both";
}

TEST_F(Epochs, P38_KeysAreTheProtocolsForEverySlot) {
  ASSERT_TRUE(apply(keying(1)));
  const GroupKeying source = keying(1);
  const auto master = handshake::derive_group_master(source.policy.cipher_suite, source.premaster);
  const auto* held = plane_.find(1);
  const auto check = [&](const SaKey& key) {
    const SaKey expected = handshake::derive_sa_key(source.policy.cipher_suite, master, "tv", 1, key.spi);
    EXPECT_TRUE(key.key.equals(expected.key)) << key.spi;
    EXPECT_EQ(key.salt, expected.salt);
    EXPECT_EQ(key.key_size, 32);
  };
  for (const InboundSa& sa : held->value.inbound)
    check(sa.key);
  for (const OutboundSa& sa : held->value.outbound)
    check(sa.key);
}

TEST_F(Epochs, MakeBeforeBreak) {
  ASSERT_TRUE(apply(keying(1)));
  ASSERT_TRUE(apply(keying(2, EpochState::pending)));
  EXPECT_TRUE(plane_.find(1)->active) << "a pending epoch must not seal";
  EXPECT_FALSE(plane_.find(2)->active);
  const auto switched = epochs_.activate(2, time_);
  ASSERT_TRUE(switched);
  EXPECT_TRUE(*switched);
  EXPECT_FALSE(*epochs_.activate(2, time_)) << "a second Activate changes nothing";
  EXPECT_EQ(plane_.count("activate 2"), 1);
  EXPECT_TRUE(plane_.find(2)->active);
  ASSERT_NE(plane_.find(1), nullptr) << "the old epoch still opens";
  EXPECT_FALSE(epochs_.expire(time_ + 9999ms));
  EXPECT_NE(plane_.find(1), nullptr);
  EXPECT_FALSE(epochs_.expire(time_ + 10000ms)) << "no active epoch ended";
  EXPECT_EQ(plane_.find(1), nullptr) << "deactivation_delay is over";
  EXPECT_NE(plane_.find(2), nullptr);
}

TEST_F(Epochs, H5_NeverActivatesDownwards) {
  ASSERT_TRUE(apply(keying(1)));
  ASSERT_TRUE(apply(keying(2)));
  const auto down = epochs_.activate(1, time_);
  ASSERT_FALSE(down);
  EXPECT_THAT(down.error().message, HasSubstr("H5"));
  EXPECT_FALSE(epochs_.activate(9, time_)) << "an epoch that is not held";
  EXPECT_TRUE(plane_.find(2)->active);
}

TEST_F(Epochs, ANewerActiveEpochAtAJoinReplacesTheOldOneLater) {
  ASSERT_TRUE(apply(keying(1)));
  ASSERT_TRUE(apply(keying(2)));
  EXPECT_TRUE(plane_.find(2)->active);
  EXPECT_FALSE(plane_.find(1)->active);
  EXPECT_NE(plane_.find(1), nullptr);
  epochs_.expire(time_ + 10001ms);
  EXPECT_EQ(plane_.find(1), nullptr);
}

TEST_F(Epochs, H9_ARejoinUsesTheNewSlotAndNothingElse) {
  ASSERT_TRUE(apply(keying(1)));
  GroupKeying again = keying(1);
  again.assignment.first_slot = 7;
  again.policy.slots_used = 8;
  ASSERT_TRUE(apply(again));
  EXPECT_EQ(plane_.count("install 1"), 1);
  const auto* held = plane_.find(1);
  EXPECT_THAT(held->outbound, ElementsAre(0x10010007u));
  EXPECT_EQ(held->inbound.count(0x10010002u), 0u) << "our burnt slot";
  ahead();
  EXPECT_EQ(held->inbound.count(8u + look_ahead_slots - 1u + 0x10010000u), 1u);
}

TEST_F(Epochs, H9_ASenderThatIsGivenNoSlotsGoesOnWithItsOwnOrAsks) {
  const auto without = [](std::uint64_t epoch, handshake::Role roles) {
    GroupKeying out = keying(epoch);
    out.assignment.roles = roles;
    out.assignment.first_slot = out.assignment.slot_count = 0;
    return out;
  };
  ASSERT_EQ(apply(keying(1))->slots, 1u);
  const auto again = apply(without(1, handshake::sender_and_receiver));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->slots, 1u) << "a key server that restarted gives out none of this epoch";
  EXPECT_EQ(again->wanted, 0u);
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x10010002u));
  const auto fresh = apply(without(2, handshake::sender_and_receiver));
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->slots, 0u);
  EXPECT_EQ(fresh->wanted, 1u) << "it has none";
  EXPECT_EQ(apply(without(3, handshake::receiver))->wanted, 0u) << "it may not send";
}

TEST_F(Epochs, H9_RefusesASlotThatCameBefore) {
  ASSERT_TRUE(apply(keying(1)));
  const auto twice = apply(keying(1));
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("H9"));
  GroupKeying lower = keying(1);
  lower.assignment.first_slot = 1;
  EXPECT_TRUE(apply(lower)) << "never ours: of another key server's block";
  EXPECT_FALSE(apply(lower));
  EXPECT_FALSE(epochs_.grant(1, 2, 1, time_));
  EXPECT_FALSE(epochs_.grant(1, 0xffff, 2, time_)) << "beyond the slot bits";
  EXPECT_TRUE(epochs_.grant(1, 0xffff, 1, time_));
}

TEST_F(Epochs, H9_AfterAResumeOnlyNewSlotsSend) {
  ASSERT_TRUE(apply(keying(1)));
  plane_.drop_all_outbound();
  epochs_.forget_own_slots();
  EXPECT_TRUE(epochs_.active()->own_spis.empty());
  EXPECT_FALSE(apply(keying(1))) << "the slot from before the snapshot";
  EXPECT_TRUE(plane_.find(1)->outbound.empty());
  GroupKeying fresh = keying(1);
  fresh.assignment.first_slot = 3;
  ASSERT_TRUE(apply(fresh));
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x10010003u));
}

class FourWorkers : public Epochs {
 protected:
  FourWorkers() : Epochs(4) {}
};

TEST_F(FourWorkers, H9_AsksForOneNewSlotAWorkerAndNeverReusesTheFirst) {
  const auto own = apply(keying(1));
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->slots, 0u) << "one is too few: no worker could tell which of them may seal";
  EXPECT_EQ(own->wanted, 4u);
  EXPECT_TRUE(plane_.find(1)->outbound.empty());
  const auto granted = epochs_.grant(1, 3, 4, time_);
  ASSERT_TRUE(granted);
  EXPECT_EQ(granted->wanted, 0u);
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x10010003u, 0x10010004u, 0x10010005u, 0x10010006u));
  const auto refused = epochs_.grant(1, 0, 0, time_);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->slots, 4u) << "a refusal leaves what there is";
}

TEST_F(FourWorkers, H9_ARejoinGoesOnSealingUntilEveryWorkerHasANewSlot) {
  ASSERT_TRUE(apply(keying(1)));
  ASSERT_TRUE(epochs_.grant(1, 3, 4, time_));
  GroupKeying again = keying(1);
  again.assignment.first_slot = 9;
  again.policy.slots_used = 10;
  const auto own = apply(again);
  ASSERT_TRUE(own) << own.error().message;
  EXPECT_EQ(own->wanted, 4u) << "a registration has slots of its own";
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x10010003u, 0x10010004u, 0x10010005u, 0x10010006u));
  EXPECT_FALSE(epochs_.grant(1, 9, 4, time_)) << "slot 9 was ours already";
  ASSERT_TRUE(epochs_.grant(1, 10, 4, time_));
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x1001000au, 0x1001000bu, 0x1001000cu, 0x1001000du));
}

TEST_F(Epochs, AReceiverNeverSendsAndASenderNeverOpens) {
  group_.role = config::MemberRole::receiver;
  const auto own = apply(keying(1));
  ASSERT_TRUE(own);
  EXPECT_EQ(own->slots, 0u);
  EXPECT_EQ(own->wanted, 0u);
  EXPECT_TRUE(plane_.find(1)->outbound.empty());
  group_.role = config::MemberRole::sender;
  ASSERT_TRUE(apply(keying(2)));
  EXPECT_TRUE(plane_.find(2)->inbound.empty());
  EXPECT_EQ(plane_.find(2)->outbound.size(), 1u);
}

TEST_F(Epochs, AnEpochEndsWithItsLife) {
  GroupKeying brief = keying(1);
  brief.remaining_ms = 500;
  ASSERT_TRUE(apply(brief));
  EXPECT_FALSE(epochs_.expire(time_ + 499ms));
  EXPECT_TRUE(epochs_.expire(time_ + 500ms));
  EXPECT_EQ(plane_.find(1), nullptr);
  EXPECT_FALSE(epochs_.expire(time_ + 501ms));
}

TEST_F(Epochs, H11_TheLeaseFollowsWhatWasAnswered) {
  ASSERT_TRUE(apply(keying(1)));
  EXPECT_EQ(plane_.lease["tv"], time_ + 60s);
  epochs_.proven(time_ + 5s);
  EXPECT_EQ(plane_.lease["tv"], time_ + 65s);
  const int before = plane_.lease_extensions;
  for (int i = 0; i < 50; ++i)
    epochs_.proven(time_ + 5s + std::chrono::milliseconds(i));
  EXPECT_EQ(plane_.lease_extensions, before) << "a burst of answers is one extension";
  epochs_.proven(time_ + 1s);
  EXPECT_EQ(plane_.lease_extensions, before) << "an older moment proves nothing new";
  epochs_.retire_all();
  epochs_.proven(time_ + 30s);
  EXPECT_EQ(plane_.lease_extensions, before) << "nothing is held";
}

// The key server waits for no member longer than its lease, and gives a new epoch as pending when it has restarted.
TEST_F(Epochs, H11_LEASE1_ANewMembershipDoesNotRenewALeaseThatHasEnded) {
  ASSERT_TRUE(apply(keying(1)));
  time_ += 60s - 1ms;
  epochs_.joined_anew(time_);
  EXPECT_EQ(plane_.find(1)->outbound.size(), 1u) << "it goes on until everybody is back";
  time_ += 1ms;
  epochs_.joined_anew(time_);
  EXPECT_TRUE(plane_.find(1)->outbound.empty());
  ASSERT_TRUE(apply(keying(2, EpochState::pending)));
  EXPECT_EQ(plane_.lease["tv"], time_ + 60s);
  EXPECT_TRUE(plane_.find(1)->outbound.empty()) << "whoever was revoked meanwhile may have it";
  EXPECT_TRUE(epochs_.active()->own_spis.empty());
  EXPECT_EQ(plane_.find(1)->inbound.size(), 2u) << "others may be heard under it";
  EXPECT_EQ(plane_.find(2)->outbound.size(), 1u);
  ASSERT_TRUE(epochs_.activate(2, time_));
  EXPECT_EQ(epochs_.active()->own_spis.size(), 1u);
}

TEST_F(Epochs, H9_LEASE1_AfterALeaseHasEndedTheSameEpochIsSentUnderWithNewSlots) {
  ASSERT_TRUE(apply(keying(1)));
  time_ += 61s;
  epochs_.joined_anew(time_);
  GroupKeying again = keying(1);
  again.assignment.first_slot = 9;
  again.policy.slots_used = 10;
  ASSERT_TRUE(apply(again));
  EXPECT_THAT(plane_.find(1)->outbound, ElementsAre(0x10010009u));
}

TEST_F(Epochs, DATA2_WantedSlotsAreBounded) {
  ASSERT_TRUE(apply(keying(1)));
  ahead();
  const auto want = [](std::uint64_t epoch, std::uint32_t slot) { return SlotWanted{"tv", epoch, slot}; };
  const std::uint32_t edge = 3 + wanted_window;
  epochs_.slots_wanted({want(1, edge - 1), want(1, edge), want(1, 65536), want(1, 0xffffffff), want(7, 100), want(1, 2),
                        want(1, 5), SlotWanted{"radio", 1, 100}},
                       time_);
  EXPECT_THAT(plane_.calls.back(), "add_inbound 1 x1");
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + edge - 1), 1u);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + edge), 0u);
  // Packets that could not be opened do not move the window; an opened one does.
  epochs_.slots_wanted({want(1, edge)}, time_ + 5s);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + edge), 0u);
  plane_.stats.sas.push_back(seen(1, 0x10010000u + edge - 1, 0));
  plane_.stats.sas.back().bad_tags = 1000;
  epochs_.slots_wanted({want(1, edge)}, time_ + 10s);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + edge), 0u);
  plane_.stats.sas.back().packets = 1;
  epochs_.slots_wanted({want(1, edge)}, time_ + 15s);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + edge), 1u);
}

TEST_F(Epochs, DATA2_AFloodOfWantedSlotsCostsBoundedWork) {
  ASSERT_TRUE(apply(keying(1)));
  std::vector<SlotWanted> flood;
  for (std::uint32_t slot = 0; slot < 250; ++slot)
    flood.push_back({"tv", 1, slot});
  const auto before = plane_.find(1)->inbound.size();
  epochs_.slots_wanted(flood, time_);
  EXPECT_EQ(plane_.find(1)->inbound.size(), before + derivations_per_poll);
}

// A key server that dies again and again before it activates anything leaves a pending epoch behind each time.
TEST_F(Epochs, H13_EpochsHeldStayBoundedAndTheActiveOneStays) {
  ASSERT_TRUE(apply(keying(1)));
  for (std::uint64_t epoch = 2; epoch < 40; ++epoch)
    ASSERT_TRUE(apply(keying(epoch, EpochState::pending)));
  EXPECT_EQ(epochs_.live().size(), max_held_epochs);
  EXPECT_EQ(plane_.held.size(), max_held_epochs) << "gone from the data plane, too";
  EXPECT_TRUE(plane_.find(1)->active) << "sending goes on under it";
  EXPECT_NE(plane_.find(39), nullptr);
  EXPECT_NE(plane_.find(38), nullptr);
  EXPECT_EQ(plane_.find(2), nullptr) << "the oldest go first";
  ASSERT_TRUE(epochs_.activate(39, time_));
  EXPECT_TRUE(plane_.find(39)->active);
}

TEST_F(Epochs, DATA1_LooksAheadOfNewSendersInSmallSteps) {
  ASSERT_TRUE(apply(keying(1)));
  ASSERT_TRUE(apply(keying(2, EpochState::pending)));
  const auto inbound = [&](std::uint64_t epoch) { return plane_.find(epoch)->inbound.size(); };
  ASSERT_EQ(inbound(1), 2u);
  ASSERT_EQ(inbound(2), 2u);
  EXPECT_EQ(epochs_.look_ahead(time_, 10), 10u) << "no more than the others leave";
  EXPECT_EQ(inbound(2), 2u + 10u) << "the newest first";
  EXPECT_EQ(inbound(1), 2u);
  EXPECT_EQ(epochs_.look_ahead(time_, look_ahead_budget), 2 * look_ahead_step);
  EXPECT_EQ(inbound(2), 2u + 10u + look_ahead_step);
  EXPECT_EQ(inbound(1), 2u + look_ahead_step);
  EXPECT_EQ(ahead(), 3);
  for (const std::uint64_t epoch : {1u, 2u}) {
    const std::uint32_t base = 0x10000000u + (static_cast<std::uint32_t>(epoch) << 16);
    EXPECT_EQ(inbound(epoch), 2u + look_ahead_slots);
    EXPECT_EQ(plane_.find(epoch)->inbound.count(base + 3 + look_ahead_slots - 1), 1u);
    EXPECT_EQ(plane_.find(epoch)->inbound.count(base + 3 + look_ahead_slots), 0u);
  }
  // A sender of the window was heard: the window moves above it, and nothing is derived twice.
  plane_.stats.sas.push_back(seen(1, 0x10010000u + 40, 5));
  time_ += 1s;
  EXPECT_GT(ahead(), 0);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + 40 + look_ahead_slots), 1u);
  EXPECT_EQ(plane_.find(1)->inbound.count(0x10010000u + 41 + look_ahead_slots), 0u);
  EXPECT_EQ(inbound(1), 40u + look_ahead_slots);
  EXPECT_EQ(ahead(), 0);
}

TEST_F(Epochs, AFailedInstallLeavesNothing) {
  plane_.fail_next_install = true;
  const auto failed = apply(keying(1));
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("no memory"));
  EXPECT_TRUE(epochs_.views().empty());
  EXPECT_FALSE(epochs_.active());
}

// H19: packets that are refused for their times may mean that the clock is wrong; a few, or old ones, do not.
TEST_F(Epochs, H19_ARunOfUntimelyPacketsIsADoubtAboutTheClock) {
  ASSERT_TRUE(apply(keying(1)));
  const auto look = [&](std::uint64_t stale, std::uint64_t early) {
    SaStatistics sa = seen(1, 0x10010003, 5);
    sa.drops = {{"stale", stale}, {"early", early}, {"replay", 1000}};
    plane_.stats.sas = {sa};
    time_ += 1s;
    ahead();
    return epochs_.take_clock_doubt();
  };
  EXPECT_FALSE(look(0, 0));
  EXPECT_FALSE(look(1, 1)) << "two";
  EXPECT_TRUE(look(3, 2)) << "three more";
  EXPECT_FALSE(look(3, 2)) << "no more since";
  EXPECT_TRUE(look(3, 5));
  EXPECT_FALSE(epochs_.take_clock_doubt()) << "said once";
}

}  // namespace
}  // namespace sealcast::member
