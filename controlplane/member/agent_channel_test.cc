// A joined member: rekeys, loss and return of the key server, leases, slots, reports.
#include <fstream>

#include "controlplane/member/attempts.h"
#include "controlplane/member/epoch_memory.h"
#include "controlplane/member/testing/agent_fixture.h"

namespace sealcast::member {
namespace {

using namespace std::chrono_literals;
using handshake::GroupKeying;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = nlohmann::json;

class Channel : public testing::AgentFixture {};

// ---------------------------------------------------------------- rekey

TEST_F(Channel, MakeBeforeBreakOverTheControlChannel) {
  serve();
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(update(next()));
  ASSERT_TRUE(until([&] { return !server_->all<handshake::GroupUpdateAck>().empty(); }));
  EXPECT_EQ(server_->all<handshake::GroupUpdateAck>()[0].epoch, epoch_ + 1);
  ASSERT_NE(plane_.find(epoch_ + 1), nullptr) << "acknowledged before it was installed";
  EXPECT_TRUE(plane_.find(epoch_)->active);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active) << "only Activate switches a sender";
  pass(100ms);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  ASSERT_TRUE(until([&] { return !server_->all<handshake::ActivateAck>().empty(); }));
  EXPECT_TRUE(plane_.find(epoch_ + 1)->active);
  EXPECT_NE(plane_.find(epoch_), nullptr);
  EXPECT_EQ(group()["rekeys"], 1);
  EXPECT_EQ(group()["epoch"], epoch_ + 1);
  ASSERT_TRUE(until([&] { return plane_.find(epoch_) == nullptr; })) << "deactivation_delay is over";
  EXPECT_EQ(group()["epochs"].size(), 1u);
  const auto& tv = settings_.member.groups[0];
  const auto memory = EpochMemory::load(settings_.state_file);
  ASSERT_TRUE(memory) << memory.error().message;
  const auto remembered = memory->find(tv.keyserver_name, tv.keyserver_id, tv.id);
  ASSERT_TRUE(remembered);
  EXPECT_EQ(remembered->epoch, epoch_ + 1);
}

TEST_F(Channel, RetireEndsAnEpochAtOnce) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying slow = next();
  slow.policy.deactivation_delay_ms = 3600 * 1000;  // so that Retire alone can end the old one
  update(slow);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  server_->say(handshake::Retire{"tv", epoch_});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1) && plane_.find(epoch_) == nullptr; }));
  EXPECT_TRUE(plane_.find(epoch_ + 1)->active);
}

TEST_F(Channel, H12_AForgedGroupUpdateIsRefusedAndWhatIsHeldStays) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying wide = next();
  wide.policy.selectors[0].destination = *Prefix::parse("239.0.0.0/8");
  update(wide);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; })) << "it joins again";
  EXPECT_THAT(log_->str(), HasSubstr("not within the configured ones"));
  EXPECT_EQ(plane_.find(epoch_ + 1), nullptr);
  EXPECT_TRUE(plane_.find(epoch_)->active);
  EXPECT_TRUE(server_->all<handshake::GroupUpdateAck>().empty());
}

TEST_F(Channel, H12_AGroupUpdateThatOverlapsALiveRangeIsRefused) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying same_range = next();
  same_range.policy.spi_prefix = 0x10000000;
  update(same_range);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_THAT(log_->str(), HasSubstr("overlaps that of epoch"));
  EXPECT_EQ(plane_.find(epoch_ + 1), nullptr);
}

TEST_F(Channel, H5_AGroupUpdateMustRise) {
  serve();
  start();
  ASSERT_TRUE(joined());
  GroupKeying old = next();
  old.epoch = epoch_ - 1;
  update(old);
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_EQ(plane_.find(epoch_ - 1), nullptr);
}

TEST_F(Channel, JoiningDuringARekeyTakesThePendingEpochAgain) {
  serve();
  start();
  ASSERT_TRUE(joined());
  update(next());
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1) != nullptr; }));
  server_->say_goodbye();
  ASSERT_TRUE(joined(2)) << admin::to_json(agent_->status());  // SMKE: the active epoch again
  GroupKeying again = next();
  again.assignment.first_slot = 9;
  update(again);
  ASSERT_TRUE(until([&] { return server_->all<handshake::GroupUpdateAck>().size() == 2; })) << log_->str();
  EXPECT_EQ(plane_.count("install " + std::to_string(epoch_ + 1)), 1);
  EXPECT_THAT(plane_.find(epoch_ + 1)->outbound, ElementsAre(0x10010009u));
}

// ---------------------------------------------------------------- loss and return

TEST_F(Channel, H9_AfterAServersDeathItReturnsWithNewSlotsAndKeepsReceiving) {
  serve();
  start();
  ASSERT_TRUE(joined());
  const auto inbound = plane_.find(epoch_)->inbound;
  const std::uint16_t port = server_->port();
  server_->die();
  ASSERT_TRUE(until([&] { return group()["state"] == "reconnecting"; }));
  EXPECT_NE(plane_.find(epoch_), nullptr);
  EXPECT_TRUE(plane_.find(epoch_)->active) << "it goes on with what it has";
  pass(100ms);
  serve(port);
  ASSERT_TRUE(joined(2));
  EXPECT_EQ(plane_.count("install " + std::to_string(epoch_)), 1);
  EXPECT_THAT(plane_.find(epoch_)->outbound, ElementsAre(0x10000003u));
  for (const std::uint32_t spi : inbound)
    EXPECT_EQ(plane_.find(epoch_)->inbound.count(spi), 1u);
}

// As one does who stands in the middle and breaks each connection right after its handshake.
TEST_F(Channel, TamperingAfterTheHandshakeDoesNotKeepAMemberAway) {
  settings_.timing.backoff_max = 1h;
  serve();
  start();
  ASSERT_TRUE(joined());
  const std::uint16_t port = server_->port();
  for (int times = 2; times < 14; ++times) {
    server_->die();
    serve(port);
    const auto broken = std::chrono::steady_clock::now();
    ASSERT_TRUE(joined(times)) << times;
    EXPECT_LT(std::chrono::steady_clock::now() - broken, longest_after_proof + 2s) << times;
  }
}

TEST_F(Channel, AfterAServersDeathANewerPendingEpochWaitsForActivate) {
  serve();
  start();
  ASSERT_TRUE(joined());
  const std::uint16_t port = server_->port();
  server_->die();
  // A restarted key server hands out its first epoch as pending, so that running senders go on until all are back.
  serve(port);
  server_->authority.keying = next();
  ASSERT_TRUE(joined(2));
  EXPECT_TRUE(plane_.find(epoch_)->active);
  ASSERT_NE(plane_.find(epoch_ + 1), nullptr);
  EXPECT_FALSE(plane_.find(epoch_ + 1)->active);
  server_->say(handshake::Activate{"tv", epoch_ + 1});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1)->active; }));
  ASSERT_TRUE(until([&] { return plane_.find(epoch_) == nullptr; }));
}

TEST_F(Channel, H10_AnEpochEndsWhenNobodyRenewsIt) {
  serve();
  server_->authority.keying.remaining_ms = 1500;
  start();
  ASSERT_TRUE(joined());
  server_->die();
  ASSERT_TRUE(until([&] { return plane_.held.empty(); }));
  EXPECT_THAT(log_->str(), HasSubstr("the epoch expired before the key server made a new one"));
  EXPECT_EQ(group().count("epoch"), 0u);
}

TEST_F(Channel, H11_TheLeaseIsExtendedByAnswersAndByNothingElse) {
  serve();
  server_->answers = false;
  server_->authority.keying.policy.authority_lease_s = 2;
  start();
  ASSERT_TRUE(joined());
  const auto first = plane_.lease["tv"];
  pass(300ms);
  EXPECT_EQ(plane_.lease["tv"], first) << "our own keepalives must not renew our lease";
  server_->say(handshake::Keepalive{0});
  GroupKeying another = next();
  another.policy.authority_lease_s = 2;
  ASSERT_TRUE(update(another));
  ASSERT_TRUE(until([&] { return plane_.find(epoch_ + 1) != nullptr; }));
  EXPECT_EQ(plane_.lease["tv"], first) << "a record that answers nothing says nothing about when it was sent";
  server_->answers = true;
  ASSERT_TRUE(until([&] { return plane_.lease["tv"] > first + 200ms; }));
  server_->die();
  const auto last = plane_.lease["tv"];
  pass(300ms);
  EXPECT_EQ(plane_.lease["tv"], last);
}

TEST_F(Channel, LEASE1_ASenderSaysLongBeforeItHasToStopThatItWill) {
  serve();
  server_->authority.keying.policy.authority_lease_s = 4;
  start();
  ASSERT_TRUE(joined());
  pass(300ms);
  EXPECT_EQ(group()["alarm"], "");
  EXPECT_EQ(group()["alarms"], 0);
  server_->die();
  ASSERT_TRUE(until([&] { return group()["alarms"] == 1; }));
  EXPECT_GT(plane_.lease["tv"], std::chrono::steady_clock::now() + 1s) << "it still sends, and goes on for a while";
  EXPECT_THAT(group()["alarm"].get<std::string>(), HasSubstr("half of its authority lease"));
  EXPECT_THAT(log_->str(), HasSubstr("alarm: no key server was heard"));
}

TEST_F(Channel, LEASE1_AnAnswerHeldBackProlongsNothing) {
  serve();
  server_->answers = false;
  server_->authority.keying.policy.authority_lease_s = 2;
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return !server_->all<handshake::Keepalive>().empty(); }));
  const auto asked = std::chrono::steady_clock::now();  // at the latest
  pass(500ms);                                          // an attacker on the path holds the answer back
  const auto number = server_->all<handshake::Keepalive>().front().sequence;
  const auto before = plane_.lease["tv"];
  server_->say(handshake::Keepalive{number});
  pass(100ms);
  EXPECT_GE(plane_.lease["tv"], before);
  EXPECT_LE(plane_.lease["tv"], asked + 2s) << "from the moment it was asked, not from that of the answer";
  const auto then = plane_.lease["tv"];
  server_->say(handshake::Keepalive{number});
  pass(100ms);
  EXPECT_EQ(plane_.lease["tv"], then) << "an answer counts once";
}

// A key server that is away for longer than the lease, and was told meanwhile to revoke a member.
TEST_F(Channel, H11_LEASE1_AReturnAfterTheLeaseRevivesNothing) {
  serve();
  server_->authority.keying.policy.authority_lease_s = 1;
  start();
  ASSERT_TRUE(joined());
  ASSERT_EQ(plane_.find(epoch_)->outbound.size(), 1u);
  const std::uint16_t port = server_->port();
  server_->die();
  ASSERT_TRUE(until([&] { return std::chrono::steady_clock::now() > plane_.lease["tv"] + 50ms; }));
  serve(port);
  server_->authority.keying = next(1);
  server_->authority.keying.policy.authority_lease_s = 1;
  ASSERT_TRUE(joined(2)) << admin::to_json(agent_->status());
  EXPECT_TRUE(plane_.find(epoch_)->outbound.empty()) << "the epoch before";
  EXPECT_EQ(plane_.find(epoch_ + 1)->outbound.size(), 1u);
  EXPECT_TRUE(plane_.find(epoch_)->active);
  pass(100ms);
  for (const auto& report : server_->all<handshake::StatusReport>())
    EXPECT_NE(report.epoch, epoch_) << "it does not go on under that, so nobody has to wait";
  ASSERT_TRUE(server_->say(handshake::Activate{"tv", epoch_ + 1}));
  ASSERT_TRUE(until([&] { return group()["epoch"] == epoch_ + 1; }));
}

TEST_F(Channel, LEASE1_AnAnswerToWhatWasNeverAskedEndsTheConnection) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::Keepalive{1000});
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_THAT(log_->str(), HasSubstr("it answers number 1000"));
}

// A handshake slower than a short lease's silence: the member has a key server, and asks it before it doubts it.
TEST_F(Channel, ASlowJoinUnderAShortLeaseHolds) {
  tamper_ = [](GroupKeying&) { std::this_thread::sleep_for(850ms); };
  serve();
  server_->authority.keying.policy.authority_lease_s = 1;
  start();
  ASSERT_TRUE(joined());
  pass(2500ms);
  EXPECT_EQ(group()["joins"], 1);
}

TEST_F(Channel, ASilentKeyServerIsLeft) {
  serve();
  server_->answers = false;
  server_->authority.keying.policy.authority_lease_s = 1;
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return group()["joins"] == 2; }));
  EXPECT_THAT(log_->str(), HasSubstr("no answer to anything asked"));
}

TEST_F(Channel, RevokedMeansKeysAreGoneAtOnce) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::Revoked{"tv", "lost laptop"});
  ASSERT_TRUE(until([&] { return group()["state"] == "revoked"; }));
  EXPECT_TRUE(plane_.held.empty());
  EXPECT_THAT(log_->str(), HasSubstr("lost laptop"));
}

TEST_F(Channel, H19_ExpiredMeansNoNewKeysAndNoneIsWiped) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::Expired{"tv", "its certificate has ended"});
  ASSERT_TRUE(until([&] { return group()["state"] == "expired"; }));
  EXPECT_NE(plane_.find(epoch_), nullptr);
  EXPECT_THAT(log_->str(), HasSubstr("stay in use until they end"));
  EXPECT_THAT(log_->str(), Not(HasSubstr("wiped")));
  ASSERT_TRUE(until([&] { return group()["state"] == "joined"; })) << "it comes again";
}

TEST_F(Channel, LeavesWithAWord) {
  serve();
  start();
  ASSERT_TRUE(joined());
  agent_->stop();
  EXPECT_EQ(group()["state"], "stopped");
  ASSERT_TRUE(until([&] { return !server_->all<handshake::Leave>().empty(); }));
  pass(50ms);
  EXPECT_EQ(server_->established(), 0u);
  EXPECT_NE(plane_.find(epoch_), nullptr) << "what is held ends by itself";
  server_.reset();
  io_.restart();
  EXPECT_LE(io_.run_for(500ms), 20u);
  EXPECT_TRUE(io_.stopped()) << "a stopped agent must leave the loop without work";
}

// ---------------------------------------------------------------- slots and reports

TEST_F(Channel, DATA2_DerivesSlotsTheDataPlaneAsksFor) {
  serve();
  start();
  ASSERT_TRUE(joined());
  plane_.events.slots_wanted = {{"tv", epoch_, 200}, {"tv", epoch_, 5000}, {"radio", epoch_, 201}};
  ASSERT_TRUE(until([&] { return plane_.find(epoch_)->inbound.count(0x10000000u + 200) == 1; }));
  EXPECT_EQ(plane_.find(epoch_)->inbound.count(0x10000000u + 5000), 0u);
}

TEST_F(Channel, ReportsItsOwnSlotsAndNoOthers) {
  serve();
  start();
  ASSERT_TRUE(joined());
  SaStatistics out, in;
  out.group_id = in.group_id = "tv";
  out.epoch = in.epoch = epoch_;
  out.outbound = true;
  out.spi = 0x10000002;
  out.packets = 100;
  out.next_number = (std::uint64_t{500} << 32) + 101;  // a time and a sequence
  in.spi = 0x10000000;
  in.packets = 7;
  in.bad_tags = 2;
  in.replays = 1;
  in.next_number = 1ull << 60;
  plane_.stats.sas = {out, in};
  server_->received.clear();
  ASSERT_TRUE(until([&] { return !server_->all<handshake::StatusReport>().empty(); }));
  const auto report = server_->all<handshake::StatusReport>().back();
  EXPECT_EQ(report.sealed, 100u);
  EXPECT_EQ(report.opened, 7u);
  EXPECT_EQ(report.dropped, 3u);
  ASSERT_EQ(report.own_slots.size(), 1u);
  EXPECT_EQ(report.own_slots[0].spi, 0x10000002u);
  EXPECT_EQ(report.own_slots[0].packets, 100u);
  EXPECT_FALSE(server_->all<handshake::Keepalive>().empty() &&
               !until([&] { return !server_->all<handshake::Keepalive>().empty(); }));
}

TEST_F(Channel, CounterLimitIsReportedAtOnce) {
  serve();
  settings_.timing.status_report = 1h;
  start();
  ASSERT_TRUE(joined());
  plane_.events.counter_limits = {{"tv", epoch_, 0x10000002}};
  ASSERT_TRUE(until([&] { return !server_->all<handshake::StatusReport>().empty(); }));
}

class ThreeWorkers : public testing::AgentFixture {
 protected:
  ThreeWorkers() : AgentFixture(3) {}
};

TEST_F(ThreeWorkers, H9_EveryWorkerGetsASlotOfItsOwn) {
  serve();
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return !server_->all<handshake::SlotRequest>().empty(); }));
  EXPECT_EQ(server_->all<handshake::SlotRequest>()[0].count, 3);
  server_->say(handshake::SlotGrant{"tv", epoch_, 10, 3, 13});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_)->outbound.size() == 3; }));
  EXPECT_THAT(plane_.find(epoch_)->outbound, ElementsAre(0x1000000au, 0x1000000bu, 0x1000000cu));
  // A grant of slots that were ours already is a key server's grave error: nothing of it is used.
  server_->say(handshake::SlotGrant{"tv", epoch_, 10, 3, 13});
  ASSERT_TRUE(until([&] { return log_->str().find("H9") != std::string::npos; }));
}

// Otherwise it sends nothing for the rest of the epoch, though the slots were used up for a moment only.
TEST_F(ThreeWorkers, H9_RefusedSlotsAreAskedForAgainUntilEveryWorkerHasOne) {
  const auto asked = [&] { return server_->all<handshake::SlotRequest>().size(); };
  serve();
  start();
  ASSERT_TRUE(joined());
  ASSERT_TRUE(until([&] { return asked() == 1; }));
  pass(200ms);
  EXPECT_EQ(asked(), 1u) << "while the answer is awaited, nothing is asked twice";
  server_->say(handshake::SlotGrant{"tv", epoch_, 0, 0, 3});
  ASSERT_TRUE(until([&] { return asked() == 2; }));
  EXPECT_EQ(server_->all<handshake::SlotRequest>()[1].epoch, epoch_);
  EXPECT_EQ(server_->all<handshake::SlotRequest>()[1].count, 3);
  server_->say(handshake::SlotGrant{"tv", epoch_, 10, 3, 13});
  ASSERT_TRUE(until([&] { return plane_.find(epoch_)->outbound.size() == 3; }));
  pass(200ms);
  EXPECT_EQ(asked(), 2u);
}

TEST_F(ThreeWorkers, ARefusedSlotRequestIsSaid) {
  serve();
  start();
  ASSERT_TRUE(joined());
  server_->say(handshake::SlotGrant{"tv", epoch_, 0, 0, 3});
  ASSERT_TRUE(until([&] { return log_->str().find("slots_per_member") != std::string::npos; }));
  EXPECT_EQ(group()["state"], "joined");
  EXPECT_TRUE(plane_.find(epoch_)->outbound.empty()) << "H10: one slot for three workers seals nothing";
}

TEST_F(Channel, SaysWhenItMayNotSend) {
  serve();
  tamper_ = [](GroupKeying& k) {
    k.assignment.roles = handshake::receiver;
    k.assignment.slot_count = 0;
    k.assignment.first_slot = 0;
  };
  start();
  ASSERT_TRUE(joined());
  EXPECT_THAT(why(), HasSubstr("does not let this member send"));
  EXPECT_TRUE(plane_.find(epoch_)->outbound.empty());
  EXPECT_FALSE(plane_.find(epoch_)->inbound.empty());
}

}  // namespace
}  // namespace sealcast::member
