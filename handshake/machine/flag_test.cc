// The flag in every flow and place (P10-P12, FLAG-1 to FLAG-3), and what happens when the two ends are configured for
// different flows: they never agree on anything (H4).
#include <gtest/gtest.h>

#include <algorithm>

#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

std::vector<Flow> flows_that(bool (*want)(const FlowDefinition&)) {
  std::vector<Flow> flows;
  for (const FlowDefinition& flow : flow_definitions)
    if (flow.multicast && want(flow)) flows.push_back(flow.flow);
  return flows;
}
bool asks_certificate(const FlowDefinition& flow) {
  return flow.has(Side::server, Message::certificate_request);
}

class WithRequest : public ::testing::TestWithParam<Flow> {};  // flows with a CertificateRequest

// CertificateRequest's list of types as it stands in the server's flight, and the two bytes after it, the length of the
// signature algorithms: together they stand nowhere else.
Bytes types(bool flagged) {
  Bytes list = definition(WithRequest::GetParam()).smke_sealed() ? Bytes{1} : Bytes{64, 1};
  if (flagged) list.push_back(30);
  list.insert(list.begin(), static_cast<std::uint8_t>(list.size()));
  list.insert(list.end(), {0, static_cast<std::uint8_t>(2 * offered_schemes.size())});
  return list;
}
constexpr std::ptrdiff_t after_types = 2;
// The last certificate type of the flight's CertificateRequest, whose list is types(flagged).
Bytes::iterator last_type(Bytes& flight, bool flagged) {
  const Bytes pattern = types(flagged);
  const auto at = std::search(flight.begin(), flight.end(), pattern.begin(), pattern.end());
  EXPECT_NE(at, flight.end());
  return at + static_cast<std::ptrdiff_t>(pattern.size()) - 1 - after_types;
}

TEST_P(WithRequest, P11_P12_EitherPlaceCompletesAndIsSeenOnTheWire) {
  for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
    World world(GetParam());
    GroupFlow flow = group_flow(GetParam());
    flow.flag_place = place;
    world.set_group_flow(flow);
    const auto server = world.server();
    const auto client = world.client();
    ASSERT_TRUE(server->receive(client->take_output(), test_now));
    const Bytes flight = server->take_output();
    const Bytes with = types(true), without = types(false);
    const auto holds = [&flight](const Bytes& part) {
      return std::search(flight.begin(), flight.end(), part.begin(), part.end()) != flight.end();
    };
    EXPECT_EQ(holds(with), place == FlagPlace::certificate_request);
    EXPECT_EQ(holds(without), place == FlagPlace::smke);
    ASSERT_TRUE(client->receive(flight, test_now));
    pump(*client, *server);
    EXPECT_TRUE(client->established() && server->established());
  }
}

TEST_P(WithRequest, P12_FLAG1_FLAG2_AMemberPinsThePlace) {
  for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
    World world(GetParam());
    world.authority.flow.flag_place = place == FlagPlace::smke ? FlagPlace::certificate_request : FlagPlace::smke;
    world.client_config.multicast->flows[0].flag_place = place;
    const auto server = world.server();
    const auto client = world.client();
    pump(*client, *server);
    ASSERT_TRUE(client->failed() && server->failed());
    EXPECT_EQ(client->failure()->reason, place == FlagPlace::smke ? Reason::flag_unexpected : Reason::flag_missing);
    EXPECT_TRUE(server->failure()->from_peer);
    EXPECT_EQ(world.authority.issued, 0);
    EXPECT_EQ(world.passwords_fetched, 0);
  }
}

TEST_P(WithRequest, FLAG1_AStrippedFlagEndsBothEndsBeforeKeyMaterial) {
  World world(GetParam());
  const auto server = world.server();
  const auto client = world.client();
  (void)server->receive(client->take_output(), test_now);
  Bytes flight = server->take_output();
  *last_type(flight, true) = 1;
  const auto done = client->receive(flight, test_now);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, Reason::flag_missing);
  const Bytes last_words = client->take_output();
  EXPECT_EQ(last_words.size(), 7u) << "one alert, no key material";
  EXPECT_FALSE(server->receive(last_words, test_now));
}

TEST_P(WithRequest, FLAG1_FLAG2_AFlagChangedOnTheWayIsNoticedByTheServerToo) {
  // A client that minds nothing: its transcript is another, so its CertificateVerify does not verify.
  for (const bool strip : {true, false}) {
    World world(GetParam());
    GroupFlow flow = group_flow(GetParam());
    if (!strip) flow.flag_place = FlagPlace::smke;
    world.set_group_flow(flow);
    const auto server = world.server();
    Puppet puppet(Side::client, world, true);
    puppet.send({Side::client, Message::client_hello});
    (void)server->receive(puppet.take_output(), test_now);
    Bytes flight = server->take_output();
    *last_type(flight, strip) = strip ? 2 : 30;
    puppet.receive(flight);
    for (const Step& step : definition(GetParam()).steps) {
      if (step.from != Side::client || step.message == Message::client_hello || server->failed()) continue;
      puppet.send(step);
      (void)server->receive(puppet.take_output(), test_now);
    }
    ASSERT_TRUE(server->failed());
    EXPECT_EQ(server->failure()->reason, Reason::signature_invalid) << server->failure()->message();
    EXPECT_EQ(world.authority.issued, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Flows, WithRequest, ::testing::ValuesIn(flows_that(asks_certificate)),
                         [](const auto& play) { return test_name(play.param); });

class FlagOfEveryFlow : public ::testing::TestWithParam<Flow> {};

TEST_P(FlagOfEveryFlow, FLAG2_FLAG3_SMKE4_SMKE5_SmkeWithAnotherFlagOrderOrVersion) {
  World world(GetParam());
  const SecondCcs announced = definition(GetParam()).second_ccs;
  const auto run = [&world](std::size_t offset, std::uint8_t value) {
    const auto client = world.client();
    Puppet puppet(Side::server, world, true);
    // Changed before the server signs or proves: as a server that means it.
    if (offset == 2) puppet.second_ccs = SecondCcs{value};
    const std::uint8_t flag = world.server_config.multicast_flag;
    if (offset == 1) world.server_config.multicast_flag = value;
    for (const Step& step : definition(GetParam()).steps) {
      if (step.from == Side::client) puppet.receive(client->take_output());
      if (step.from != Side::server || client->failed()) continue;
      // The request's flag stays as it was: only SMKE's is another.
      if (offset == 1 && step.message != Message::server_master_key_exchange) world.server_config.multicast_flag = flag;
      if (offset == 1 && step.message == Message::server_master_key_exchange)
        world.server_config.multicast_flag = value;
      puppet.send(step);
      (void)client->receive(puppet.take_output(), test_now);
      puppet.receive(client->take_output());
    }
    world.server_config.multicast_flag = flag;
    EXPECT_TRUE(client->failed());
    return client->failed() ? client->failure()->reason : Reason::internal_error;
  };
  EXPECT_EQ(run(1, 31), Reason::flag_unexpected);
  EXPECT_EQ(run(1, 0), Reason::flag_missing);
  for (const SecondCcs order : {SecondCcs::not_applicable, SecondCcs::claim5, SecondCcs::description, SecondCcs{3}})
    if (order != announced) {
      EXPECT_EQ(run(2, static_cast<std::uint8_t>(order)), Reason::wrong_second_ccs) << static_cast<int>(order);
    }
}

TEST_P(FlagOfEveryFlow, FLAG3_SMKE4_KeyingForSomethingElse) {
  const std::vector<std::pair<Reason, std::function<void(GroupKeying&)>>> cases = {
      {Reason::wrong_group, [](GroupKeying& k) { k.group_id = "radio"; }},
      {Reason::wrong_key_server, [](GroupKeying& k) { k.key_server_id = "other"; }},
      {Reason::wrong_suite,
       [](GroupKeying& k) { k.policy.cipher_suite = CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256; }},
  };
  World world(GetParam());
  for (const auto& [reason, bend] : cases) {
    const auto client = world.client();
    Puppet puppet(Side::server, world, true);
    puppet.receive(client->take_output());
    for (const Step& step : definition(GetParam()).steps) {
      if (step.from != Side::server || client->failed()) continue;
      if (step.message == Message::server_master_key_exchange) world.authority.tamper = bend;
      puppet.send(step);
      world.authority.tamper = nullptr;
      (void)client->receive(puppet.take_output(), test_now);
      puppet.receive(client->take_output());
    }
    ASSERT_TRUE(client->failed());
    EXPECT_EQ(client->failure()->reason, reason) << client->failure()->message();
    EXPECT_FALSE(client->established());
  }
}

TEST_P(FlagOfEveryFlow, H4_FLAG3_AMemberOfAnotherFlowNeverJoins) {
  for (const FlowDefinition& other : flow_definitions) {
    if (!other.multicast || other.flow == GetParam()) continue;
    World world(GetParam());  // the server's flow
    const bool sealed = other.smke_sealed();
    GroupFlow wish = group_flow(other.flow);
    world.client_config.multicast->flows = {wish};
    world.client_config.credentials = sealed ? world.pki.decrypting_member("member-a", {"tv"}).credentials
                                             : world.pki.member("member-a", {"tv"}).credentials;
    world.client_config.password = [&world]() -> sealcast::Result<PasswordCredential> {
      ++world.passwords_fetched;
      const std::string_view text = test_password;
      PasswordCredential credential{test_user, SecretBytes(text.size())};
      std::copy(text.begin(), text.end(), credential.secret.data());
      return credential;
    };
    const auto server = world.server();
    const auto client = world.client();
    pump(*client, *server);
    const std::string what = std::string(name(other.flow)) + " against " + std::string(name(GetParam()));
    EXPECT_TRUE(client->failed() && server->failed()) << what;
    auto told_server = server->take_events();
    auto told_client = client->take_events();
    EXPECT_FALSE(find_event<Established>(told_server) || find_event<Established>(told_client)) << what;
    // Where the lists are one up to SMKE the member has proved all that this server asks for, and holds an epoch that
    // it does not take. Everywhere else they part before anything was given away.
    const auto mine = definition(GetParam()).steps;
    const auto parting = std::mismatch(mine.begin(), mine.end(), other.steps.begin(), other.steps.end()).first;
    const bool given = std::find(mine.begin(), parting, Step{Side::client, Message::client_auth_response}) != parting;
    const auto smke = std::find(mine.begin(), mine.end(), Step{Side::server, Message::server_master_key_exchange});
    EXPECT_EQ(world.passwords_fetched, given ? 1 : 0) << what;
    if (parting < smke) {
      EXPECT_EQ(world.authority.issued, 0) << what;
    }
  }
}

TEST_P(FlagOfEveryFlow, H4_AStandardClientIsNotLetInAndAStandardServerNotTaken) {
  World world(GetParam());
  world.server_config.allow_standard = false;
  ClientConfig member = world.client_config;
  world.client_config.multicast.reset();
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  EXPECT_EQ(server->failure()->reason, Reason::standard_client_refused);

  // A server that plays a standard flow to a member, whatever the member expects.
  for (const Flow standard : {Flow::standard, Flow::standard_mutual}) {
    world.client_config = member;
    const auto joining = world.client();
    Puppet plain(Side::server, world, false);
    plain.receive(joining->take_output());
    for (const Step& step : definition(standard).steps) {
      if (step.from != Side::server || joining->failed()) continue;
      plain.send(step);
      (void)joining->receive(plain.take_output(), test_now);
      plain.receive(joining->take_output());
    }
    EXPECT_TRUE(joining->failed()) << name(standard);
    EXPECT_FALSE(joining->established());
    EXPECT_EQ(world.passwords_fetched, 0);
    EXPECT_EQ(plain.alert_records(), 1);
  }
}

TEST_P(FlagOfEveryFlow, P32_GroupSuiteNotOffered) {
  World world(GetParam());
  GroupFlow& wish = world.client_config.multicast->flows[0];
  wish.suite = definition(GetParam()).smke_sealed() ? CipherSuite::rsa_aes_128_gcm_sha256
                                                    : CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256;
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  EXPECT_EQ(server->failure()->reason, Reason::group_suite_not_offered);
  EXPECT_EQ(server->failure()->alert, Alert::handshake_failure);
  EXPECT_EQ(world.authority.issued, 0);
}

INSTANTIATE_TEST_SUITE_P(Flows, FlagOfEveryFlow,
                         ::testing::ValuesIn(flows_that([](const FlowDefinition&) { return true; })),
                         [](const auto& play) { return test_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake
