// What holds in every flow alike: it completes however its bytes are cut, both ends learn the same, and the keys are
// shared or not as they should be. Each flow's own tests stand beside this file.
#include <gtest/gtest.h>

#include "handshake/flows.h"
#include "handshake/testing/ends.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

class EveryFlow : public ::testing::TestWithParam<Flow> {
 protected:
  const FlowDefinition& flow() const { return definition(GetParam()); }
};

class EveryMulticastFlow : public EveryFlow {};

std::vector<Flow> multicast_flows() {
  std::vector<Flow> flows;
  for (const FlowDefinition& flow : flow_definitions)
    if (flow.multicast) flows.push_back(flow.flow);
  return flows;
}

TEST_P(EveryFlow, H3_CompletesWithBothEndsOfOneMind) {
  World world(GetParam());
  Ends ends(world);
  ASSERT_TRUE(ends.established()) << ends.why();
  auto client = find_event<Established>(ends.client_events);
  auto server = find_event<Established>(ends.server_events);
  ASSERT_TRUE(client && server);
  EXPECT_EQ(client->flow, GetParam());
  EXPECT_EQ(server->flow, GetParam());
  EXPECT_EQ(client->suite, server->suite);
  EXPECT_EQ(client->peer.name, "ks.example");
  EXPECT_EQ(client->group_id, flow().multicast ? "tv" : "");
  EXPECT_EQ(server->group_id, client->group_id);
  EXPECT_EQ(client->keying.has_value(), flow().multicast);
  EXPECT_FALSE(server->keying || server->group_master) << "the server's owner has made it";
  EXPECT_EQ(world.authority.issued, flow().multicast ? 1 : 0);
  if (!flow().multicast) return;
  EXPECT_EQ(server->peer.name, "member-a");
  const bool password = flow().authentication != Authentication::certificate;
  EXPECT_EQ(server->peer.user, password ? test_user : "");
  EXPECT_EQ(server->peer.leaf_der.empty(), flow().authentication == Authentication::password);
  EXPECT_EQ(world.passwords_fetched, password ? 1 : 0);
  EXPECT_EQ(world.passwords->asked, password ? 1 : 0);
  EXPECT_TRUE(client->keying->premaster.equals(world.authority.keying.premaster)) << "P4, P5";
  EXPECT_EQ(client->keying->epoch, world.authority.keying.epoch);
  EXPECT_EQ(client->keying->policy.selectors, world.authority.keying.policy.selectors) << "P35, P36";
  EXPECT_EQ(client->keying->policy.spi_prefix, world.authority.keying.policy.spi_prefix) << "P37";
  EXPECT_EQ(find_event<KeyingSent>(ends.server_events)->member_id, "member-a");
}

TEST_P(EveryFlow, REC1_AnySplitOfTheByteStreamIsTheSame) {
  World world(GetParam());
  for (const std::size_t chunk : {1u, 2u, 3u, 5u, 7u, 64u, 1000u}) {
    Ends ends(world, chunk);
    EXPECT_TRUE(ends.established()) << chunk << ": " << ends.why();
  }
}

TEST_P(EveryMulticastFlow, P31_P33_RunsUnderEverySuiteOfItsKind) {
  const std::vector<std::pair<CipherSuite, KeyKind>> all = {
      {CipherSuite::rsa_aes_128_gcm_sha256, KeyKind::rsa2048},
      {CipherSuite::rsa_aes_256_gcm_sha384, KeyKind::rsa2048},
      {CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, KeyKind::p256},
      {CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, KeyKind::ed25519},
      {CipherSuite::ecdhe_rsa_aes_128_gcm_sha256, KeyKind::rsa2048},
      {CipherSuite::ecdhe_rsa_aes_256_gcm_sha384, KeyKind::rsa2048},
  };
  World world(GetParam());
  int ran = 0;
  for (const auto& [suite, key] : all) {
    GroupFlow group = group_flow(GetParam());
    group.suite = suite;
    if (flow_for(group) != GetParam()) continue;
    world.set_group_flow(group);
    world.server_config.credentials = world.pki.server("ks.example", key).credentials;
    Ends ends(world);
    ASSERT_TRUE(ends.established()) << name(suite) << ": " << ends.why();
    const auto member = find_event<Established>(ends.client_events);
    EXPECT_EQ(member->suite, suite);
    EXPECT_EQ(member->keying->policy.cipher_suite, suite) << "P33: the data plane's too";
    // Beyond the second ChangeCipherSpec: the channel's records open under the same suite's keys.
    ASSERT_TRUE(ends.client->send(Keepalive{1}));
    pump(*ends.client, *ends.server);
    auto events = ends.server->take_events();
    EXPECT_TRUE(find_event<ControlReceived>(events));
    ++ran;
  }
  EXPECT_EQ(ran, flow().smke_sealed() ? 2 : 4);
}

TEST_P(EveryMulticastFlow, P5_KEY1_H2_GroupKeysAreEqualAndChannelKeysDiffer) {
  World world(GetParam());
  std::vector<Bytes> records, sa_keys;
  for (int i = 0; i < 5; ++i) {
    Ends ends(world);
    ASSERT_TRUE(ends.established()) << ends.why();
    const auto member = find_event<Established>(ends.client_events);
    const SaKey sa = derive_sa_key(member->suite, *member->group_master, "tv", member->keying->epoch, 0x10000002);
    sa_keys.emplace_back(sa.key.data(), sa.key.data() + sa.key_size);
    // The same message under the same sequence number: only the keys can make the records differ.
    ASSERT_TRUE(ends.client->send(Keepalive{7}));
    records.push_back(ends.client->take_output());
  }
  for (std::size_t a = 0; a < records.size(); ++a) {
    EXPECT_EQ(sa_keys[a], sa_keys[0]) << "P5";
    for (std::size_t b = a + 1; b < records.size(); ++b)
      EXPECT_NE(records[a], records[b]) << "H2";
  }
}

TEST_P(EveryMulticastFlow, CHAN1_ARecordOfOneMembersChannelIsNothingOnAnothers) {
  World world(GetParam());
  Ends a(world), b(world);
  ASSERT_TRUE(a.established() && b.established());
  ASSERT_TRUE(a.client->send(Leave{"tv"}));
  const auto crossed = b.server->receive(a.client->take_output(), test_now);
  ASSERT_FALSE(crossed);
  EXPECT_EQ(crossed.error().reason, Reason::bad_record_mac);
}

TEST_P(EveryMulticastFlow, P27_TheControlChannelWorksBothWays) {
  World world(GetParam());
  Ends ends(world);
  GroupUpdate update{clone(world.authority.keying)};
  update.keying.epoch += 1;
  update.keying.state = EpochState::pending;
  ASSERT_TRUE(ends.server->send(ControlMessage(std::move(update))));
  ASSERT_TRUE(ends.client->send(GroupUpdateAck{"tv", 5}));
  pump(*ends.client, *ends.server);
  auto to_client = ends.client->take_events();
  auto to_server = ends.server->take_events();
  EXPECT_TRUE(find_event<ControlReceived>(to_client)) << ends.why();
  EXPECT_TRUE(find_event<ControlReceived>(to_server)) << ends.why();
}

TEST_P(EveryMulticastFlow, H3_NothingIsToldBeforeTheClosingFinished) {
  World world(GetParam());
  const auto server = world.server();
  const auto client = world.client();
  bool server_told = false, client_told = false;
  // Byte by byte: neither end tells Established before the other's last byte is in.
  std::size_t to_server = 0, to_client = 0, server_at = 0, client_at = 0;
  for (bool moved = true; moved;) {
    moved = false;
    for (const std::uint8_t byte : client->take_output()) {
      moved = true;
      ++to_server;
      ASSERT_TRUE(server->receive(ByteView(&byte, 1), test_now)) << why(*server);
      auto events = server->take_events();
      if (!server_told && find_event<Established>(events)) server_told = true, server_at = to_server;
    }
    for (const std::uint8_t byte : server->take_output()) {
      moved = true;
      ++to_client;
      ASSERT_TRUE(client->receive(ByteView(&byte, 1), test_now)) << why(*client);
      auto events = client->take_events();
      if (!client_told && find_event<Established>(events)) client_told = true, client_at = to_client;
    }
  }
  EXPECT_TRUE(server_told && client_told);
  EXPECT_EQ(server_at, to_server) << "the member's Finished is the last thing it sends";
  EXPECT_EQ(client_at, to_client) << "the server's Finished is the last thing it sends";
}

INSTANTIATE_TEST_SUITE_P(Flows, EveryFlow, ::testing::ValuesIn(every_flow),
                         [](const auto& play) { return test_name(play.param); });
INSTANTIATE_TEST_SUITE_P(Flows, EveryMulticastFlow, ::testing::ValuesIn(multicast_flows()),
                         [](const auto& play) { return test_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake
