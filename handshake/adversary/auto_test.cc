// A member that allows several flows (P3, H30): the server's messages choose among them, nothing else does, and nothing
// outside the set is taken.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "handshake/adversary/stage.h"

namespace sealcast::handshake::adversary {
namespace {

using testing::KeyKind;
using testing::Puppet;
using testing::test_now;
using testing::World;

constexpr std::size_t record_header_size = 5;

// Every multicast flow, the flag in either place.
std::vector<GroupFlow> every_group_flow() {
  std::vector<GroupFlow> flows;
  for (const FlowDefinition& flow : flow_definitions)
    for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
      if (!flow.multicast) continue;
      GroupFlow group = testing::group_flow(flow.flow);
      group.flag_place = place;
      flows.push_back(group);
    }
  return flows;
}

std::vector<Flow> multicast_flows(bool with_request) {
  std::vector<Flow> flows;
  for (const FlowDefinition& flow : flow_definitions)
    if (flow.multicast && (!with_request || flow.has(Side::server, Message::certificate_request)))
      flows.push_back(flow.flow);
  return flows;
}

// The world of a flow, in which the member can run every flow and allows these.
class Allowing {
 public:
  Allowing(Flow flow, std::vector<GroupFlow> allowed) : world_(world_of(flow)), kept_(world_.client_config) {
    const ClientConfig& rsa = world_of(Flow::variant1).client_config;
    world_.client_config.credentials = rsa.credentials;
    world_.client_config.password = [this]() -> Result<PasswordCredential> {
      ++passwords;
      PasswordCredential credential{testing::test_user, SecretBytes(std::strlen(testing::test_password))};
      std::copy_n(testing::test_password, credential.secret.size(), credential.secret.data());
      return credential;
    };
    world_.client_config.multicast->flows = std::move(allowed);
    world_.authority.issued = 0;
  }
  ~Allowing() { world_.client_config = std::move(kept_); }
  Allowing(const Allowing&) = delete;
  Allowing& operator=(const Allowing&) = delete;
  World& world() { return world_; }
  int passwords = 0;

 private:
  World& world_;
  ClientConfig kept_;
};

// Both ends to their end; the server's password check says yes.
void play(Endpoint& client, Endpoint& server, std::vector<Event>& told_client, std::vector<Event>& told_server) {
  for (int turn = 0; turn < 20; ++turn) {
    const Bytes there = client.take_output();
    if (!there.empty() && !server.failed()) (void)server.receive(there, test_now);
    for (Event& event : server.take_events()) {
      if (std::get_if<PasswordPresented>(&event) != nullptr) (void)server.password_checked(true, test_now);
      told_server.push_back(std::move(event));
    }
    for (Event& event : server.take_events())
      told_server.push_back(std::move(event));
    const Bytes back = server.take_output();
    if (!back.empty() && !client.failed()) (void)client.receive(back, test_now);
    for (Event& event : client.take_events())
      told_client.push_back(std::move(event));
  }
}

class Auto : public ::testing::TestWithParam<Flow> {
 protected:
  static const FlowDefinition& flow() { return definition(GetParam()); }
};
class AutoWithRequest : public Auto {};  // flows with a CertificateRequest

TEST_P(Auto, P3_H30_OneMemberTakesWhateverFlowTheServerRuns) {
  for (const FlagPlace place : {FlagPlace::certificate_request, FlagPlace::smke}) {
    Allowing allowing(GetParam(), every_group_flow());
    World& world = allowing.world();
    const GroupFlow kept = world.authority.flow;
    world.authority.flow.flag_place = place;
    const auto server = world.server();
    const auto client = world.client();
    std::vector<Event> told_client, told_server;
    play(*client, *server, told_client, told_server);
    world.authority.flow = kept;
    ASSERT_TRUE(client->established() && server->established())
        << (client->failure() ? client->failure()->message() : "");
    const auto end = testing::find_event<Established>(told_client);
    ASSERT_TRUE(end && end->keying);
    EXPECT_EQ(end->flow, GetParam());
    EXPECT_EQ(end->suite, world.authority.flow.suite);
    EXPECT_EQ(allowing.passwords, flow().authentication == Authentication::certificate ? 0 : 1);
  }
}

TEST_P(Auto, H4_H30_AFlowOutsideTheSetIsRefused) {
  auto others = every_group_flow();
  std::erase_if(others, [](const GroupFlow& group) { return flow_for(group) == GetParam(); });
  Allowing allowing(GetParam(), others);
  const auto server = allowing.world().server();
  const auto client = allowing.world().client();
  std::vector<Event> told_client, told_server;
  play(*client, *server, told_client, told_server);
  ASSERT_TRUE(client->failed() && server->failed());
  EXPECT_FALSE(testing::find_event<Established>(told_client) || testing::find_event<Established>(told_server));
  const HandshakeError& why = *client->failure();
  if (flow().variant == 1) {  // no suite of it was offered (P32)
    EXPECT_EQ(server->failure()->reason, Reason::group_suite_not_offered);
    EXPECT_EQ(why.alert, Alert::handshake_failure);
  } else {  // every list has a sister that differs in the order alone
    EXPECT_EQ(why.reason, Reason::wrong_second_ccs) << why.message();
    EXPECT_EQ(why.alert, Alert::illegal_parameter);
  }
}

TEST_P(Auto, H4_H30_OnlyWhatTheMemberCanProveItselfWithIsInTheSet) {
  // A member without certificate and password, or with a key that cannot decrypt, offers no such flow.
  for (const bool with_key : {false, true}) {
    Allowing allowing(GetParam(), every_group_flow());
    World& world = allowing.world();
    world.client_config.password = nullptr;
    world.client_config.credentials =
        with_key ? world_of(Flow::variant2_claim5).client_config.credentials : Credentials();
    const auto client = world.client();
    if (!with_key) {
      ASSERT_TRUE(client->failed());
      EXPECT_EQ(client->failure()->reason, Reason::own_certificate_missing);
      continue;
    }
    const auto server = world.server();
    std::vector<Event> told_client, told_server;
    play(*client, *server, told_client, told_server);
    EXPECT_EQ(client->established(), flow().variant == 2) << name(GetParam());
  }
}

// The server's first flight with the flag taken out of CertificateRequest, or put into it; a message in each record.
Bytes flight_with(const Bytes& flight, bool flag) {
  Bytes changed;
  for (std::size_t at = 0; at + record_header_size < flight.size();) {
    const std::size_t size = record_header_size + flight[at + 3] * 256u + flight[at + 4];
    Bytes record(flight.begin() + static_cast<std::ptrdiff_t>(at),
                 flight.begin() + static_cast<std::ptrdiff_t>(at + size));
    at += size;
    if (record[0] == 22 && record[5] == 13) {
      const auto types = record.begin() + 10;
      const auto found = std::find(types, types + record[9], 30);
      EXPECT_EQ(found == types + record[9], flag);
      if (flag)
        record.insert(types, 30);
      else
        record.erase(found);
      const int more = flag ? 1 : -1;  // no length is near a carry
      for (const std::size_t length : {4u, 8u, 9u})
        record[length] = static_cast<std::uint8_t>(record[length] + more);
    }
    changed.insert(changed.end(), record.begin(), record.end());
  }
  return changed;
}

// Stripped or put in by whoever is in the middle the flag chooses nothing: a member that allows either place goes on,
// and the server sees that the member signed another transcript.
TEST_P(AutoWithRequest, FLAG1_FLAG2_H30_AFlagChangedOnTheWayEndsTheHandshake) {
  for (const bool flag : {true, false}) {
    Allowing allowing(GetParam(), every_group_flow());
    World& world = allowing.world();
    const GroupFlow kept = world.authority.flow;
    if (flag) world.authority.flow.flag_place = FlagPlace::smke;
    const auto server = world.server();
    const auto client = world.client();
    (void)server->receive(client->take_output(), test_now);
    const auto taken = client->receive(flight_with(server->take_output(), flag), test_now);
    world.authority.flow = kept;
    ASSERT_TRUE(taken) << taken.error().message();
    EXPECT_FALSE(server->receive(client->take_output(), test_now));
    EXPECT_EQ(server->failure()->reason, Reason::signature_invalid);
    EXPECT_FALSE(client->receive(server->take_output(), test_now));
    EXPECT_EQ(client->failure()->alert, Alert::decrypt_error);
    EXPECT_EQ(world.authority.issued, 0);
    EXPECT_EQ(allowing.passwords, 0);
  }
}

TEST_P(Auto, H4_H30_NoStandardFlowIsEverInTheSet) {
  for (const Flow standard : {Flow::standard, Flow::standard_mutual}) {
    Allowing allowing(GetParam(), every_group_flow());
    World& world = allowing.world();
    const auto client = world.client();
    Puppet plain(Side::server, world, false);
    plain.receive(client->take_output());
    for (const Step& step : definition(standard).steps) {
      if (step.from != Side::server || client->failed()) continue;
      plain.send(step);
      (void)client->receive(plain.take_output(), test_now);
      plain.receive(client->take_output());
    }
    EXPECT_TRUE(client->failed()) << name(standard);
    EXPECT_FALSE(client->established());
    EXPECT_EQ(allowing.passwords, 0);
    EXPECT_EQ(plain.alert_records(), 1);
  }
}

// The messages that may come are those that some allowed flow has next, of the flows that the messages so far fit; no
// mixture of two orders is walked.
TEST_P(Auto, SEQ1_H30_EveryStateTakesTheNextMessagesOfTheSetAndNoOther) {
  const auto allowed = every_group_flow();
  for (const std::size_t position : waiting_positions(GetParam(), Side::client)) {
    if (position == flow().steps.size()) continue;
    std::vector<Step> next;
    for (const FlowDefinition& other : flow_definitions) {
      const auto same = [&](std::size_t length) {
        return other.steps.size() > length &&
               std::equal(flow().steps.begin(), flow().steps.begin() + length, other.steps.begin());
      };
      const bool hello_seen = position > 1,
                 smke_seen = flow().steps[position - 1].from == Side::server &&
                             std::any_of(flow().steps.begin(), flow().steps.begin() + position, [](const Step&step) {
                               return step.message == Message::server_master_key_exchange;
                             });
      if (!other.multicast || !same(position) || (hello_seen && other.smke_sealed() != flow().smke_sealed())) continue;
      if (smke_seen && other.flow != GetParam()) continue;
      next.push_back(other.steps[position]);
    }
    for (const Stimulus& stimulus : stimuli(GetParam(), Side::server, position)) {
      if (stimulus.kind == Stimulus::Kind::record || stimulus.step.from != Side::server) continue;
      Allowing allowing(GetParam(), allowed);
      Stage stage(GetParam(), Side::client);
      ASSERT_TRUE(stage.walk_to(position)) << stage.verdict().why;
      stage.send(stimulus);
      const bool wanted =
          stimulus.kind == Stimulus::Kind::step && std::any_of(next.begin(), next.end(), [&](const Step& step) {
            return step.from == Side::server && step.message == stimulus.step.message &&
                   (step.message != Message::finished || step.keys == stimulus.step.keys);
          });
      EXPECT_EQ(!stage.verdict().failed, wanted)
          << name(GetParam()) << ", position " << position << ", " << stimulus.name << ": " << stage.verdict().why;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Flows, AutoWithRequest, ::testing::ValuesIn(multicast_flows(true)),
                         [](const auto& play) { return identifier(play.param); });
INSTANTIATE_TEST_SUITE_P(Flows, Auto, ::testing::ValuesIn(multicast_flows(false)),
                         [](const auto& play) { return identifier(play.param); });

// ---------------------------------------------------------------- claim 1

// Where each record of a stream begins, and its end.
std::vector<std::size_t> record_places(const Bytes& stream) {
  std::vector<std::size_t> places{0};
  while (places.back() + record_header_size <= stream.size())
    places.push_back(places.back() + record_header_size + stream[places.back() + 3] * 256u + stream[places.back() + 4]);
  return places;
}

struct Conversation {
  Bytes before;  // everything both ends sent up to SMKE
  Bytes smke;    // its record
  Bytes answer;  // what the member sent at once
  bool joined = false;
};

// The same two ends, with the same random numbers; only the flag that the server sets in SMKE differs.
Conversation with_order(SecondCcs order, Flow flow) {
  const Credentials ed25519 = world_of(flow).client_config.credentials;  // an RSA signature is salted
  Allowing allowing(flow, every_group_flow());
  World& world = allowing.world();
  world.client_config.credentials = ed25519;
  const GroupFlow kept = world.authority.flow;
  world.authority.flow.second_ccs = order;
  SeededRandom client_random(1), server_random(2);
  const auto server = make_server(std::make_shared<ServerConfig>(world.server_config), world.authority, server_random);
  const auto client = make_client(std::make_shared<ClientConfig>(world.client_config), client_random);
  Conversation said;
  for (int turn = 0; turn < 10 && said.smke.empty(); ++turn) {
    const Bytes there = client->take_output();
    said.before.insert(said.before.end(), there.begin(), there.end());
    (void)server->receive(there, test_now);
    for (const Event& event : server->take_events())
      if (std::get_if<PasswordPresented>(&event) != nullptr) (void)server->password_checked(true, test_now);
    Bytes back = server->take_output();
    // SMKE is sent once keying was issued: the last handshake record of this flight.
    if (world.authority.issued > 0) {
      const auto places = record_places(back);
      std::size_t smke = 0;
      for (std::size_t i = 0; i + 1 < places.size(); ++i)
        if (back[places[i]] == 22) smke = i;
      said.before.insert(said.before.end(), back.begin(), back.begin() + static_cast<std::ptrdiff_t>(places[smke]));
      said.smke.assign(back.begin() + static_cast<std::ptrdiff_t>(places[smke]),
                       back.begin() + static_cast<std::ptrdiff_t>(places[smke + 1]));
      const Bytes rest(back.begin() + static_cast<std::ptrdiff_t>(places[smke + 1]), back.end());
      back.resize(places[smke + 1]);
      (void)client->receive(back, test_now);
      said.answer = client->take_output();
      if (!said.answer.empty()) (void)server->receive(said.answer, test_now);
      (void)client->receive(rest, test_now);
      std::vector<Event> told_client, told_server;
      play(*client, *server, told_client, told_server);
    } else {
      said.before.insert(said.before.end(), back.begin(), back.end());
      (void)client->receive(back, test_now);
    }
  }
  said.joined = client->established() && server->established();
  world.authority.flow = kept;
  return said;
}

class Claim1 : public ::testing::TestWithParam<Flow> {};

TEST_P(Claim1, P3_P25_H30_TheOrderChangesDependingOnTheFlagInTheServersMessageAlone) {
  const Conversation first = with_order(SecondCcs::claim5, GetParam());
  const Conversation last = with_order(SecondCcs::description, GetParam());
  ASSERT_TRUE(first.joined && last.joined);
  EXPECT_EQ(first.before, last.before) << "up to SMKE the two connections are the same, byte for byte";

  // AES-GCM under the same key and nonce: where the ciphertexts differ, the plaintexts do. One byte does, that of the
  // flag, behind record header, nonce, message header, version and the flag's type.
  ASSERT_EQ(first.smke.size(), last.smke.size());
  const std::size_t flag = record_header_size + 8 + 4 + 2;
  for (std::size_t i = 0; i + 16 < first.smke.size(); ++i)
    EXPECT_EQ(first.smke[i] ^ last.smke[i], i == flag ? 1 ^ 2 : 0) << i;

  // Claim 5: the member waits for the server's ChangeCipherSpec. Description: its own comes first, Finished behind it.
  EXPECT_TRUE(first.answer.empty());
  const auto places = record_places(last.answer);
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(last.answer[0], 20) << "ChangeCipherSpec";
  EXPECT_EQ(last.answer[places[1]], 22) << "Finished";
}

INSTANTIATE_TEST_SUITE_P(Flows, Claim1,
                         ::testing::Values(Flow::variant2_claim5, Flow::variant3_password_claim5,
                                           Flow::variant3_both_claim5),
                         [](const auto& play) { return identifier(play.param); });

// ---------------------------------------------------------------- mixtures

// A server that chooses a suite of one variant and plays the order of another.
TEST(AutoMixture, SEQ1_H30_TheOrderOfAnotherVariantThanTheSuitesIsFatal) {
  const auto play_against = [](Flow suite_of, std::vector<Message> messages) {
    Allowing allowing(suite_of, every_group_flow());
    const auto client = allowing.world().client();
    Puppet puppet(Side::server, allowing.world(), true);
    puppet.receive(client->take_output());
    for (const Message message : messages) {
      puppet.send({Side::server, message});
      (void)client->receive(puppet.take_output(), test_now);
    }
    EXPECT_TRUE(client->failed());
    EXPECT_EQ(allowing.passwords, 0);
    return client->failure() ? *client->failure() : HandshakeError{};
  };
  using enum Message;
  // Variant 1's order under variant 2's suite, and the other way round.
  const auto as_one = play_against(Flow::variant2_claim5, {server_hello, certificate, certificate_request});
  EXPECT_EQ(as_one.reason, Reason::unexpected_message) << as_one.message();
  EXPECT_EQ(as_one.alert, Alert::unexpected_message);
  const auto as_two = play_against(Flow::variant1, {server_hello, certificate, server_key_exchange});
  EXPECT_EQ(as_two.reason, Reason::standard_server_refused) << as_two.message();
  EXPECT_EQ(as_two.alert, Alert::handshake_failure);
}

// SMKE announces that the server's ChangeCipherSpec comes first, and the server waits for the member's. What it sends
// in the end covers no Finished of the member.
TEST(AutoMixture, SMKE5_H30_AnotherOrderThanSmkeAnnouncesIsFatal) {
  Allowing allowing(Flow::variant2_description, every_group_flow());
  const auto client = allowing.world().client();
  Puppet puppet(Side::server, allowing.world(), true);
  puppet.second_ccs = SecondCcs::claim5;
  puppet.receive(client->take_output());
  for (const Step& step : definition(Flow::variant2_description).steps) {
    if (step.from != Side::server || client->failed()) continue;
    puppet.send(step);
    (void)client->receive(puppet.take_output(), test_now);
    if (step.keys != Keys::channel) puppet.receive(client->take_output());
    if (step.message == Message::server_master_key_exchange) {
      EXPECT_TRUE(client->take_output().empty()) << "it waits, too";
    }
  }
  ASSERT_TRUE(client->failed());
  EXPECT_EQ(client->failure()->reason, Reason::finished_invalid) << client->failure()->message();
}

}  // namespace
}  // namespace sealcast::handshake::adversary
