// Variant 3: a password or PIN, asked for over the channel (P28-P30). When it leaves the member and when not (H7,
// AUTH-1), what the key server does while it is checked, and that a refusal says nothing (AUTH-2).
#include <gtest/gtest.h>

#include <set>

#include "handshake/messages/client_auth.h"
#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

class Variant3 : public ::testing::TestWithParam<Flow> {
 protected:
  Variant3() : world_(GetParam()) {}
  static std::span<const Step> steps() { return definition(GetParam()).steps; }

  // A real member against a puppet, whose ClientAuthRequest is bent; as far as it comes.
  std::unique_ptr<Endpoint> member_against(const std::function<void(SensitiveBytes&)>& bend_request, Puppet& server) {
    auto client = world_.client();
    server.bend = [bend_request](const Step& step, SensitiveBytes& body) {
      if (step.message == Message::client_auth_request) bend_request(body);
    };
    server.receive(client->take_output());
    for (const Step& step : steps()) {
      if (step.from != Side::server || client->failed()) continue;
      server.send(step);
      (void)client->receive(server.take_output(), test_now);
      server.receive(client->take_output());
    }
    return client;
  }
  void expect_kept(Reason reason, const std::function<void(SensitiveBytes&)>& bend, const std::string& what) {
    world_.passwords_fetched = 0;
    Puppet server(Side::server, world_, true);
    const auto client = member_against(bend, server);
    ASSERT_TRUE(client->failed()) << what;
    EXPECT_EQ(client->failure()->reason, reason) << what << ": " << client->failure()->message();
    EXPECT_EQ(world_.passwords_fetched, 0) << what << ": the password is not even fetched";
    EXPECT_FALSE(server.password_seen()) << what;
    EXPECT_EQ(server.alert_records(), 1) << what;
  }
  // A puppet member that has sent everything up to and with its ClientAuthResponse to a server without a doorkeeper.
  std::unique_ptr<Endpoint> server_asked(Puppet& member) {
    world_.passwords = nullptr;
    auto server = world_.server();
    for (const Step& step : steps()) {
      if (step.from != Side::client) continue;
      member.send(step);
      EXPECT_TRUE(server->receive(member.take_output(), test_now));
      member.receive(server->take_output());
      if (step.message == Message::client_auth_response) break;
    }
    return server;
  }
  // … and what it sends from then on.
  void finish(Puppet& member, Endpoint& server) {
    bool after = false;
    for (const Step& step : steps()) {
      if (after && step.from == Side::client) {
        member.send(step);
        (void)server.receive(member.take_output(), test_now);
        member.receive(server.take_output());
      }
      after = after || step.message == Message::client_auth_response;
    }
  }

  World world_;
};

TEST_P(Variant3, H7_AUTH1_NoPasswordWithoutTheServersProof) {
  for (std::size_t bit = 0; bit < 96; ++bit)
    expect_kept(
        Reason::server_verify_data_invalid,
        [bit](SensitiveBytes& body) {
          const std::size_t at = body.size() - verify_data_size + bit / 8;
          body[at] = static_cast<std::uint8_t>(body[at] ^ (1u << (bit % 8)));
        },
        "bit " + std::to_string(bit));
}

TEST_P(Variant3, FLAG3_AUTH1_ARequestForSomethingElseGetsNoPassword) {
  // flag, methods<1>, key_server_id<…> "ks.example", group_id<…> "tv", realm<0>
  expect_kept(
      Reason::flag_missing, [](SensitiveBytes& body) { body[0] = 0; }, "without the flag");
  expect_kept(
      Reason::flag_unexpected, [](SensitiveBytes& body) { body[0] = 31; }, "another flag");
  expect_kept(
      Reason::auth_method_refused, [](SensitiveBytes& body) { body[2] = 9; }, "an unknown method");
  expect_kept(
      Reason::wrong_key_server, [](SensitiveBytes& body) { body[4] = 'x'; }, "another key server");
  expect_kept(
      Reason::wrong_group, [](SensitiveBytes& body) { body[15] = 'x'; }, "another group");
}

TEST_P(Variant3, H7_TheMembersOwnTroubleIsToldToItselfAlone) {
  world_.client_config.password = []() -> sealcast::Result<PasswordCredential> {
    return fail("anna.pass: cannot be read");
  };
  const auto server = world_.server();
  const auto client = world_.client();
  pump(*client, *server);
  ASSERT_TRUE(client->failed());
  EXPECT_EQ(client->failure()->reason, Reason::own_password_missing);
  EXPECT_NE(client->failure()->message().find("anna.pass"), std::string::npos);
  EXPECT_EQ(server->failure()->alert, Alert::internal_error);
  for (const auto& [user, secret] : std::vector<std::pair<std::string, std::string>>{
           {"", "x"}, {std::string(65, 'u'), "x"}, {"an\nna", "x"}, {"anna", ""}, {"anna", std::string(129, 's')}}) {
    world_.client_config.password = [&name = user, &word = secret]() -> sealcast::Result<PasswordCredential> {
      PasswordCredential credential{name, SecretBytes(word.size())};
      std::copy(word.begin(), word.end(), credential.secret.data());
      return credential;
    };
    const auto again = world_.server();
    const auto bad = world_.client();
    pump(*bad, *again);
    ASSERT_TRUE(bad->failed());
    EXPECT_EQ(bad->failure()->reason, Reason::own_password_missing);
    EXPECT_EQ(bad->failure()->message().find("sss"), std::string::npos) << "H14";
  }
}

TEST_P(Variant3, P28_P29_TheServerStandsStillUntilThePasswordIsChecked) {
  Puppet member(Side::client, world_, true);
  const auto server = server_asked(member);
  EXPECT_EQ(member.seen().back(), "ClientAuthRequest");
  auto events = server->take_events();
  auto presented = find_event<PasswordPresented>(events);
  ASSERT_TRUE(presented);
  EXPECT_EQ(presented->group_id, "tv");
  EXPECT_EQ(presented->user, test_user);
  EXPECT_EQ(std::string(presented->secret.view().begin(), presented->secret.view().end()), test_password);
  EXPECT_TRUE(server->take_output().empty());
  EXPECT_EQ(world_.authority.issued, 0);
  EXPECT_FALSE(server->established() || server->failed());
  ASSERT_TRUE(server->password_checked(true, test_now));
  member.receive(server->take_output());
  EXPECT_EQ(world_.authority.issued, 1);
  finish(member, *server);
  ASSERT_TRUE(server->established());
  events = server->take_events();
  EXPECT_EQ(find_event<Established>(events)->peer.user, test_user);
}

TEST_P(Variant3, AUTH2_ARefusalIsOneAlertAndReleasesNothing) {
  Puppet member(Side::client, world_, true);
  const auto server = server_asked(member);
  const auto refused = server->password_checked(false, test_now);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, Reason::password_refused);
  EXPECT_EQ(refused.error().message().find(test_password), std::string::npos) << "H14";
  member.receive(server->take_output());
  EXPECT_EQ(member.alert_records(), 1);
  EXPECT_EQ(member.alert_code(), static_cast<std::uint8_t>(Alert::access_denied));
  EXPECT_TRUE(server->failed());
  EXPECT_EQ(world_.authority.issued, 0);
  EXPECT_FALSE(server->password_checked(true, test_now)) << "a refusal is final";
  EXPECT_TRUE(server->take_output().empty());
  auto events = server->take_events();
  EXPECT_FALSE(find_event<Established>(events) || find_event<KeyingSent>(events));
}

TEST_P(Variant3, AUTH2_UnknownUserAndWrongPasswordLookAlike) {
  std::vector<Bytes> answers;
  for (const auto& [user, secret] :
       std::vector<std::pair<std::string, std::string>>{{test_user, "wrong"}, {"nobody", test_password}}) {
    world_.client_config.password = [&name = user, &word = secret]() -> sealcast::Result<PasswordCredential> {
      PasswordCredential credential{name, SecretBytes(word.size())};
      std::copy(word.begin(), word.end(), credential.secret.data());
      return credential;
    };
    const auto server = world_.server();
    const auto client = world_.client();
    pump(*client, *server);
    ASSERT_TRUE(client->failed() && server->failed());
    EXPECT_EQ(client->failure()->alert, Alert::access_denied);
    EXPECT_EQ(server->failure()->reason, Reason::password_refused);
  }
  EXPECT_EQ(world_.authority.issued, 0);
}

TEST_P(Variant3, AUTH1_WhatComesWhileThePasswordIsCheckedIsFatal) {
  const std::vector<std::function<void(Puppet&)>> early = {
      [](Puppet& p) {
        p.send({Side::client, Message::client_auth_response});
      },
      [](Puppet& p) {
        p.send({Side::client, Message::change_cipher_spec, Keys::first});
      },
      [](Puppet& p) {
        p.send({Side::client, Message::finished, Keys::channel});
      },
      [](Puppet& p) { p.send_record(ContentType::application_data, Bytes{1}); },
      [](Puppet& p) { p.send_handshake(0, {}); },
  };
  for (const auto& send : early) {
    Puppet member(Side::client, world_, true);
    const auto server = server_asked(member);
    send(member);
    const auto done = server->receive(member.take_output(), test_now);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().alert, Alert::unexpected_message) << done.error().message();
    EXPECT_FALSE(server->password_checked(true, test_now)) << "the answer comes too late";
    EXPECT_EQ(world_.authority.issued, 0);
  }
  Puppet member(Side::client, world_, true);
  const auto server = server_asked(member);
  member.send_record(ContentType::alert, Bytes{2, 40});
  EXPECT_FALSE(server->receive(member.take_output(), test_now));
  EXPECT_FALSE(server->password_checked(true, test_now));
  EXPECT_EQ(world_.authority.issued, 0);
}

TEST_P(Variant3, PasswordCheckedWithoutAQuestionDoesNothing) {
  const auto server = world_.server();
  const auto client = world_.client();
  EXPECT_EQ(server->password_checked(true, test_now).error().reason, Reason::not_established);
  EXPECT_EQ(client->password_checked(true, test_now).error().reason, Reason::not_established);
  pump(*client, *server);
  ASSERT_TRUE(server->established() && client->established());
  EXPECT_FALSE(server->password_checked(false, test_now));
  EXPECT_TRUE(server->established() && !server->failed());
}

TEST_P(Variant3, AUTH1_ABentResponseIsFatalAndNeverChecked) {
  const std::vector<std::tuple<const char*, Reason, std::function<void(SensitiveBytes&)>>> cases = {
      {"one byte more", Reason::decode_error, [](SensitiveBytes& b) { b.push_back(0); }},
      {"one byte less", Reason::decode_error, [](SensitiveBytes& b) { b.pop_back(); }},
      {"oversize", Reason::decode_error, [](SensitiveBytes& b) { b.resize(4000); }},
      {"another method", Reason::auth_method_refused, [](SensitiveBytes& b) { b[0] = 2; }},
      {"no user", Reason::decode_error, [](SensitiveBytes& b) { b[1] = 0; }},
      {"65 bytes of user", Reason::decode_error, [](SensitiveBytes& b) { b[1] = 65; }},
      {"no password", Reason::decode_error, [](SensitiveBytes& b) { b[10] = 0; }},
      {"129 bytes of password", Reason::decode_error, [](SensitiveBytes& b) { b[10] = 129; }},
      {"a control character in the user", Reason::illegal_parameter, [](SensitiveBytes& b) { b[3] = '\n'; }},
      {"padding that is not zero", Reason::illegal_parameter, [](SensitiveBytes& b) { b.back() = 1; }},
  };
  world_.passwords = nullptr;
  for (const auto& [what, reason, bend] : cases) {
    const auto server = world_.server();
    Puppet member(Side::client, world_, true);
    member.bend = [&change = bend](const Step& step, SensitiveBytes& body) {
      if (step.message == Message::client_auth_response) change(body);
    };
    for (const Step& step : steps()) {
      if (step.from != Side::client || server->failed()) continue;
      member.send(step);
      (void)server->receive(member.take_output(), test_now);
      member.receive(server->take_output());
      if (step.message == Message::client_auth_response) break;
    }
    ASSERT_TRUE(server->failed()) << what;
    EXPECT_EQ(server->failure()->reason, reason) << what << ": " << server->failure()->message();
    auto events = server->take_events();
    EXPECT_FALSE(find_event<PasswordPresented>(events)) << what;
  }
}

TEST_P(Variant3, AUTH1_AReplayedResponseIsNothing) {
  Bytes recorded;
  for (int run = 0; run < 2; ++run) {
    world_.passwords = nullptr;
    const auto server = world_.server();
    Puppet member(Side::client, world_, true);
    for (const Step& step : steps()) {
      if (step.from != Side::client) continue;
      member.send(step);
      const Bytes bytes = member.take_output();
      if (step.message == Message::client_auth_response) {
        if (run == 0) {
          recorded = bytes;
        } else {
          EXPECT_EQ(server->receive(recorded, test_now).error().reason, Reason::bad_record_mac);
        }
        break;
      }
      ASSERT_TRUE(server->receive(bytes, test_now));
      member.receive(server->take_output());
    }
  }
}

TEST_P(Variant3, H7_TheRecordDoesNotTellHowLongThePasswordIs) {
  std::set<std::size_t> sizes;
  for (const std::size_t length : {1u, 8u, 64u, 128u}) {
    ClientAuthResponse message{auth_password, std::string(length / 2 + 1 > 64 ? 64 : length / 2 + 1, 'u'),
                               SecretBytes(length)};
    sizes.insert(encode(message)->size());
  }
  EXPECT_EQ(sizes, (std::set<std::size_t>{client_auth_response_size}));
}

TEST_P(Variant3, TheServerNeedsItsNameForTheRequest) {
  world_.server_config.key_server_id.clear();
  const auto server = world_.server();
  const auto client = world_.client();
  pump(*client, *server);
  EXPECT_EQ(server->failure()->reason, Reason::flow_unsupported);
}

INSTANTIATE_TEST_SUITE_P(Flows, Variant3,
                         ::testing::Values(Flow::variant3_password_claim5, Flow::variant3_password_description,
                                           Flow::variant3_both_claim5, Flow::variant3_both_description),
                         [](const auto& play) { return test_name(play.param); });

}  // namespace
}  // namespace sealcast::handshake
