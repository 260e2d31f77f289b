// PARSE-1: for every message each truncation, a trailing byte, and every length field one off; round trips; and the
// selectors and SPI arithmetic that SMKE-4 refuses.
#include <gtest/gtest.h>

#include <functional>

#include "handshake/messages/certificate.h"
#include "handshake/messages/certificate_request.h"
#include "handshake/messages/certificate_verify.h"
#include "handshake/messages/client_auth.h"
#include "handshake/messages/client_hello.h"
#include "handshake/messages/client_key_exchange.h"
#include "handshake/messages/control_codec.h"
#include "handshake/messages/server_hello.h"
#include "handshake/messages/server_hello_done.h"
#include "handshake/messages/server_key_exchange.h"
#include "handshake/messages/server_master_key_exchange.h"
#include "handshake/testing/in_process.h"

namespace sealcast::handshake {
namespace {

using testing::clone;
using testing::sample_keying;

struct Sample {
  std::string name;
  Bytes body;
  std::function<std::optional<HandshakeError>(ByteView)> decode;  // nullopt: accepted
  std::vector<std::size_t> length_fields;                         // offsets of their last bytes
  std::optional<std::size_t> valid_prefix;                        // size of a shorter message that is also whole
};

template <typename Decode>
std::function<std::optional<HandshakeError>(ByteView)> verdict(Decode decode) {
  return [decode](ByteView body) -> std::optional<HandshakeError> {
    const auto done = decode(body);
    if (done) return std::nullopt;
    return done.error();
  };
}

Bytes plain(const Outcome<SensitiveBytes>& bytes) {
  return {bytes->begin(), bytes->end()};
}

Sample smke_sample() {
  ServerMasterKeyExchange message;
  message.flag = 30;
  message.second_ccs = SecondCcs::claim5;
  message.keying = sample_keying();
  message.server_verify_data = VerifyData{1, 2, 3};
  Sample sample{"ServerMasterKeyExchange", plain(encode(message)), verdict(decode_server_master_key_exchange), {}, {}};
  // version flag order | id len @3 | "ks.example" | group len @14 | "tv" | epoch 8, state 1, remaining 8, clock 36 |
  // selectors
  const std::size_t selectors = 3 + 1 + 10 + 1 + 2 + 8 + 1 + 8 + 36;
  const std::size_t selector_bytes = 2 + 5 + 1 + 4;
  const std::size_t member = selectors + 2 + selector_bytes + 1 + 1 + 2 + 4 * 5 + 1 + 2;
  const std::size_t material = member + 1 + 8 + 1 + 2 + 2;
  const std::size_t extensions = material + 2 + 48;
  sample.length_fields = {
      3, 14, selectors + 1, member, material + 1, extensions + 1, extensions + 2, extensions + 2 + 13 + 1};
  return sample;
}

Sample sealed_smke_sample() {
  ServerMasterKeyExchange message;
  message.flag = 30;
  message.keying = sample_keying(CipherSuite::rsa_aes_256_gcm_sha384);
  message.sealed_keys = Bytes(256, 9);
  message.signature = Bytes(258, 8);
  const Bytes body = plain(encode(message));
  Sample sample{"sealed SMKE", body, verdict(decode_sealed_master_key_exchange), {}, {}};
  const std::size_t signature = body.size() - 260;
  sample.length_fields = {3, 14, signature - 3 - 256 - 1, signature - 2, signature - 1, signature + 1};
  return sample;
}

Sample auth_request_sample() {
  ClientAuthRequest message{30, {auth_password, 7}, "ks.example", "tv", "home", VerifyData{1, 2, 3}};
  return {"ClientAuthRequest", plain(encode(message)), verdict(decode_client_auth_request), {1, 4, 15, 18}, {}};
}

Sample auth_response_sample() {
  ClientAuthResponse message{auth_password, "anna", SecretBytes(20)};
  message.secret.data()[19] = 1;
  return {"ClientAuthResponse", plain(encode(message)), verdict(decode_client_auth_response), {}, {}};
}

std::vector<Sample> samples() {
  std::vector<Sample> list;
  ClientHello client;
  client.suites = {0xc02c};
  client.session_id = {1, 2};
  client.server_name = "a.b";
  client.groups = {29};
  client.signature_schemes = {0x0403};
  client.extended_master_secret = true;
  client.renegotiation_info = Bytes();
  client.multicast_group = "tv";
  const Bytes client_body = plain(encode(client));
  const std::size_t fixed = 2 + 32 + 1 + 2 + 2 + 2 + 2;
  list.push_back({"ClientHello",
                  client_body,
                  verdict(decode_client_hello),
                  {34, 38, 41, fixed + 1, client_body.size() - 3, client_body.size() - 4},
                  fixed});
  ServerHello server;
  server.extended_master_secret = true;
  server.renegotiation_info = Bytes();
  server.suite = 0xc02c;
  list.push_back({"ServerHello", plain(encode(server)), verdict(decode_server_hello), {34, 39, 43, 44, 48}, 38});
  list.push_back({"Certificate",
                  plain(encode(CertificateMessage{{Bytes(5, 1), Bytes(6, 2)}})),
                  verdict(decode_certificate),
                  {2, 5, 13},
                  {}});
  ServerKeyExchange exchange;
  exchange.group = 29;
  exchange.point = Bytes(32, 4);
  exchange.signature_scheme = 0x0403;
  exchange.signature = Bytes(70, 5);
  list.push_back({"ServerKeyExchange", plain(encode(exchange)), verdict(decode_server_key_exchange), {3, 39}, {}});
  CertificateRequest request;
  request.certificate_types = {64, 1, 30};
  request.signature_schemes = {0x0403, 0x0804};
  list.push_back({"CertificateRequest", plain(encode(request)), verdict(decode_certificate_request), {0, 5, 11}, {}});
  list.push_back({"ServerHelloDone", {}, verdict(decode_server_hello_done), {}, {}});
  list.push_back({"ClientKeyExchange",
                  plain(encode(ClientKeyExchange{Bytes(32, 6)})),
                  verdict(decode_client_key_exchange),
                  {0},
                  {}});
  list.push_back({"CertificateVerify",
                  plain(encode(CertificateVerify{0x0403, Bytes(70, 7)})),
                  verdict(decode_certificate_verify),
                  {3},
                  {}});
  list.push_back({"Finished", Bytes(12, 8), verdict(decode_finished), {}, {}});
  list.push_back(smke_sample());
  list.push_back(sealed_smke_sample());
  list.push_back(auth_request_sample());
  list.push_back(auth_response_sample());
  const auto control = [&list](const ControlMessage& message, std::vector<std::size_t> fields) {
    const Bytes whole = plain(encode(message));
    const std::uint8_t type = whole[0];
    list.push_back({std::string(name(type_of(message))),
                    Bytes(whole.begin() + 4, whole.end()),
                    verdict([type](ByteView body) { return decode_control(type, body); }),
                    std::move(fields),
                    {}});
  };
  control(GroupUpdate{sample_keying()}, {1, 12});
  control(GroupUpdateAck{"tv", 1}, {0});
  control(Activate{"tv", 1}, {0});
  control(ActivateAck{"tv", 1}, {0});
  control(Retire{"tv", 1}, {0});
  control(SlotRequest{"tv", 1, 2}, {0});
  control(SlotGrant{"tv", 1, 2, 3, 4}, {0});
  control(StatusReport{"tv", 1, 2, 3, 4, {{5, 6}, {7, 8}}}, {0, 36});
  control(Leave{"tv"}, {0});
  control(Revoked{"tv", "why"}, {0, 3});
  control(Keepalive{1}, {});
  control(Keepalive{1, {2, 3, 4}}, {});
  list.back().valid_prefix = 8;  // one without a clock
  control(GroupJoin{"tv"}, {0});
  control(GroupRefused{"tv", Refusal::come_again}, {0});
  control(Expired{"tv", "why"}, {0, 3});
  return list;
}

Bytes with_extensions(const std::vector<std::pair<std::uint16_t, Bytes>>& extensions) {
  ClientHello hello;
  hello.suites = {0xc02c};
  hello.point_formats.reset();
  Bytes body = plain(encode(hello));
  body.resize(body.size() - 2);
  Writer block;
  block.vector(2, [&](Writer& list) {
    for (const auto& [type, content] : extensions) {
      list.u16(type);
      list.vector16(content);
    }
  });
  const Bytes bytes = plain(block.finish("extensions"));
  body.insert(body.end(), bytes.begin(), bytes.end());
  return body;
}

TEST(Extensions, AsManyAsThereIsRoomForAndEachOnce) {
  std::vector<std::pair<std::uint16_t, Bytes>> many;
  for (std::uint16_t i = 0; i < 16000; ++i)
    many.emplace_back(static_cast<std::uint16_t>(0x1000 + i), Bytes());  // none that is known
  many.emplace_back(extension::extended_master_secret, Bytes());
  const auto hello = decode_client_hello(with_extensions(many));
  ASSERT_TRUE(hello) << hello.error().message();
  EXPECT_TRUE(hello->extended_master_secret) << "behind all the others";
  many.emplace_back(0x1000, Bytes());
  const auto doubled = decode_client_hello(with_extensions(many));
  ASSERT_FALSE(doubled);
  EXPECT_EQ(doubled.error().reason, Reason::illegal_parameter);
}

TEST(Extensions, AServerNameHasOneHostName) {
  const Bytes one = {0, 0, 3, 'a', '.', 'b'}, other_kind = {1, 0, 1, 'x'};
  const auto names = [&](const std::vector<Bytes>& list) {
    Bytes joined;
    for (const Bytes& name : list)
      joined.insert(joined.end(), name.begin(), name.end());
    joined.insert(joined.begin(), {0, static_cast<std::uint8_t>(joined.size())});
    return decode_client_hello(with_extensions({{extension::server_name, joined}}));
  };
  EXPECT_EQ(names({one})->server_name, "a.b");
  EXPECT_EQ(names({other_kind, one})->server_name, "a.b");
  const auto two = names({one, one});  // RFC 6066 §3
  ASSERT_FALSE(two);
  EXPECT_EQ(two.error().reason, Reason::illegal_parameter);
}

TEST(Parse1, EverySampleIsAccepted) {
  for (const Sample& sample : samples()) {
    const auto error = sample.decode(sample.body);
    EXPECT_FALSE(error) << sample.name << ": " << error->message();
  }
}

TEST(Parse1, EveryTruncationIsADecodeError) {
  for (const Sample& sample : samples())
    for (std::size_t size = 0; size < sample.body.size(); ++size) {
      if (sample.valid_prefix == size) continue;  // a hello without any extension
      const auto error = sample.decode(ByteView(sample.body).first(size));
      ASSERT_TRUE(error) << sample.name << " cut to " << size;
      EXPECT_EQ(error->alert, Alert::decode_error) << sample.name << " cut to " << size << ": " << error->message();
    }
}

TEST(Parse1, ATrailingByteIsADecodeError) {
  for (const Sample& sample : samples()) {
    Bytes longer = sample.body;
    longer.push_back(0);
    const auto error = sample.decode(longer);
    ASSERT_TRUE(error) << sample.name;
    EXPECT_EQ(error->alert, Alert::decode_error) << sample.name;
  }
}

TEST(Parse1, EveryLengthFieldOneOffIsRefused) {
  for (const Sample& sample : samples())
    for (const std::size_t offset : sample.length_fields)
      for (const int change : {-1, 1}) {
        Bytes bent = sample.body;
        ASSERT_LT(offset, bent.size()) << sample.name;
        bent[offset] = static_cast<std::uint8_t>(bent[offset] + change);
        const auto error = sample.decode(bent);
        ASSERT_TRUE(error) << sample.name << ", length at " << offset << (change < 0 ? " - 1" : " + 1");
      }
}

TEST(Parse1, EverySingleByteChangeIsSurvived) {
  for (const Sample& sample : samples())
    for (std::size_t offset = 0; offset < sample.body.size(); ++offset)
      for (const std::uint8_t value : {0, 1, 127, 128, 255}) {
        Bytes bent = sample.body;
        bent[offset] = value;
        (void)sample.decode(bent);
      }
}

// A member of another version is told so, and not that its hello is broken.
TEST(ClientHelloVersion, AnotherVersionOfTheGroupProtocolIsRefusedByName) {
  ClientHello hello;
  hello.suites = {0xc02c};
  hello.multicast_group = "tv";
  const Bytes now = plain(encode(hello));
  ASSERT_TRUE(decode_client_hello(now));
  const std::size_t version = now.size() - 4;  // version, length, "tv"
  ASSERT_EQ(now[version], multicast_protocol_version);
  Bytes later = now;
  later[version] = multicast_protocol_version + 1;
  // The first version had the group id alone.
  Bytes first = now;
  first.erase(first.begin() + static_cast<std::ptrdiff_t>(version));
  const std::size_t extensions = 2 + 32 + 1 + 4 + 2;  // their length, of two bytes
  --first[extensions + 1];
  --first[version - 1];
  for (const Bytes& other : {later, first}) {
    const auto decoded = decode_client_hello(other);
    ASSERT_FALSE(decoded);
    EXPECT_EQ(decoded.error().reason, Reason::group_protocol_version) << decoded.error().message();
    EXPECT_EQ(decoded.error().alert, Alert::protocol_version);
  }
}

TEST(Parse1, VectorBounds) {
  EXPECT_TRUE(decode_client_key_exchange(Bytes{1, 4}));
  EXPECT_FALSE(decode_client_key_exchange(Bytes{0}));
  ClientHello hello;
  hello.suites = {0xc02c};
  hello.session_id = Bytes(32, 1);
  EXPECT_TRUE(decode_client_hello(plain(encode(hello))));
  hello.session_id = Bytes(33, 1);
  EXPECT_FALSE(decode_client_hello(plain(encode(hello))));
  hello.session_id.clear();
  hello.multicast_group = std::string(64, 'g');
  EXPECT_TRUE(decode_client_hello(plain(encode(hello))));
  hello.multicast_group = std::string(65, 'g');
  EXPECT_FALSE(decode_client_hello(plain(encode(hello))));
  CertificateMessage chain;
  chain.chain.assign(max_chain_length, Bytes{1});
  EXPECT_TRUE(decode_certificate(plain(encode(chain))));
  chain.chain.emplace_back(Bytes{1});
  EXPECT_FALSE(decode_certificate(plain(encode(chain))));
}

TEST(Control, CHAN2_UnknownTypesAreFatalUnlessMarkedOptional) {
  for (int type = 0; type < 256; ++type) {
    if ((type >= 1 && type <= 11) || (type >= 0x81 && type <= 0x85)) continue;
    const auto decoded = decode_control(static_cast<std::uint8_t>(type), Bytes{1, 2, 3});
    if ((type & 0x80) != 0) {
      ASSERT_TRUE(decoded) << type;
      EXPECT_FALSE(*decoded);
    } else {
      ASSERT_FALSE(decoded) << type;
      EXPECT_EQ(decoded.error().reason, Reason::control_unknown_type);
    }
  }
}

TEST(Control, GroupJoinAndItsRefusalAreOptionalAndReadBackTheSame) {
  const auto join = encode(ControlMessage(GroupJoin{std::string(64, 'g')}));
  ASSERT_TRUE(join);
  EXPECT_EQ((*join)[0], 0x83);
  const auto asked = decode_control(0x83, ByteView(*join).subspan(4));
  ASSERT_TRUE(asked && *asked);
  EXPECT_EQ(*group_of(**asked), std::string(64, 'g'));
  EXPECT_FALSE(decode_control(0x83, Bytes{0})) << "no group";
  for (const std::uint8_t why : {0, 1, 2, 3, 255}) {
    const auto refused = decode_control(0x84, Bytes{2, 't', 'v', why});
    ASSERT_TRUE(refused && *refused);
    EXPECT_EQ(std::get<GroupRefused>(**refused).why, why == 2 ? Refusal::come_again : Refusal::refused);
  }
  EXPECT_TRUE(may_send(Side::client, ControlType::group_join));
  EXPECT_FALSE(may_send(Side::server, ControlType::group_join));
  EXPECT_TRUE(may_send(Side::server, ControlType::group_refused));
  EXPECT_FALSE(may_send(Side::client, ControlType::group_refused));
  EXPECT_EQ(group_of(Keepalive{1}), nullptr);
  EXPECT_EQ(*group_of(GroupUpdate{sample_keying()}), sample_keying().group_id);
}

TEST(Control, KeyPathAndAnnounceAreOptionalAndReadBackTheSame) {
  KeyPath path{"tv", {}};
  path.path.position = 5;
  for (int level = 0; level < 4; ++level) {
    path.path.levels.emplace_back();
    if (level == 2) continue;  // a key that no member has yet
    auto& key = path.path.levels.back().emplace();
    key.step = static_cast<std::uint32_t>(level);
    key.seed.data()[0] = static_cast<std::uint8_t>(level + 1);
  }
  const auto bytes = encode(ControlMessage(std::move(path)));
  ASSERT_TRUE(bytes);
  EXPECT_EQ((*bytes)[0], 0x81);
  const auto back = decode_control(0x81, ByteView(*bytes).subspan(4));
  ASSERT_TRUE(back && *back);
  EXPECT_EQ(*encode(**back), *bytes);
  EXPECT_FALSE(decode_control(0x81, ByteView(*bytes).subspan(4, bytes->size() - 5)));

  const auto announce = encode(ControlMessage(Announce{"tv", Bytes(max_announced_packet, 7)}));
  ASSERT_TRUE(announce);
  EXPECT_EQ((*announce)[0], 0x82);
  const auto heard = decode_control(0x82, ByteView(*announce).subspan(4));
  ASSERT_TRUE(heard && *heard);
  EXPECT_EQ(std::get<Announce>(**heard).packet, Bytes(max_announced_packet, 7));
  const auto large = encode(ControlMessage(Announce{"tv", Bytes(max_announced_packet + 1, 7)}));
  EXPECT_FALSE(decode_control(0x82, ByteView(*large).subspan(4)));
  for (const auto type : {ControlType::key_path, ControlType::announce}) {
    EXPECT_TRUE(may_send(Side::server, type));
    EXPECT_FALSE(may_send(Side::client, type));
  }
}

TEST(Smke, RoundTripOfEveryKindOfSelector) {
  const auto prefix = [](const char* text) { return *Prefix::parse(text); };
  ServerMasterKeyExchange message;
  message.flag = 30;
  message.second_ccs = SecondCcs::claim5;
  message.keying = sample_keying();
  message.keying.policy.selectors = {
      {prefix("239.1.2.3"), {}, {}, {}},
      {prefix("232.0.0.0/8"), prefix("10.1.0.0/16"), 17, PortRange{1, 65535}},
      {prefix("ff3e::/32"), prefix("2001:db8::/48"), 58, {}},
      {prefix("ff15::1"), {}, 17, PortRange{5000, 5000}},
  };
  message.keying.policy.numbers = Numbers::foreign;
  message.server_verify_data = VerifyData{9};
  const auto back = decode_server_master_key_exchange(plain(encode(message)));
  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(back->keying.policy.selectors, message.keying.policy.selectors);
  EXPECT_EQ(back->keying.policy.numbers, Numbers::foreign);
  EXPECT_EQ(back->keying.remaining_ms, message.keying.remaining_ms);
  EXPECT_EQ(*back->server_verify_data, *message.server_verify_data);
}

TEST(Smke, SMKE4_WhatNoMemberAccepts) {
  struct Case {
    Reason reason;
    std::function<void(GroupKeying&)> bend;
  };
  const auto destination = [](const char* text) {
    return [text](GroupKeying& k) { k.policy.selectors[0].destination = *Prefix::parse(text); };
  };
  const std::vector<Case> cases = {
      {Reason::selector_refused, destination("10.0.0.1")},
      {Reason::selector_refused, destination("224.0.0.5")},
      {Reason::selector_refused, destination("224.0.0.0/4")},
      {Reason::selector_refused, destination("0.0.0.0/0")},
      {Reason::selector_refused, destination("ff02::1")},
      {Reason::selector_refused, destination("2001:db8::1")},
      {Reason::selector_refused, [](GroupKeying& k) { k.policy.selectors[0].protocol.reset(); }},  // ports without UDP
      {Reason::spi_refused, [](GroupKeying& k) { k.policy.spi_prefix = 0; }},
      {Reason::spi_refused,
       [](GroupKeying& k) {
         k.policy.spi_prefix = 128;
         k.policy.spi_slot_bits = 7;
         k.policy.slots_used = 3;
       }},
      {Reason::spi_refused, [](GroupKeying& k) { k.policy.spi_prefix = 0x10000100; }},
      {Reason::spi_refused, [](GroupKeying& k) { k.policy.spi_slot_bits = 0; }},
      {Reason::spi_refused, [](GroupKeying& k) { k.policy.spi_slot_bits = 17; }},
      {Reason::spi_refused,
       [](GroupKeying& k) {
         k.assignment.first_slot = 65535;
         k.assignment.slot_count = 2;
       }},
      {Reason::spi_refused,
       [](GroupKeying& k) {
         k.policy.spi_slot_bits = 4;
         k.policy.slots_used = 17;
       }},
      {Reason::policy_refused, [](GroupKeying& k) { k.policy.replay_window = 512; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.policy.replay_window = 4095; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.policy.replay_window = 1u << 21; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.policy.authority_lease_s = 0; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.policy.esp_mode = EspMode{9}; }},
      {Reason::wrong_suite, [](GroupKeying& k) { k.policy.cipher_suite = CipherSuite{0x1301}; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.state = EpochState{3}; }},
      {Reason::policy_refused, [](GroupKeying& k) { k.assignment.roles = Role{0}; }},
      {Reason::zero_premaster, [](GroupKeying& k) { k.premaster = Secret<48>(); }},
  };
  int index = 0;
  for (const Case& one : cases) {
    GroupKeying keying = sample_keying();
    one.bend(keying);
    Writer out;
    write_keying(out, keying);  // without the sender's own check
    Reader reader("keying", out.view());
    (void)read_keying(reader);
    const auto done = reader.finish();
    ASSERT_FALSE(done) << index;
    EXPECT_EQ(done.error().reason, one.reason) << index << ": " << done.error().message();
    ++index;
  }
}

TEST(Smke, P37_HostBitsBeyondAPrefixAreRefused) {
  GroupKeying keying = sample_keying();
  keying.policy.selectors[0].destination.address = IpAddress::v4(0xef010101);  // 239.1.1.1/24
  Writer out;
  write_keying(out, keying);
  Reader reader("keying", out.view());
  (void)read_keying(reader);
  EXPECT_EQ(reader.finish().error().reason, Reason::selector_refused);
}

TEST(Smke, H3_VerifyDataIsFoundWithoutReadingTheRest) {
  const Bytes body = smke_sample().body;
  const auto found = find_server_verify_data(body);
  ASSERT_TRUE(found);
  EXPECT_EQ((*found)[2], 3);
  Bytes garbage(100, 0xee);
  garbage[100 - 15] = 12;
  garbage[98] = garbage[99] = 0;
  EXPECT_TRUE(find_server_verify_data(garbage)) << "the rest is not looked at yet";
  EXPECT_FALSE(find_server_verify_data(Bytes(14, 0)));
  EXPECT_FALSE(find_server_verify_data(Bytes(15, 0)));
}

TEST(Smke, H1_TheSignatureIsFoundWithoutReadingTheRest) {
  Bytes body = sealed_smke_sample().body;
  const auto found = find_smke_signature(body);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->scheme, 0x0808);
  EXPECT_EQ(found->signature.size(), 256u);
  EXPECT_EQ(found->signed_part.size(), body.size() - 260);
  body[0] = 77;  // an unknown version, order and epoch state: not to be looked at yet
  body[2] = 9;
  body[3 + 11 + 3 + 8] = 200;
  EXPECT_TRUE(find_smke_signature(body));
  EXPECT_FALSE(decode_sealed_master_key_exchange(body));
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(find_smke_signature(ByteView(body).first(size))) << size;
}

TEST(ClientAuth, BoundsOfTheFields) {
  const auto request = [](std::size_t methods, std::size_t server, std::size_t group, std::size_t realm) {
    ClientAuthRequest message{
        30, Bytes(methods, 1), std::string(server, 'k'), std::string(group, 'g'), std::string(realm, 'r'), {}};
    return decode_client_auth_request(*encode(message)).has_value();
  };
  EXPECT_TRUE(request(1, 1, 1, 0) && request(255, 64, 64, 64));
  EXPECT_FALSE(request(0, 1, 1, 0) || request(1, 0, 1, 0) || request(1, 1, 0, 0));
  EXPECT_FALSE(request(1, 65, 1, 0) || request(1, 1, 65, 0) || request(1, 1, 1, 65));
  const auto response = [](std::size_t user, std::size_t secret) {
    const auto body = encode(ClientAuthResponse{auth_password, std::string(user, 'u'), SecretBytes(secret)});
    return body && body->size() == client_auth_response_size && decode_client_auth_response(*body).has_value();
  };
  EXPECT_TRUE(response(1, 1) && response(64, 128));
  EXPECT_FALSE(response(0, 1) || response(65, 1) || response(1, 0) || response(1, 129));
}

TEST(Writer, AVectorThatOutgrowsItsLengthIsAnError) {
  Writer out;
  out.vector8(Bytes(255, 1));
  EXPECT_TRUE(Writer(out).finish("test"));
  out.vector8(Bytes(256, 1));
  EXPECT_FALSE(out.finish("test"));
  StatusReport report{"tv", 5, 1, 2, 3, {}};
  report.own_slots.resize(4000);
  EXPECT_FALSE(encode(ControlMessage(report)));
}

}  // namespace
}  // namespace sealcast::handshake
