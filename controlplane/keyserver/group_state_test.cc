// The rules of one group, with a clock that the test turns by hand.
#include "controlplane/keyserver/group_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "controlplane/keyserver/audit.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using handshake::Activate;
using handshake::ActivateAck;
using handshake::ControlMessage;
using handshake::EpochState;
using handshake::GroupKeying;
using handshake::GroupUpdate;
using handshake::GroupUpdateAck;
using handshake::Retire;
using handshake::Revoked;
using handshake::SlotGrant;
using handshake::SlotRequest;
using handshake::StatusReport;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CountingRandom : public handshake::Random {
 public:
  void fill(ByteSpan out) override {
    ++calls_;
    if (on_fill) on_fill();
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = zeros-- > 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(calls_ * 31 + i);
  }
  int zeros = 0;  // so many zero bytes come first
  std::function<void()> on_fill;

 private:
  std::size_t calls_ = 0;
};

// What a member's connection was told, as short words.
class FakeLink : public MemberLink {
 public:
  void deliver(const ControlMessage& message) override {
    if (const auto* update = std::get_if<GroupUpdate>(&message)) {
      said.push_back("update " + std::to_string(update->keying.epoch));
      update_state = update->keying.state;
      slots = update->keying.assignment.slot_count;
      first_slot = update->keying.assignment.first_slot;
      premaster = update->keying.premaster.clone();
    } else if (const auto* activate = std::get_if<Activate>(&message)) {
      said.push_back("activate " + std::to_string(activate->epoch));
    } else if (const auto* retire = std::get_if<Retire>(&message)) {
      said.push_back("retire " + std::to_string(retire->epoch));
    } else if (const auto* granted = std::get_if<SlotGrant>(&message)) {
      said.push_back("grant " + std::to_string(granted->first_slot) + "+" + std::to_string(granted->count) + " of " +
                     std::to_string(granted->slots_used));
    } else if (const auto* revoked = std::get_if<Revoked>(&message)) {
      said.push_back("revoked");
      reason = revoked->reason;
    } else {
      said.push_back("other");
    }
  }
  void dismiss(const std::string& why) override { said.push_back("dismissed: " + why); }
  std::vector<std::string> take() { return std::exchange(said, {}); }

  std::vector<std::string> said;
  EpochState update_state = EpochState::active;
  std::uint16_t slots = 0;
  std::uint16_t first_slot = 0;
  Secret<48> premaster;
  std::string reason;
};

handshake::PeerIdentity identity(const std::string& name) {
  handshake::PeerIdentity out;
  out.name = name;
  out.names = {name};
  out.may_decrypt = true;
  out.groups = {"tv"};
  out.serial_hex = "01";
  return out;
}

class GroupStateTest : public testing::Test {
 protected:
  GroupStateTest() {
    char folder[] = "/tmp/sealcast-group-XXXXXX";
    folder_ = mkdtemp(folder);
    config_.id = "tv";
    Selector selector;
    selector.destination = *Prefix::parse("239.1.1.0/24");
    config_.selectors = {selector};
    config_.senders = {"sender", "sender2"};
    config_.epoch_lifetime = 1h;
    start();
  }
  ~GroupStateTest() override {
    group_.reset();
    store_.reset();
    for (const char* end : {"", "-wal", "-shm"})
      unlink((folder_ + "/db" + end).c_str());
    rmdir(folder_.c_str());
  }

  // Starts or restarts the key server's part: a new store on the same file, a group without epochs.
  void start() {
    group_.reset();
    store_.reset();
    auto store = store::Store::open(folder_ + "/db", "ks", now_.unix_seconds);
    ASSERT_TRUE(store.has_value()) << store.error().message;
    store_ = std::move(*store);
    context_.key_server_id = "ks";
    context_.slot_bits = slot_bits_;
    context_.store = store_.get();
    context_.random = &random_;
    context_.vault = &vault_;
    context_.recheck = [this](const handshake::PeerIdentity& member, const std::string&, std::int64_t) -> Result<void> {
      if (member.name == revoked_) return fail("certificate revoked");
      return {};
    };
    group_ = std::make_unique<GroupState>(config_, context_);
  }

  void pass(std::chrono::milliseconds time) {
    const SteadyTime end = now_.steady + time;
    while (const auto next = group_->next_deadline()) {
      if (*next > end) break;
      now_.steady = std::max(*next, now_.steady);
      group_->on_time(now_);
    }
    now_.steady = end;
    now_.unix_seconds += std::chrono::duration_cast<std::chrono::seconds>(time).count();
  }

  struct Joined {
    std::unique_ptr<FakeLink> link = std::make_unique<FakeLink>();
    GroupKeying keying;
    Given given;
  };
  GroupKeying issue(const std::string& name) {
    auto keying = group_->issue(identity(name), "10.0.0.1:5", now_);
    EXPECT_TRUE(keying.has_value()) << keying.error().message;
    return keying ? std::move(*keying) : GroupKeying{};
  }
  static Given given_of(const GroupKeying& keying) {
    const auto& a = keying.assignment;
    return {keying.epoch, keying.state, a.roles, {keying.epoch, a.first_slot, a.slot_count}};
  }
  Joined join(const std::string& name) {
    Joined out;
    out.keying = issue(name);
    out.given = given_of(out.keying);
    group_->join(*out.link, identity(name), "10.0.0.1:5", out.given, now_);
    return out;
  }
  Result<void> say(const Joined& member, const ControlMessage& message) {
    return group_->receive(*member.link, message, now_);
  }
  std::uint64_t pending() const {
    for (const Epoch& epoch : group_->epochs())
      if (epoch.phase == Phase::pending) return epoch.number;
    return 0;
  }
  std::uint64_t active() const {
    for (const Epoch& epoch : group_->epochs())
      if (epoch.phase == Phase::active) return epoch.number;
    return 0;
  }

  std::string folder_;
  config::KeyserverGroup config_;
  Moment now_{SteadyTime(1000s), 1'800'000'000};
  std::uint8_t slot_bits_ = 16;
  std::string revoked_;
  CountingRandom random_;
  PremasterVault vault_;
  std::unique_ptr<store::Store> store_;
  GroupContext context_;
  std::unique_ptr<GroupState> group_;
};

std::string word(const char* what, std::uint64_t epoch) {
  return std::string(what) + " " + std::to_string(epoch);
}

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

TEST_F(GroupStateTest, MakeBeforeBreakInOrder) {
  const auto a = join("sender");
  const auto b = join("home");
  const std::uint64_t old = a.keying.epoch;
  EXPECT_THAT(a.link->take(), IsEmpty());
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_GT(next, old);
  for (const auto* member : {&a, &b}) {
    EXPECT_THAT(member->link->take(), ElementsAre(word("update", next)));
    EXPECT_EQ(member->link->update_state, EpochState::pending);
  }
  EXPECT_EQ(a.link->slots, 1);
  EXPECT_EQ(b.link->slots, 0);
  EXPECT_TRUE(a.link->premaster.equals(b.link->premaster));
  EXPECT_FALSE(a.link->premaster.equals(a.keying.premaster)) << "a new secret";

  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  EXPECT_THAT(a.link->take(), IsEmpty()) << "one is still missing";
  EXPECT_FALSE(group_->rekey("test", now_).has_value()) << "one hand-over at a time";
  ASSERT_TRUE(say(b, GroupUpdateAck{"tv", next}));
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next)));
  EXPECT_THAT(b.link->take(), ElementsAre(word("activate", next)));
  EXPECT_EQ(active(), next);
  ASSERT_TRUE(say(a, ActivateAck{"tv", next}));
  EXPECT_EQ(group_->members().at("sender").activated, next);

  pass(config_.deactivation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty()) << "receivers keep the old epoch for deactivation_delay";
  pass(1ms);
  EXPECT_THAT(a.link->take(), ElementsAre(word("retire", old)));
  EXPECT_THAT(b.link->take(), ElementsAre(word("retire", old)));
  EXPECT_EQ(group_->epochs().size(), 1u);
}

TEST_F(GroupStateTest, ActivationDoesNotWaitForTheSilentLongerThanItsDelay) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  a.link->take();
  pass(config_.activation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next)));
}

// The key server has one thread: a rekey of all members must not keep it from everything else (keepalives, joins).
TEST_F(GroupStateTest, H13_DOS1_ARekeyOfManyMembersTakesOneCommit) {
  std::vector<Joined> members;
  for (int i = 0; i < 50; ++i)
    members.push_back(join("member " + std::to_string(i)));
  const auto write_calls = [] {  // of this process, so far
    std::ifstream io("/proc/self/io");
    std::string word;
    std::uint64_t count = 0;
    while (io >> word)
      if (word == "syscw:") io >> count;
    return count;
  };
  const std::uint64_t before = write_calls();
  ASSERT_GT(before, 0u);
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_LT(write_calls() - before, 100u) << "one commit each would be several writes a member";
  for (const Joined& member : members)
    EXPECT_THAT(member.link->said, ElementsAre(word("update", pending())));
}

TEST_F(GroupStateTest, H9_ARekeyThatCannotBeNotedTellsNobodyAndIsTriedAgain) {
  const auto a = join("sender");
  // The epoch is noted, its slots are not: the premaster is drawn in between, and then the rekey finds no batch to
  // open.
  random_.on_fill = [this] { EXPECT_TRUE(store_->begin_batch()); };
  const auto refused = group_->rekey("test", now_);
  EXPECT_FALSE(refused.has_value());
  EXPECT_THAT(a.link->take(), IsEmpty());
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(active(), a.keying.epoch);
  EXPECT_FALSE(group_->handing_over());
  random_.on_fill = nullptr;
  ASSERT_TRUE(store_->end_batch());
  pass(config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay);
  EXPECT_GT(pending(), a.keying.epoch) << "in time before the present epoch ends";
  revoked_ = "sender";
  group_->reconfigure(config_, now_);
  EXPECT_THAT(a.link->take(), testing::Contains("revoked"));
}

TEST_F(GroupStateTest, AMemberThatLeavesIsNotAwaited) {
  const auto a = join("sender");
  const auto b = join("home");
  ASSERT_TRUE(group_->rekey("test", now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  const std::uint64_t next = pending();
  group_->leave(*b.link, now_);
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, JoiningDuringARekeyGivesTheActiveEpochAndThePendingOneAtOnce) {
  const auto a = join("sender");
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  const auto c = join("sender2");
  EXPECT_EQ(c.keying.epoch, a.keying.epoch);
  EXPECT_EQ(c.keying.state, EpochState::active);
  EXPECT_THAT(c.link->take(), ElementsAre(word("update", next)));
  EXPECT_NE(c.link->first_slot, a.link->first_slot);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), a.keying.epoch) << "the newcomer is awaited too";
  ASSERT_TRUE(say(c, GroupUpdateAck{"tv", next}));
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, WhatHappenedBetweenSmkeAndFinishedIsCaughtUpOn) {
  const auto a = join("sender");
  const GroupKeying smke = issue("home");  // SMKE left, Finished has yet to come
  ASSERT_TRUE(group_->rekey("test", now_));
  const std::uint64_t next = pending();
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  ASSERT_EQ(active(), next);
  FakeLink late;
  group_->join(late, identity("home"), "10.0.0.1:5", given_of(smke), now_);
  EXPECT_THAT(late.take(), ElementsAre(word("update", next), word("activate", next)));
}

TEST_F(GroupStateTest, SendersKeepAsManySlotsAsTheyHaveCores) {
  const auto a = join("sender");
  ASSERT_TRUE(say(a, SlotRequest{"tv", a.keying.epoch, 4}));
  EXPECT_THAT(a.link->take(), ElementsAre("grant 1+4 of 5"));
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_EQ(a.link->slots, 4);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  pass(1min);
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_EQ(a.link->slots, 4) << "it neither grows nor shrinks from epoch to epoch";
}

TEST_F(GroupStateTest, H8_H11_CertificatesAreCheckedAgainAtEveryRekey) {
  const auto a = join("sender");
  const auto b = join("home");
  revoked_ = "home";
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_THAT(b.link->take(), ElementsAre("revoked", "dismissed: revoked"));
  EXPECT_THAT(b.link->reason, HasSubstr("certificate revoked"));
  EXPECT_TRUE(b.link->premaster.is_zero()) << "the revoked never sees the next epoch";
  EXPECT_EQ(group_->members().count("home"), 0u);
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  EXPECT_EQ(pending(), 0u) << "and is not awaited";
}

TEST_F(GroupStateTest, H11_ReconfigurationShutsOutAndRekeysAtOnce) {
  const auto a = join("sender");
  const auto b = join("home");
  config_.members_by_certificate = false;
  config_.members = {"sender"};
  group_->reconfigure(config_, now_);
  EXPECT_THAT(b.link->take(), ElementsAre("revoked", "dismissed: revoked"));
  ASSERT_NE(pending(), 0u);
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", pending())));
}

// Whoever SMKE was sent to holds the epoch, connected or not: it must not escape by being away during the reload.
TEST_F(GroupStateTest, H3_H11_AHolderThatIsNotConnectedIsShutOutToo) {
  const auto a = join("sender");
  const auto b = join("home");
  group_->leave(*b.link, now_);
  group_->reconfigure(config_, now_);
  EXPECT_EQ(pending(), 0u) << "nobody was shut out";
  revoked_ = "home";
  group_->reconfigure(config_, now_);
  const std::uint64_t next = pending();
  ASSERT_NE(next, 0u) << "what is sent from now on must not be readable for it";
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", next)));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", next}));
  group_->reconfigure(config_, now_);
  EXPECT_EQ(pending(), 0u) << "the new epoch it never got: one rekey is enough";
}

TEST_F(GroupStateTest, H8_H11_AHandshakeUnderWayDuringARevocationEndsWithoutMembership) {
  const auto a = join("sender");
  const auto late = issue("home");  // SMKE left, its Finished is held back
  revoked_ = "home";
  group_->reconfigure(config_, now_);
  const std::uint64_t next = pending();
  ASSERT_NE(next, 0u) << "it holds the epoch (H3)";
  FakeLink link;
  group_->join(link, identity("home"), "10.0.0.1:5", given_of(late), now_);
  EXPECT_THAT(link.take(), ElementsAre("revoked", "dismissed: revoked"));
  EXPECT_TRUE(link.premaster.is_zero()) << "the next epoch's secret must not go to it";
  EXPECT_EQ(group_->members().count("home"), 0u);
  EXPECT_EQ(group_->members().count("sender"), 1u);
}

// A connection opened before a reload runs its handshake with the trust store of then.
TEST_F(GroupStateTest, H8_H11_NothingIsIssuedToWhoIsRevokedByNow) {
  const auto a = join("sender");
  revoked_ = "home";
  const auto refused = group_->issue(identity("home"), "10.0.0.1:5", now_);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("certificate revoked"));
}

TEST_F(GroupStateTest, LEASE1_ALongerLeaseCountsOnlyWhenNoEpochHasTheShorterOne) {
  const auto a = join("sender");
  EXPECT_EQ(group_->shortest_lease(), 60s);
  config_.authority_lease = 600s;
  group_->reconfigure(config_, now_);
  EXPECT_EQ(group_->shortest_lease(), 60s) << "senders of the present epoch stop after 60 s of silence";
  ASSERT_TRUE(group_->rekey("test", now_));
  ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  pass(config_.deactivation_delay);
  EXPECT_EQ(group_->shortest_lease(), 600s);
  config_.authority_lease = 20s;
  group_->reconfigure(config_, now_);
  EXPECT_EQ(group_->shortest_lease(), 20s);
}

TEST_F(GroupStateTest, WhoseEpochEndedBeforeItsFinishedGetsANewOne) {
  const auto late = issue("sender");
  ASSERT_TRUE(group_->rekey("test", now_));
  EXPECT_THAT(group_->epochs(), IsEmpty()) << "nobody was a member";
  FakeLink link;
  group_->join(link, identity("sender"), "10.0.0.1:5", given_of(late), now_);
  const std::uint64_t next = pending();
  ASSERT_GT(next, late.epoch);
  EXPECT_THAT(link.take(), ElementsAre(word("update", next)));
  pass(config_.activation_delay);
  EXPECT_EQ(active(), next);
}

// H9 burns a slot at every registration; a sender whose connection comes and goes must not fall silent for the rest of
// a long epoch.
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

TEST_F(GroupStateTest, H11_WhoJoinsTheActiveEpochCountsAsSwitched) {
  const auto a = join("sender");
  EXPECT_EQ(group_->members().at("sender").activated, a.keying.epoch);
  now_.unix_seconds += 5;
  start();
  const auto again = join("sender");
  EXPECT_EQ(again.keying.state, EpochState::pending);
  EXPECT_EQ(group_->members().at("sender").activated, 0u) << "it goes on under the older epoch until Activate";
}

TEST_F(GroupStateTest, NewestConnectionOfAMemberWins) {
  const auto older = join("home");
  const auto newer = join("home");
  EXPECT_THAT(older.link->take(), ElementsAre(HasSubstr("dismissed: a newer connection")));
  EXPECT_EQ(group_->members().size(), 1u);
  group_->leave(*older.link, now_);  // the old connection's end must not remove the new one
  EXPECT_EQ(group_->members().at("home").link, newer.link.get());
}

TEST_F(GroupStateTest, RekeyAtTheEndOfItsLifetimeBeforeTheOldEpochExpires) {
  const auto a = join("sender");
  const std::uint64_t old = a.keying.epoch;
  pass(config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay - 1ms);
  EXPECT_THAT(a.link->take(), IsEmpty());
  pass(1ms);
  const std::uint64_t next = pending();
  EXPECT_THAT(a.link->take(), ElementsAre(word("update", next)));
  pass(config_.activation_delay);  // no acknowledgement at all
  pass(config_.deactivation_delay);
  EXPECT_THAT(a.link->take(), ElementsAre(word("activate", next), word("retire", old)));
  EXPECT_EQ(active(), next);
}

TEST_F(GroupStateTest, WithoutMembersTheEpochEndsAndTheNextComerBeginsANewOne) {
  const auto a = join("sender");
  group_->leave(*a.link, now_);
  pass(2h);
  EXPECT_THAT(group_->epochs(), IsEmpty());
  EXPECT_EQ(group_->next_deadline(), std::nullopt);
  const auto b = join("home");
  EXPECT_GT(b.keying.epoch, a.keying.epoch);
}

TEST_F(GroupStateTest, H9_ARestartBeginsANewEpochPendingUntilAllAreBack) {
  const auto a = join("sender");
  const auto b = join("home");
  now_.unix_seconds += 5;
  start();
  const auto a2 = join("sender");
  EXPECT_GT(a2.keying.epoch, a.keying.epoch);
  EXPECT_FALSE(a2.keying.premaster.equals(a.keying.premaster));
  EXPECT_NE(a2.keying.policy.spi_prefix, a.keying.policy.spi_prefix) << "the old epoch may still be alive";
  EXPECT_EQ(a2.keying.state, EpochState::pending) << "a running sender goes on with the old epoch";
  EXPECT_THAT(a2.link->take(), IsEmpty());
  const auto b2 = join("home");
  EXPECT_EQ(b2.keying.epoch, a2.keying.epoch);
  EXPECT_THAT(b2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
  EXPECT_THAT(a2.link->take(), ElementsAre(word("activate", a2.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartDoesNotWaitForTheMissingLongerThanActivationDelay) {
  const auto a = join("sender");
  const auto b = join("home");
  start();
  const auto a2 = join("sender");
  group_->leave(*a2.link, now_);
  EXPECT_NE(pending(), 0u) << "leaving again is not being back";
  const auto a3 = join("sender");
  pass(config_.activation_delay - 1ms);
  EXPECT_THAT(a3.link->take(), IsEmpty());
  pass(1ms);
  EXPECT_THAT(a3.link->take(), ElementsAre(word("activate", a3.keying.epoch)));
}

TEST_F(GroupStateTest, ARestartAfterAllExpiredBeginsActive) {
  const auto a = join("sender");
  now_.unix_seconds += 2 * 3600;
  start();
  EXPECT_EQ(issue("sender").state, EpochState::active);
}

TEST_F(GroupStateTest, StatusReportsAreKeptAndTheirFloorsPassedOn) {
  const auto a = join("sender");
  const std::uint32_t spi = a.keying.policy.spi_prefix;
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 10, 20, 3, {{spi, 4711}}}));
  EXPECT_EQ(group_->members().at("sender").report->opened, 20u);
  const GroupKeying later = issue("home");
  ASSERT_EQ(later.assignment.floors.size(), 1u);
  EXPECT_EQ(later.assignment.floors[0].slot, 0);
  EXPECT_EQ(later.assignment.floors[0].number, 4711u);
}

TEST_F(GroupStateTest, DATA3_CountersOfAnothersSlotAreIgnored) {
  const auto a = join("sender");
  const auto liar = join("sender2");
  const std::uint32_t spi = a.keying.policy.spi_prefix;  // slot 0 is the other's
  for (const std::uint32_t victim : {spi, spi + 2, spi - 1, std::uint32_t{0}}) {
    ASSERT_TRUE(say(liar, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{spi + 1, 5}, {victim, ~std::uint64_t{0}}}}));
    EXPECT_THAT(issue("home").assignment.floors, IsEmpty());
    EXPECT_FALSE(group_->members().at("sender2").report.has_value());
  }
}

TEST_F(GroupStateTest, AHighCounterBringsARekeyBeforeTheVolumeLimit) {
  const auto a = join("sender");
  pass(11s);
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{a.keying.policy.spi_prefix, 1ULL << 31}}}));
  pass(0ms);
  EXPECT_EQ(pending(), 0u);
  ASSERT_TRUE(say(a, StatusReport{"tv", a.keying.epoch, 1, 1, 1, {{a.keying.policy.spi_prefix, 1ULL << 32}}}));
  pass(0ms);
  EXPECT_NE(pending(), 0u);
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

TEST_F(GroupStateTest, LeaveAndKeepalive) {
  const auto a = join("sender");
  EXPECT_TRUE(say(a, handshake::Keepalive{1}).has_value());
  EXPECT_THAT(say(a, handshake::Leave{"tv"}).error().message, HasSubstr("left"));
  EXPECT_THAT(group_->members(), IsEmpty());
}

TEST_F(GroupStateTest, EpochsAliveStayBounded) {
  const auto a = join("sender");
  for (int i = 0; i < 20; ++i) {
    if (!group_->rekey("test", now_)) break;
    ASSERT_TRUE(say(a, GroupUpdateAck{"tv", pending()}));
  }
  EXPECT_LE(group_->epochs().size(), 4u);
  pass(1min);
  EXPECT_EQ(group_->epochs().size(), 1u);
  EXPECT_TRUE(group_->rekey("test", now_).has_value());
}

TEST(Vault, H14_PremastersAreWipedWhenGivenBack) {
  PremasterVault vault;
  auto first = vault.take();
  ASSERT_TRUE(first.has_value());
  (*first)->data()[7] = 9;
  const auto* where = first->get();
  first->reset();
  EXPECT_EQ(where->data()[7], 0);
  std::vector<PremasterVault::Handle> many;
  for (int i = 0; i < 200; ++i) {
    auto next = vault.take();
    ASSERT_TRUE(next.has_value()) << next.error().message;
    EXPECT_TRUE((*next)->is_zero());
    (*next)->data()[0] = 1;
    many.push_back(std::move(*next));
  }
}

TEST(Audit, H13_H14_TextFromTheNetworkIsEscapedAndFloodsAreHeldBack) {
  EXPECT_EQ(escaped("a\nb\"c\x1b\xff"), "\"a\\x0ab\\x22c\\x1b\\xff\"");
  EXPECT_LT(escaped(std::string(10'000, 'x')).size(), 220u);
  LineLimit limit(3);
  std::uint64_t held_back = 99;
  const auto start = std::chrono::steady_clock::time_point(10s);
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(limit.pass(start, &held_back));
  EXPECT_EQ(held_back, 0u);
  for (int i = 0; i < 7; ++i)
    EXPECT_FALSE(limit.pass(start + 500ms, &held_back));
  EXPECT_TRUE(limit.pass(start + 1s, &held_back));
  EXPECT_EQ(held_back, 7u);
}

TEST(Audit, H13_WhoKnocksAllDayFillsNoDiskAndHidesNothingOfAnotherKind) {
  LineBudget budget(20, 10s);
  const auto start = std::chrono::steady_clock::time_point(100s);
  std::uint64_t held_back = 0, logged = 0, told = 0;
  for (auto time = start; time < start + 24h; time += 50ms) {
    if (!budget.pass("standard_client", time, &held_back)) continue;
    ++logged;
    told += held_back;
  }
  EXPECT_EQ(logged, 20u + 24 * 360 - 1);
  EXPECT_GE(logged + told + 200, 24u * 3600 * 20) << "every line is logged or counted, but those of the last period";
  EXPECT_TRUE(budget.pass("password_refused", start + 24h, &held_back));
  EXPECT_EQ(held_back, 0u);
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(budget.pass("standard_client", start + 25h, &held_back)) << "a quiet hour fills the budget again";
  EXPECT_FALSE(budget.pass("standard_client", start + 25h, &held_back));
}

}  // namespace
}  // namespace sealcast::keyserver
