#include "controlplane/keyserver/connection/memberships.h"

#include "controlplane/keyserver/testing/session_host_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using handshake::GroupJoin;
using handshake::GroupRefused;
using handshake::Leave;
using handshake::Refusal;

// Notes refusals, which FakeLink knows only as other messages.
class Link : public FakeLink {
 public:
  void deliver(const ControlMessage& message) override {
    if (const auto* refused = std::get_if<GroupRefused>(&message)) why = refused->why;
    FakeLink::deliver(message);
  }
  std::optional<Refusal> why;
};

class MembershipsTest : public SessionHostTest {
 protected:
  // "sender" joins tv, as after a handshake.
  void join_tv() {
    const auto keying = group_->issue(member("sender"), "10.0.0.1:5", now_);
    ASSERT_TRUE(keying);
    groups_.join(*group_, member("sender"), given_of(*keying));
    host_.changed.clear();
  }
  auto join_further(const std::string& id) { return groups_.join_further(id, flow_); }

  handshake::GroupFlow flow_ = config_.flow;
  Link link_;
  Memberships groups_{host_, link_, "10.0.0.1:5"};
};

TEST_F(MembershipsTest, AConnectionIsInTheGroupsThatItJoined) {
  add_group("radio");
  join_tv();
  EXPECT_EQ(groups_.further(), 0u);
  EXPECT_TRUE(join_further("radio"));
  EXPECT_TRUE(groups_.contains("tv"));
  EXPECT_TRUE(groups_.contains("radio"));
  EXPECT_EQ(groups_.count(), 2u);
  EXPECT_EQ(groups_.further(), 1u);
  EXPECT_EQ(link_.take().size(), 1u) << "a GroupUpdate";
  EXPECT_EQ(host_.groups["radio"]->members().count("sender"), 1u);
  EXPECT_THAT(host_.take(), IsEmpty());
}

TEST_F(MembershipsTest, H4_H8_AFurtherGroupIsRefusedForAReasonThatTheLogAloneKnows) {
  add_group("other flow", [](config::KeyserverGroup& group) { group.flow.variant = 3; });
  add_group("other members", [](config::KeyserverGroup& group) {
    group.members_by_certificate = false;
    group.members = {"sender2"};
  });
  join_tv();
  for (const std::string id : {"no such group", "other flow", "other members"}) {
    link_.why.reset();
    EXPECT_FALSE(join_further(id)) << id;
    EXPECT_EQ(link_.why, Refusal::refused) << id;
  }
  EXPECT_THAT(host_.take(), ElementsAre(HasSubstr("group_join_refused 10.0.0.1:5: no group \"no such group\""),
                                        HasSubstr("is not keyed as this connection was"), HasSubstr("members")));
  EXPECT_EQ(groups_.count(), 1u);
}

TEST_F(MembershipsTest, H11_AKeyServerThatIsCutOffTellsToComeAgain) {
  add_group("radio");
  join_tv();
  host_.serves = false;
  EXPECT_FALSE(join_further("radio"));
  EXPECT_EQ(link_.why, Refusal::come_again);
  host_.serves = true;
  host_.groups.erase("tv");
  EXPECT_FALSE(join_further("radio")) << "no group knows the member any more";
  EXPECT_EQ(link_.why, Refusal::come_again);
}

TEST_F(MembershipsTest, LeavingTheLastGroupEndsTheConnection) {
  add_group("radio");
  join_tv();
  ASSERT_TRUE(join_further("radio"));
  EXPECT_TRUE(groups_.receive(Leave{"tv"}, true));
  EXPECT_FALSE(groups_.contains("tv"));
  EXPECT_EQ(group_->members().count("sender"), 0u);
  EXPECT_TRUE(groups_.receive(Leave{"tv"}, true)) << "it may have been refused meanwhile";
  EXPECT_FALSE(groups_.receive(Leave{"radio"}, true));
  EXPECT_EQ(groups_.count(), 0u);
}

TEST_F(MembershipsTest, H13_WhatIsAboutNoGroupOfTheConnectionEndsIt) {
  add_group("radio");
  join_tv();
  EXPECT_FALSE(groups_.receive(Leave{"radio"}, false)) << "it has never asked for another group";
  join_tv();
  EXPECT_FALSE(groups_.receive(GroupUpdateAck{"radio", 1}, true));
}

TEST_F(MembershipsTest, TheHostIsToldOfEachGroupThatChanged) {
  add_group("radio");
  join_tv();
  ASSERT_TRUE(join_further("radio"));
  EXPECT_THAT(host_.changed, ElementsAre("radio", "radio")) << "given, and joined";
  host_.changed.clear();
  ASSERT_TRUE(groups_.receive(StatusReport{"tv", group_->epochs()[0].number, 1, 2, 3, {}}, false));
  EXPECT_THAT(host_.changed, ElementsAre("tv"));
  host_.changed.clear();
  groups_.leave();
  EXPECT_THAT(host_.changed, ElementsAre("radio", "tv"));
  EXPECT_EQ(group_->members().count("sender") + host_.groups["radio"]->members().count("sender"), 0u);
  EXPECT_EQ(groups_.count(), 0u);
}

TEST_F(MembershipsTest, LEASE_1_KeepalivesComeFourTimesInTheShortestLease) {
  add_group("radio", [](config::KeyserverGroup& group) { group.authority_lease = 8s; });
  join_tv();
  EXPECT_EQ(groups_.keepalive_interval(1h), config_.authority_lease / 4);
  EXPECT_EQ(join_further("radio"), 2s);
  EXPECT_EQ(groups_.keepalive_interval(1h), 2s);
  EXPECT_EQ(groups_.keepalive_interval(1s), 1s) << "or more often";
}

}  // namespace
}  // namespace sealcast::keyserver::testing
