// Members, holders and senders of a group, by themselves.
#include "controlplane/keyserver/group/roster.h"

#include "controlplane/keyserver/group/senders.h"
#include "controlplane/keyserver/testing/group_state_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

constexpr SteadyTime then{1000s};

class RosterTest : public ::testing::Test {
 protected:
  Member& add(const std::string& name) { return roster_.add(links_[name], identity(name)); }

  Roster roster_;
  std::map<std::string, FakeLink> links_;
};

TEST_F(RosterTest, AMemberIsFoundByNameAndByConnectionUntilItIsRemoved) {
  Member& home = add("home");
  add("studio");
  EXPECT_EQ(roster_.find("home"), &home);
  EXPECT_EQ(roster_.of(links_["home"]), &home);
  roster_.remove("home");
  EXPECT_EQ(roster_.find("home"), nullptr);
  EXPECT_EQ(roster_.of(links_["home"]), nullptr);
  EXPECT_EQ(roster_.members().size(), 1u);
}

TEST_F(RosterTest, H3_AHolderStaysWhenItsConnectionIsGoneUntilItsNewestEpochEnds) {
  add("home");
  roster_.note_holder(identity("home"), 2);
  roster_.note_holder(identity("home"), 1);
  roster_.remove("home");
  EXPECT_EQ(roster_.holders().at({"home", "01"}).epoch, 2u);
  roster_.forget_epoch(1);
  EXPECT_EQ(roster_.holders().size(), 1u);
  roster_.forget_epoch(2);
  EXPECT_TRUE(roster_.holders().empty());
}

TEST_F(RosterTest, AMemberKeepsItsLastRunOfSlotsToTellHowManyItNeeds) {
  Member& studio = add("studio");
  studio.slots = {{1, 0, 4}, {2, 0, 4}};
  roster_.forget_epoch(1);
  EXPECT_EQ(studio.slots.size(), 1u);
  roster_.forget_epoch(2);
  EXPECT_EQ(studio.slots.size(), 1u);
}

class SendersTest : public RosterTest {
 protected:
  SendersTest() {
    config_.authority_lease = 60s;
    Epoch epoch;
    epoch.number = 5;
    epochs_.add(std::move(epoch));
    epochs_.activate(5, then);
  }
  config::KeyserverGroup config_;
  Epochs epochs_;
  Exclusion exclusion_;
  Senders senders_{config_, epochs_, roster_, exclusion_};
};

TEST_F(SendersTest, H11_AReceiverWithSlotsOfALiveEpochMaySendUnderIt) {
  Member& member = add("studio");
  EXPECT_FALSE(senders_.may_send(member));
  member.slots = {{4, 0, 1}};
  EXPECT_FALSE(senders_.may_send(member)) << "that epoch is over";
  member.slots = {{5, 0, 1}};
  EXPECT_TRUE(senders_.may_send(member));
}

TEST_F(SendersTest, H11_SwitchedIsTheEarliestEpochOfAnySenderHereOrAway) {
  EXPECT_EQ(senders_.switched(then), 5u);
  Member& studio = add("studio");
  studio.roles = handshake::sender_and_receiver;
  studio.activated = 4;
  EXPECT_EQ(senders_.switched(then), 4u);
  senders_.left(studio, then);
  roster_.remove("studio");
  EXPECT_EQ(senders_.switched(then), 4u) << "it goes on for its lease";
  EXPECT_EQ(senders_.switched(then + 60s), 5u);
}

TEST_F(SendersTest, H11_APeerThatWasGivenSlotsCountsBeforeItJoins) {
  GroupKeying keying;
  keying.epoch = 4;
  keying.state = EpochState::active;
  keying.assignment.member_id = "studio";
  senders_.given("10.0.0.1:5", keying, then);
  EXPECT_EQ(senders_.switched(then), 5u) << "a receiver";
  keying.assignment.roles = handshake::sender_and_receiver;
  senders_.given("10.0.0.1:5", keying, then);
  EXPECT_EQ(senders_.switched(then), 4u);
}

}  // namespace
}  // namespace sealcast::keyserver::testing
