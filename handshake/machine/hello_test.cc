// DOWN-1, FLAG-1, FLAG-2, H4 and the rules on hellos: what is offered, answered and refused.
#include <gtest/gtest.h>

#include <algorithm>

#include "handshake/messages/client_hello.h"
#include "handshake/messages/server_hello.h"
#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

ClientHello good_hello() {
  ClientHello hello;
  hello.suites = {0xc02c, 0xc02b};
  hello.groups = {29, 23};
  hello.signature_schemes = {0x0403, 0x0804};
  hello.extended_master_secret = true;
  hello.renegotiation_info = Bytes();
  hello.multicast_group = "tv";
  return hello;
}

Bytes as_record(std::uint8_t type, ByteView body) {
  Writer message;
  message.u8(type);
  message.vector24(body);
  Bytes out;
  RecordWriter().write(ContentType::handshake, message.view(), out);
  return out;
}

// The server's answer to one hello: nullopt if it went on.
std::optional<HandshakeError> answer(const ClientHello& hello, const std::function<void(World&)>& prepare = nullptr) {
  World world;
  world.server_config.allow_standard = true;
  if (prepare) prepare(world);
  const auto server = world.server();
  const auto done = server->receive(as_record(1, *encode(hello)), test_now);
  if (done) return std::nullopt;
  return done.error();
}

TEST(ClientHelloRules, TheGoodOneIsAnswered) {
  EXPECT_FALSE(answer(good_hello()));
}

TEST(ClientHelloRules, P31_TheGroupsSuiteIsChosenWhateverTheClientPrefers) {
  for (const Flow flow : every_flow) {
    if (!definition(flow).multicast) continue;
    World world(flow);
    ClientHello hello = good_hello();
    hello.suites = {0x1301, 0xc02b, 0xc02f, 0x009c, 0x002f, 0xc030, 0x009d, 0xc02c, 0x00ff};
    const auto server = world.server();
    ASSERT_TRUE(server->receive(as_record(1, *encode(hello)), test_now)) << server->failure()->message();
    const Bytes flight = server->take_output();
    const auto answer = decode_server_hello(ByteView(flight).subspan(9, load_be<std::uint16_t>(&flight[7])));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->suite, static_cast<std::uint16_t>(world.authority.flow.suite)) << name(flow);
  }
}

// RFC 8422 §5.2: with an ECC suite, and to a client that sent it.
TEST(ClientHelloRules, PointFormatsAreAnsweredWhereTheyMatter) {
  for (const Flow flow : every_flow) {
    for (const bool sent : {true, false}) {
      World world(flow);
      ClientHello hello = good_hello();
      if (!definition(flow).multicast) hello.multicast_group.reset();
      hello.suites = {static_cast<std::uint16_t>(world.authority.flow.suite)};
      if (!sent) hello.point_formats.reset();
      const auto server = world.server();
      ASSERT_TRUE(server->receive(as_record(1, *encode(hello)), test_now)) << server->failure()->message();
      const Bytes flight = server->take_output();
      const auto answer = decode_server_hello(ByteView(flight).subspan(9, load_be<std::uint16_t>(&flight[7])));
      ASSERT_TRUE(answer);
      EXPECT_EQ(answer->point_formats, sent && !definition(flow).smke_sealed() ? std::optional(Bytes{0}) : std::nullopt)
          << name(flow);
    }
  }
}

TEST(ServerHelloRules, PointFormatsWithoutUncompressedPointsAreRefused) {
  World world(Flow::standard);
  const auto client = world.client();
  ServerHello hello;
  hello.suite = static_cast<std::uint16_t>(world.authority.flow.suite);
  hello.extended_master_secret = true;
  hello.renegotiation_info = Bytes();
  hello.point_formats = Bytes{1};
  const auto taken = client->receive(as_record(2, *encode(hello)), test_now);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason, Reason::illegal_parameter) << taken.error().message();
}

TEST(ClientHelloRules, DOWN1_OldVersionsAndMissingProtections) {
  struct Case {
    Reason reason;
    Alert alert;
    std::function<void(ClientHello&)> bend;
  };
  const std::vector<Case> cases = {
      {Reason::protocol_version, Alert::protocol_version, [](ClientHello& h) { h.version = 0x0300; }},
      {Reason::protocol_version, Alert::protocol_version, [](ClientHello& h) { h.version = 0x0301; }},
      {Reason::protocol_version, Alert::protocol_version, [](ClientHello& h) { h.version = 0x0302; }},
      {Reason::protocol_version, Alert::protocol_version, [](ClientHello& h) { h.supported_versions = {0x0304}; }},
      {Reason::inappropriate_fallback, Alert::inappropriate_fallback,
       [](ClientHello& h) {
         h.version = 0x0302;
         h.suites.push_back(fallback_scsv);
       }},
      {Reason::no_extended_master_secret, Alert::handshake_failure,
       [](ClientHello& h) { h.extended_master_secret = false; }},
      {Reason::no_secure_renegotiation, Alert::handshake_failure,
       [](ClientHello& h) { h.renegotiation_info = Bytes(12, 0); }},
      {Reason::no_common_curve, Alert::handshake_failure,
       [](ClientHello& h) {
         h.groups = {24, 25};
       }},
      {Reason::no_common_signature, Alert::handshake_failure, [](ClientHello& h) { h.signature_schemes = {0x0201}; }},
      {Reason::no_common_signature, Alert::handshake_failure, [](ClientHello& h) { h.signature_schemes.clear(); }},
      {Reason::illegal_parameter, Alert::illegal_parameter, [](ClientHello& h) { h.compression_methods = {1}; }},
      {Reason::illegal_parameter, Alert::illegal_parameter,
       [](ClientHello& h) {
         h.point_formats = Bytes{1, 2};
       }},
      {Reason::group_suite_not_offered, Alert::handshake_failure, [](ClientHello& h) { h.suites = {0xc02b}; }},
      {Reason::group_refused, Alert::access_denied, [](ClientHello& h) { h.multicast_group = "radio"; }},
      {Reason::no_common_suite, Alert::handshake_failure,
       [](ClientHello& h) {
         h.multicast_group.reset();
         h.suites = {0xc030, 0x009c, 0x002f};
       }},
  };
  for (const Case& one : cases) {
    ClientHello hello = good_hello();
    one.bend(hello);
    const auto error = answer(hello);
    ASSERT_TRUE(error) << name(one.reason);
    EXPECT_EQ(error->reason, one.reason) << error->message();
    EXPECT_EQ(error->alert, one.alert);
  }
}

TEST(ClientHelloRules, ToleratedThings) {
  const std::vector<std::function<void(ClientHello&)>> cases = {
      [](ClientHello& h) { h.session_id = Bytes(32, 7); },        // answered with an empty one
      [](ClientHello& h) { h.suites.push_back(fallback_scsv); },  // our newest version is asked for
      [](ClientHello& h) {
        h.supported_versions = {0x0304, 0x0303};
      },  // TLS 1.3 preferred, 1.2 offered
      [](ClientHello& h) { h.version = 0x0304; },
      [](ClientHello& h) { h.renegotiation_info.reset(); },
      [](ClientHello& h) { h.groups.clear(); },
      [](ClientHello& h) { h.groups = {23}; },
      [](ClientHello& h) { h.point_formats.reset(); },
      [](ClientHello& h) { h.server_name = "anything.example"; },
      [](ClientHello& h) {
        h.compression_methods = {1, 0};
      },
  };
  int index = 0;
  for (const auto& bend : cases) {
    ClientHello hello = good_hello();
    bend(hello);
    const auto error = answer(hello);
    EXPECT_FALSE(error) << index << ": " << error->message();
    ++index;
  }
}

TEST(ClientHelloRules, UnknownExtensionsAreIgnoredDoubledOnesRefused) {
  const auto body = *encode(good_hello());
  const auto with = [&body](ByteView extra) {
    // the extension block is the last thing: its length stands before it
    Reader reader("test", body);
    (void)reader.bytes(2 + 32, "");
    (void)reader.vector8(0, 32, "");
    (void)reader.vector16(0, 0xffff, "");
    (void)reader.vector8(0, 255, "");
    const std::size_t at = reader.offset();
    Bytes changed(body.begin(), body.end());
    changed.insert(changed.end(), extra.begin(), extra.end());
    store_be<std::uint16_t>(changed.data() + at, static_cast<std::uint16_t>(changed.size() - at - 2));
    World world;
    return world.server()->receive(as_record(1, changed), test_now);
  };
  EXPECT_TRUE(with(Bytes{0x12, 0x34, 0, 3, 1, 2, 3}));
  const auto doubled = with(Bytes{0, 23, 0, 0});
  ASSERT_FALSE(doubled);
  EXPECT_EQ(doubled.error().reason, Reason::illegal_parameter);
  EXPECT_FALSE(with(Bytes{0x12, 0x34, 0, 9, 1}));
  const auto empty_group = with(Bytes{0xff, 0x78, 0, 1, 0});
  EXPECT_FALSE(empty_group);
}

// ---------------------------------------------------------------- the member against servers that are not what they
// seem

struct ServerHelloCase {
  Reason reason;
  std::function<void(ServerHello&)> bend;
};

TEST(ServerHelloRules, DOWN1_AMemberRefusesWhatItDidNotOffer) {
  const std::vector<ServerHelloCase> cases = {
      {Reason::protocol_version, [](ServerHello& h) { h.version = 0x0302; }},
      {Reason::protocol_version, [](ServerHello& h) { h.version = 0x0304; }},
      {Reason::illegal_parameter, [](ServerHello& h) { h.suite = 0xc02b; }},
      {Reason::illegal_parameter, [](ServerHello& h) { h.suite = 0x009d; }},
      {Reason::illegal_parameter, [](ServerHello& h) { h.suite = 0xffff; }},
      {Reason::illegal_parameter, [](ServerHello& h) { h.compression_method = 1; }},
      {Reason::no_extended_master_secret, [](ServerHello& h) { h.extended_master_secret = false; }},
      {Reason::no_secure_renegotiation, [](ServerHello& h) { h.renegotiation_info.reset(); }},
      {Reason::no_secure_renegotiation, [](ServerHello& h) { h.renegotiation_info = Bytes(24, 1); }},
  };
  for (const ServerHelloCase& one : cases) {
    ServerHello hello;
    hello.suite = 0xc02c;
    hello.extended_master_secret = true;
    hello.renegotiation_info = Bytes();
    one.bend(hello);
    World world;
    const auto client = world.client();
    const auto done = client->receive(as_record(2, *encode(hello)), test_now);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().reason, one.reason) << done.error().message();
  }
}

TEST(ServerHelloRules, AnExtensionNeverOfferedIsRefused) {
  ServerHello hello;
  hello.suite = 0xc02c;
  hello.extended_master_secret = true;
  SensitiveBytes body = *encode(hello);  // ends with the extension block: length 4, type 23, length 0
  const Bytes alpn = {0, 16, 0, 0};
  body.insert(body.end(), alpn.begin(), alpn.end());
  body[body.size() - 9] = static_cast<std::uint8_t>(body[body.size() - 9] + 4);
  World world;
  const auto done = world.client()->receive(as_record(2, body), test_now);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, Reason::unsupported_extension) << done.error().message();
}

TEST(ServerFlightRules, DOWN1_SEQ2_WhatAMemberDoesNotTakeOrCannotAnswer) {
  struct Case {
    Reason reason;
    Message message;
    std::function<void(SensitiveBytes&)> bend;
  };
  const std::vector<Case> cases = {
      // curve_type, then the curve: secp384r1, a strong one that was not offered
      {Reason::illegal_parameter, Message::server_key_exchange, [](SensitiveBytes& body) { body[2] = 24; }},
      // certificate types 64, 1, 30: nothing for an elliptic key any more
      {Reason::certificate_wrong_key_type, Message::certificate_request, [](SensitiveBytes& body) { body[1] = 2; }},
      // their seven signature algorithms: all with SHA-1
      {Reason::no_common_signature, Message::certificate_request,
       [](SensitiveBytes& body) {
         for (std::size_t at = 6; at < 20; ++at)
           body[at] = at % 2 == 0 ? 2 : 1;
       }},
      // the chain's length, the leaf's length, then the leaf
      {Reason::certificate_malformed, Message::certificate, [](SensitiveBytes& body) { body[6] ^= 0xff; }},
  };
  World world;
  for (const Case& one : cases) {
    const auto client = world.client();
    Puppet puppet(Side::server, world, true);
    puppet.bend = [&one](const Step& step, SensitiveBytes& body) {
      if (step.message == one.message) one.bend(body);
    };
    puppet.receive(client->take_output());
    for (const Step& step : flow_list::variant2_claim5) {
      if (step.from != Side::server || client->failed()) continue;
      puppet.send(step);
      (void)client->receive(puppet.take_output(), test_now);
      puppet.receive(client->take_output());
    }
    ASSERT_TRUE(client->failed());
    EXPECT_EQ(client->failure()->reason, one.reason) << client->failure()->message();
    EXPECT_EQ(puppet.alert_records(), 1);
    EXPECT_EQ(puppet.seen(), (std::vector<std::string>{"ClientHello", "alert"})) << "no key material leaves";
  }
}

TEST(ServerFlightRules, AStandardClientWithoutACertificateGivesUpWithAClearLine) {
  World world(Flow::standard_mutual);
  world.client_config.credentials = Credentials();
  const auto server = world.server();
  const auto client = world.client();
  pump(*client, *server);
  ASSERT_TRUE(client->failed());
  EXPECT_EQ(client->failure()->reason, Reason::own_certificate_missing);
}

TEST(ClientHelloRules, AGroupWhoseFlowDoesNotGoTogetherIsRefused) {
  const auto error = answer(good_hello(), [](World& world) { world.authority.flow.variant = 3; });
  ASSERT_TRUE(error);
  EXPECT_EQ(error->reason, Reason::flow_unsupported);
}

TEST(Flag, FLAG1_AStrippedFlagEndsBothEnds) {
  World world;
  const auto server = world.server();
  const auto client = world.client();
  (void)server->receive(client->take_output(), test_now);
  Bytes flight = server->take_output();
  // CertificateRequest: 13, length, then 3 types: 64 1 30. The attacker makes the flag a second rsa_sign.
  const Bytes pattern = {3, 64, 1, 30};
  const auto at = std::search(flight.begin(), flight.end(), pattern.begin(), pattern.end());
  ASSERT_NE(at, flight.end());
  *(at + 3) = 1;
  const auto done = client->receive(flight, test_now);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, Reason::flag_missing);
  EXPECT_NE(done.error().message().find("never falls back"), std::string::npos);
  const Bytes last_words = client->take_output();
  EXPECT_EQ(last_words.size(), 7u) << "one alert, no key material";
  EXPECT_FALSE(server->receive(last_words, test_now));
  EXPECT_TRUE(server->failed());
}

TEST(Flag, FLAG1_AChangedTranscriptIsNoticedByTheServerToo) {
  // A client that does not mind the missing flag: its transcript differs, so its CertificateVerify does not verify.
  World world;
  const auto server = world.server();
  Puppet puppet(Side::client, world, true);
  puppet.send({Side::client, Message::client_hello});
  (void)server->receive(puppet.take_output(), test_now);
  Bytes flight = server->take_output();
  const Bytes pattern = {3, 64, 1, 30};
  *(std::search(flight.begin(), flight.end(), pattern.begin(), pattern.end()) + 3) = 1;
  puppet.receive(flight);
  for (const Message message : {Message::certificate, Message::client_key_exchange, Message::certificate_verify}) {
    puppet.send({Side::client, message});
    (void)server->receive(puppet.take_output(), test_now);
  }
  ASSERT_TRUE(server->failed());
  EXPECT_EQ(server->failure()->reason, Reason::signature_invalid);
}

TEST(Flag, FLAG2_AStandardClientRefusesTheFlagAndSmke) {
  World world;
  world.make_standard(true);
  world.client_config.standard_suites = {world.authority.flow.suite};
  const auto client = world.client();
  Puppet puppet(Side::server, world, true);  // sends the flag
  puppet.receive(client->take_output());
  for (const Message message :
       {Message::server_hello, Message::certificate, Message::server_key_exchange, Message::certificate_request})
    puppet.send({Side::server, message});
  const auto done = client->receive(puppet.take_output(), test_now);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, Reason::flag_unexpected);
}

TEST(Flag, FLAG2_FLAG3_SmkeWithAnotherFlagOrOrder) {
  struct Case {
    Reason reason;
    std::size_t offset;  // in SMKE's body: version, flag, second_ccs
    std::uint8_t value;
  };
  for (const Case& one : {Case{Reason::smke_version_unknown, 0, 1}, Case{Reason::flag_unexpected, 1, 31},
                          Case{Reason::wrong_second_ccs, 2, 2}, Case{Reason::wrong_second_ccs, 2, 0},
                          Case{Reason::wrong_second_ccs, 2, 3}}) {
    World world;
    const auto client = world.client();
    Puppet puppet(Side::server, world, true);
    puppet.bend = [&one](const Step& step, SensitiveBytes& body) {
      if (step.message == Message::server_master_key_exchange) body[one.offset] = one.value;
    };
    puppet.receive(client->take_output());
    for (const Step& step : flow_list::variant2_claim5) {
      if (step.from != Side::server || client->failed()) continue;
      puppet.send(step);
      (void)client->receive(puppet.take_output(), test_now);
      puppet.receive(client->take_output());
    }
    ASSERT_TRUE(client->failed());
    EXPECT_EQ(client->failure()->reason, one.reason) << client->failure()->message();
  }
}

TEST(Flag, H3_EveryBitOfServerVerifyDataCounts) {
  World world;  // certificates are made once
  for (std::size_t bit = 0; bit < 96; ++bit) {
    bool asked = false;
    world.client_config.accept_keying = [&asked](const GroupKeying&, const EpochId&) -> sealcast::Result<void> {
      asked = true;
      return {};
    };
    const auto client = world.client();
    Puppet puppet(Side::server, world, true);
    puppet.bend = [bit](const Step& step, SensitiveBytes& body) {
      if (step.message != Message::server_master_key_exchange) return;
      const std::size_t at = body.size() - 2 - 12 + bit / 8;
      body[at] = static_cast<std::uint8_t>(body[at] ^ (1u << (bit % 8)));
    };
    puppet.receive(client->take_output());
    for (const Step& step : flow_list::variant2_claim5) {
      if (step.from != Side::server || client->failed()) continue;
      puppet.send(step);
      (void)client->receive(puppet.take_output(), test_now);
      puppet.receive(client->take_output());
    }
    ASSERT_TRUE(client->failed());
    EXPECT_EQ(client->failure()->reason, Reason::server_verify_data_invalid);
    EXPECT_FALSE(asked) << "nothing of SMKE is used before its proof holds";
  }
}

TEST(Curve, Secp256r1WorksAsWell) {
  World world;
  const auto client = world.client();
  Puppet puppet(Side::server, world, true);
  puppet.curve = NamedGroup::secp256r1;
  puppet.receive(client->take_output());
  for (const Step& step : flow_list::variant2_claim5) {
    if (step.from != Side::server) continue;
    puppet.send(step);
    (void)client->receive(puppet.take_output(), test_now);
    puppet.receive(client->take_output());
  }
  EXPECT_TRUE(client->established()) << client->failure()->message();
}

TEST(Garbage, BytesThatAreNoTlsGetOneClearLine) {
  World world;
  const auto server = world.server();
  const auto done = server->receive(as_bytes("GET / HTTP/1.1\r\n\r\n"), test_now);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, Reason::not_tls);
  EXPECT_NE(done.error().message().find("server, flow undecided, waiting for ClientHello"), std::string::npos)
      << done.error().message();
}

}  // namespace
}  // namespace sealcast::handshake
