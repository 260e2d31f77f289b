// What members are given, and the maker of a lone key server's epochs, by themselves.
#include "controlplane/keyserver/group/issuer.h"

#include "controlplane/keyserver/group/local_epoch_maker.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class IssuerTest : public GroupStateTest {
 protected:
  IssuerTest() {
    config_.slots_per_member = 3;
    MadeEpoch made = std::move(*maker_.want_epoch(wish())->operator->());
    epoch_.number = made.number;
    epoch_.phase = Phase::active;
    epoch_.policy = made.policy;
    epoch_.premaster = std::move(made.premaster);
    epoch_.expires = now_.steady + made.remaining;
    schedule_.begun(now_.steady, now_.steady + 1h);
  }
  ~IssuerTest() override { epoch_.premaster.reset(); }
  EpochWish wish(std::size_t live = 0) const {
    return {.group_id = "tv",
            .seen = 0,
            .why = "first of the group",
            .policy = policy_of(config_),
            .lifetime = config_.epoch_lifetime,
            .live = live,
            .now = now_};
  }
  Member& add(const std::string& name) {
    Member& member = roster_.add(links_[name], identity(name));
    member.roles = config_.may_send({name}) ? handshake::sender_and_receiver : handshake::receiver;
    return member;
  }

  LocalEpochMaker maker_{context_};
  Epoch epoch_;
  std::map<std::string, FakeLink> links_;
  Roster roster_;
  HandOver hand_over_;
  RekeySchedule schedule_{hand_over_};
  Admission admission_{config_, context_};
  Resumption resumption_{config_, context_, admission_};
  MemberWarnings warnings_;
  Issuer issuer_{config_, context_, admission_, resumption_, roster_, schedule_, warnings_};
};

TEST_F(IssuerTest, TheMakerNumbersEpochsUpwardsAndNeverMakesAZeroSecret) {
  random_.zeros = 48;
  const auto second = maker_.want_epoch(wish());
  ASSERT_TRUE(second.has_value() && *second);
  EXPECT_GT((*second)->number, epoch_.number);
  EXPECT_FALSE((*second)->premaster->is_zero());
  EXPECT_EQ((*second)->why, "first of the group");
  EXPECT_TRUE(maker_.installed_here("tv", (*second)->number)) << "no other key server is waited for";
  EXPECT_FALSE(maker_.has_peers());
}

TEST_F(IssuerTest, TheMakerRefusesAFifthEpochAndBeginsNone) {
  const auto refused = maker_.want_epoch(wish(max_live_epochs));
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("too many epochs are alive"));
}

TEST_F(IssuerTest, H9_SlotsAscendAndASenderBeyondItsQuotaOnlyReceives) {
  for (const std::uint16_t slot : {0, 1, 2}) {
    const auto keying = issuer_.give(epoch_, identity("sender"), "10.0.0.1:5", now_);
    ASSERT_TRUE(keying.has_value());
    EXPECT_EQ(keying->assignment.first_slot, slot);
    EXPECT_EQ(keying->assignment.roles, handshake::sender_and_receiver);
  }
  const auto keying = issuer_.give(epoch_, identity("sender"), "10.0.0.1:5", now_);
  ASSERT_TRUE(keying.has_value());
  EXPECT_EQ(keying->assignment.slot_count, 0);
  EXPECT_EQ(keying->assignment.roles, handshake::receiver);
  EXPECT_EQ(schedule_.next(), now_.steady + RekeySchedule::least_pause) << "in a new epoch it has slots again";
  EXPECT_STREQ(schedule_.why(), "a sender's slots are used up");
}

TEST_F(IssuerTest, AllUpdatesTellOfAllSlotsThatAreGivenOut) {
  Member& home = add("home");
  Member& sender = add("sender");
  Member& sender2 = add("sender2");
  sender2.slots = {{1, 0, 2}};
  EXPECT_EQ(issuer_.slots_needed(), 3u);
  auto updates = issuer_.updates(epoch_, {&home, &sender, &sender2}, now_);
  ASSERT_TRUE(updates.has_value());
  for (auto& [member, keying] : *updates)
    issuer_.tell(*member, std::move(keying));
  for (const auto& [name, link] : links_)
    EXPECT_EQ(link.slots_used, 3) << name;
  EXPECT_EQ(sender2.slots.back().count, 2) << "as many as it was last given at once";
  EXPECT_EQ(roster_.holders().size(), 3u);
}

TEST_F(IssuerTest, AReceiverIsGrantedNoSlots) {
  const SlotGrant answer = issuer_.grant(add("home"), {"tv", epoch_.number, 1}, &epoch_, now_);
  EXPECT_EQ(answer.count, 0);
}

TEST_F(IssuerTest, NoSlotsAreGrantedOfAnOldEpochOrOfOneThatIsGone) {
  Member& sender = add("sender");
  EXPECT_EQ(issuer_.grant(sender, {"tv", 1, 1}, nullptr, now_).count, 0);
  epoch_.phase = Phase::old;
  EXPECT_EQ(issuer_.grant(sender, {"tv", epoch_.number, 1}, &epoch_, now_).count, 0);
}

TEST_F(IssuerTest, NothingOfAReportOfAnothersSlotIsTaken) {
  Member& sender = add("sender");
  ASSERT_TRUE(issuer_.update(sender, epoch_, now_));
  StatusReport report;
  report.epoch = epoch_.number;
  report.sealed = 7;
  report.own_slots = {{epoch_.policy.spi_prefix, 100, 0}};
  issuer_.take_report(sender, report, epoch_, now_);
  ASSERT_TRUE(sender.report);
  EXPECT_EQ(sender.report->sealed, 7u);
  report.sealed = 8;
  report.own_slots = {{epoch_.policy.spi_prefix, 200, 0}, {epoch_.policy.spi_prefix + 1, ~0ULL, 0}};
  issuer_.take_report(sender, report, epoch_, now_);
  EXPECT_EQ(sender.report->sealed, 7u);
}

TEST_F(IssuerTest, CountersThatAreHighAskForARekey) {
  Member& sender = add("sender");
  ASSERT_TRUE(issuer_.update(sender, epoch_, now_));
  StatusReport report;
  report.epoch = epoch_.number;
  report.own_slots = {{epoch_.policy.spi_prefix, config_.rekey_after_packets + 1, 0}};
  issuer_.take_report(sender, report, epoch_, now_);
  EXPECT_EQ(schedule_.next(), now_.steady + RekeySchedule::least_pause);
  EXPECT_STREQ(schedule_.why(), "volume");
}

}  // namespace
}  // namespace sealcast::keyserver::testing
