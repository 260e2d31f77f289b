// The flows from end to end, in one process: variant 2 in the order of claim 5, and standard TLS 1.2.
#include <gtest/gtest.h>

#include "handshake/testing/in_process.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

struct Ends {
  std::unique_ptr<Endpoint> server;
  std::unique_ptr<Endpoint> client;
  std::vector<Event> server_events;
  std::vector<Event> client_events;
};

Ends run(World& world, std::size_t chunk = 0) {
  Ends ends;
  ends.server = world.server();
  ends.client = world.client();
  pump(*ends.client, *ends.server, chunk);
  ends.server_events = ends.server->take_events();
  ends.client_events = ends.client->take_events();
  return ends;
}

std::string why(const Endpoint& endpoint) {
  return endpoint.failure() ? endpoint.failure()->message() : "no failure";
}

TEST(Variant2, P21_P27_MemberGetsTheGroupsKeyingOverTheSecuredChannel) {
  World world;
  Ends ends = run(world);
  ASSERT_TRUE(ends.client->established()) << why(*ends.client) << " / " << why(*ends.server);
  ASSERT_TRUE(ends.server->established());
  auto member = find_event<Established>(ends.client_events);
  auto server = find_event<Established>(ends.server_events);
  auto sent = find_event<KeyingSent>(ends.server_events);
  ASSERT_TRUE(member && server && sent);
  EXPECT_EQ(member->flow, Flow::variant2_claim5);
  EXPECT_EQ(member->group_id, "tv");
  EXPECT_EQ(member->peer.name, "ks.example");
  EXPECT_EQ(server->peer.name, "member-a");
  EXPECT_EQ(server->group_id, "tv");
  ASSERT_TRUE(member->keying && member->group_master);
  EXPECT_EQ(member->keying->epoch, world.authority.keying.epoch);
  EXPECT_EQ(member->keying->policy.selectors, world.authority.keying.policy.selectors);
  EXPECT_TRUE(member->keying->premaster.equals(world.authority.keying.premaster));
  EXPECT_FALSE(server->keying || server->group_master);
  EXPECT_EQ(sent->member_id, "member-a");
}

}  // namespace
}  // namespace sealcast::handshake
