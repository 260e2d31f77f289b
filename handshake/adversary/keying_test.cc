// The attacks on what a multicast flow adds, named after docs/testing.md's list: FLAG, SMKE, AUTH. The stimuli come
// from a puppet with everything that a dishonest end could have; it lacks what the real end must not know.
#include <gtest/gtest.h>
#include <openssl/rsa.h>

#include <algorithm>

#include "handshake/adversary/stage.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/messages/client_auth.h"

namespace sealcast::handshake::adversary {
namespace {

using testing::Puppet;
using testing::test_now;
using testing::World;

std::size_t step_of(Flow flow, Side from, Message message) {
  const auto steps = definition(flow).steps;
  std::size_t i = 0;
  while (i < steps.size() && !(steps[i].from == from && steps[i].message == message))
    ++i;
  return i;
}
bool asks_password(Flow flow) {
  return definition(flow).has(Side::client, Message::client_auth_response);
}

class Keying : public ::testing::TestWithParam<Flow> {
 protected:
  static Flow flow() { return GetParam(); }
  static bool sealed() { return definition(flow()).smke_sealed(); }
  static std::size_t smke() { return step_of(flow(), Side::server, Message::server_master_key_exchange); }
  static Reason forged() { return sealed() ? Reason::signature_invalid : Reason::server_verify_data_invalid; }

  static void refused(Stage& stage, Reason reason, const std::string& what) {
    const Verdict verdict = stage.verdict();
    EXPECT_TRUE(verdict.failed) << what;
    EXPECT_EQ(verdict.reason, reason) << what << ": " << verdict.why;
    EXPECT_EQ(verdict.alerts, 1) << what;
    EXPECT_EQ(verdict.established_events, 0) << what;
  }
  // Sends SMKE with this change to its body to a real member.
  static void smke_refused(const std::function<void(SensitiveBytes&)>& bend, Reason reason, const std::string& what) {
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(smke()));
    stage.puppet().bend = [&](const Step&, SensitiveBytes& body) { bend(body); };
    stage.send(stage.steps()[smke()]);
    refused(stage, reason, what);
  }
  static Bytes body_at(std::size_t position) {
    Stage stage(flow(), Side::client);
    EXPECT_TRUE(stage.walk_to(position));
    Bytes body;
    stage.puppet().bend = [&](const Step&, SensitiveBytes& bent) { body.assign(bent.begin(), bent.end()); };
    stage.send(stage.steps()[position]);
    return body;
  }
};

// ---------------------------------------------------------------- FLAG

TEST_P(Keying, FLAG1_AMemberWithoutTheFlagEndsBeforeItSendsKeyMaterial) {
  const std::size_t request = step_of(flow(), Side::server, Message::certificate_request);
  if (request < definition(flow()).steps.size()) {
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request));
    stage.puppet().certificate_types = Bytes{64, 1};
    stage.send(stage.steps()[request]);
    refused(stage, Reason::flag_missing, "CertificateRequest");
    const auto& seen = stage.puppet().seen();
    EXPECT_EQ(std::count(seen.begin(), seen.end(), "ClientKeyExchange"), 0);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), "Certificate"), 0);
  }
  if (asks_password(flow())) {
    const std::size_t ask = step_of(flow(), Side::server, Message::client_auth_request);
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(ask));
    stage.puppet().bend = [](const Step&, SensitiveBytes& body) { body[0] = 0; };
    stage.send(stage.steps()[ask]);
    refused(stage, Reason::flag_missing, "ClientAuthRequest");
    EXPECT_FALSE(stage.puppet().password_seen());
  }
  if (!sealed()) smke_refused([](SensitiveBytes& body) { body[1] = 0; }, Reason::flag_missing, "SMKE");
}

// P11: with the flag in SMKE alone, a flag in CertificateRequest is as wrong as none would be in its place.
TEST_P(Keying, FLAG1_P11_TheFlagInSmkeAloneIsAsBinding) {
  const std::size_t request = step_of(flow(), Side::server, Message::certificate_request);
  if (request == definition(flow()).steps.size()) return;  // no CertificateRequest: there is only one place
  World& world = world_of(flow());
  const GroupFlow usual = world.authority.flow;
  GroupFlow in_smke = usual;
  in_smke.flag_place = FlagPlace::smke;
  world.set_group_flow(in_smke);
  {
    Stage stage(flow(), Side::client);
    EXPECT_TRUE(stage.walk_to(stage.steps().size())) << stage.verdict().why;
    EXPECT_TRUE(stage.verdict().established);
  }
  {
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request));
    stage.puppet().certificate_types = Bytes{64, 1, 30};
    stage.send(stage.steps()[request]);
    refused(stage, Reason::flag_unexpected, "CertificateRequest");
  }
  smke_refused([](SensitiveBytes& body) { body[1] = 0; }, sealed() ? forged() : Reason::flag_missing, "SMKE");
  smke_refused([](SensitiveBytes& body) { body[1] = 31; }, sealed() ? forged() : Reason::flag_unexpected, "SMKE");
  world.set_group_flow(usual);
}

TEST_P(Keying, FLAG3_EveryOtherFlowThanTheConfiguredOneIsRefused) {
  for (const FlowDefinition& offered : flow_definitions) {
    if (offered.flow == flow()) continue;
    World& there = world_of(offered.flow);
    const auto member = world_of(flow()).client();
    Puppet puppet(Side::server, there, offered.multicast);
    puppet.receive(member->take_output());
    for (const Step& step : offered.steps) {
      if (member->failed() || step.from == Side::client) continue;
      puppet.send(step);
      (void)member->receive(puppet.take_output(), test_now);
      puppet.receive(member->take_output());
    }
    const std::string what = std::string(name(flow())) + " meets " + std::string(name(offered.flow));
    EXPECT_TRUE(member->failed()) << what;
    EXPECT_FALSE(member->established()) << what;
    for (const Event& event : member->take_events())
      EXPECT_FALSE(std::holds_alternative<Established>(event)) << what;
    EXPECT_EQ(puppet.alert_records(), 1) << what;
    // A password leaves only in flows that may ask for one.
    EXPECT_TRUE((asks_password(flow()) && asks_password(offered.flow)) || !puppet.password_seen()) << what;
  }
}

TEST_P(Keying, FLAG3_SMKE4_KeyingForAnotherGroupKeyServerSuiteOrEpoch) {
  World& world = world_of(flow());
  const std::vector<std::pair<Reason, std::function<void(GroupKeying&)>>> cases = {
      {Reason::wrong_group, [](GroupKeying& keying) { keying.group_id = "radio"; }},
      {Reason::wrong_key_server, [](GroupKeying& keying) { keying.key_server_id = "another"; }},
      {Reason::wrong_suite,
       [](GroupKeying& keying) { keying.policy.cipher_suite = CipherSuite::ecdhe_rsa_aes_128_gcm_sha256; }},
      {Reason::keying_refused, [](GroupKeying& keying) { keying.epoch -= 1; }},
  };
  const std::uint64_t remembered = world.authority.keying.epoch;
  world.client_config.accept_keying = [remembered](const GroupKeying& keying, const EpochId&) -> Result<void> {
    if (keying.epoch < remembered) return fail("epoch below the remembered one");
    return {};
  };
  for (const auto& [reason, tamper] : cases) {
    world.authority.tamper = tamper;
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(smke()));
    stage.send(stage.steps()[smke()]);
    refused(stage, reason, std::string(name(reason)));
  }
  world.authority.tamper = nullptr;
  world.client_config.accept_keying = nullptr;
}

// ---------------------------------------------------------------- SMKE

TEST_P(Keying, SMKE1_SMKE2_FromAnEarlierHandshakeOrAnotherMembers) {
  const Bytes earlier = body_at(smke());
  smke_refused([&](SensitiveBytes& body) { body.assign(earlier.begin(), earlier.end()); }, forged(),
               "SMKE of another handshake");
}

TEST_P(Keying, SMKE1_EveryBitOfTheServersProof) {
  // Variant 1 ends with the signature, the others with server_verify_data and an empty signature's two bytes.
  const std::size_t size = sealed() ? 256 : 12;
  const std::size_t from_end = sealed() ? 0 : 2;
  for (std::size_t bit = 0; bit < size * 8; bit += sealed() ? 67 : 1)
    smke_refused(
        [&](SensitiveBytes& body) {
          std::uint8_t& byte = body[body.size() - from_end - size + bit / 8];
          byte = static_cast<std::uint8_t>(byte ^ (1u << (bit % 8)));
        },
        forged(), "bit " + std::to_string(bit));
}

TEST_P(Keying, SMKE4_AnUnknownOrder) {
  smke_refused([](SensitiveBytes& body) { body[2] = 3; }, sealed() ? forged() : Reason::wrong_second_ccs, "order 3");
}

TEST_P(Keying, SMKE5_AnotherOrderThanConfiguredOrDataBeforeTheClosingFinished) {
  for (const SecondCcs order : {SecondCcs::not_applicable, SecondCcs::claim5, SecondCcs::description}) {
    if (order == definition(flow()).second_ccs) continue;
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(smke()));
    stage.puppet().second_ccs = order;
    stage.send(stage.steps()[smke()]);
    refused(stage, Reason::wrong_second_ccs, "order");
  }
  const auto steps = definition(flow()).steps;
  for (std::size_t i = smke() + 1; i < steps.size(); ++i) {
    if (steps[i].from != Side::server) continue;
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(i));
    stage.puppet().send_record(ContentType::application_data, Bytes{11, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1});
    stage.deliver();
    refused(stage, Reason::unexpected_message, "data before step " + std::to_string(i));
    EXPECT_EQ(stage.verdict().control, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Keying, ::testing::ValuesIn([] {
                           std::vector<Flow> flows;
                           for (const FlowDefinition& definition_of : flow_definitions)
                             if (definition_of.multicast) flows.push_back(definition_of.flow);
                           return flows;
                         }()),
                         [](const auto& flow) { return identifier(flow.param); });

TEST(StandardClient, FLAG2_AnInjectedFlagOrSmkeEndsIt) {
  {
    Stage stage(Flow::standard_mutual, Side::client);
    const std::size_t request = step_of(Flow::standard_mutual, Side::server, Message::certificate_request);
    ASSERT_TRUE(stage.walk_to(request));
    stage.puppet().certificate_types = Bytes{64, 1, 30};
    stage.send(stage.steps()[request]);
    EXPECT_EQ(stage.verdict().reason, Reason::flag_unexpected) << stage.verdict().why;
  }
  for (const Flow flow : {Flow::standard, Flow::standard_mutual}) {
    const std::size_t last = last_step_of(flow, Side::server);
    for (const std::size_t position : {last - 1, last}) {
      Stage stage(flow, Side::client);
      ASSERT_TRUE(stage.walk_to(position));
      stage.send(Step{Side::server, Message::server_master_key_exchange, Keys::none});
      EXPECT_TRUE(stage.verdict().failed);
      EXPECT_EQ(stage.verdict().established_events, 0);
    }
  }
}

// ---------------------------------------------------------------- variant 1

struct Sealing {
  std::string what;
  std::function<Bytes(EVP_PKEY*)> seal;
};
Bytes encrypted(EVP_PKEY* key, const Bytes& plaintext, int padding, const EVP_MD* digest, std::string_view label = {}) {
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  Bytes out(static_cast<std::size_t>(EVP_PKEY_get_size(key)));
  std::size_t size = out.size();
  EXPECT_EQ(EVP_PKEY_encrypt_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), padding), 1);
  if (padding == RSA_PKCS1_OAEP_PADDING) {
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), digest), 1);
    EXPECT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), digest), 1);
    if (!label.empty()) {
      void* copy = OPENSSL_memdup(label.data(), label.size());
      EXPECT_EQ(EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(label.size())), 1);
    }
  }
  EXPECT_EQ(EVP_PKEY_encrypt(context.get(), out.data(), &size, plaintext.data(), plaintext.size()), 1);
  out.resize(size);
  return out;
}

TEST(Variant1, SMKE3_H6_EveryWayTheKeyMaterialCanBeBrokenIsOneFailure) {
  Bytes good(96, 7);
  Bytes zero_premaster = good;
  std::fill_n(zero_premaster.begin(), 48, std::uint8_t{0});
  const auto oaep = [](Bytes plaintext) {
    return [plaintext = std::move(plaintext)](EVP_PKEY* key) {
      return encrypted(key, plaintext, RSA_PKCS1_OAEP_PADDING, EVP_sha256());
    };
  };
  const auto raw = [](Bytes bytes) { return [bytes = std::move(bytes)](EVP_PKEY*) { return bytes; }; };
  Bytes too_large(256, 0xff);
  const std::vector<Sealing> cases = {
      {"95 bytes", oaep(Bytes(95, 7))},
      {"97 bytes", oaep(Bytes(97, 7))},
      {"48 bytes", oaep(Bytes(48, 7))},
      {"1 byte", oaep(Bytes(1, 7))},
      {"nothing", oaep({})},
      {"an all-zero premaster", oaep(zero_premaster)},
      {"OAEP with SHA-1", [&good](EVP_PKEY* key) { return encrypted(key, good, RSA_PKCS1_OAEP_PADDING, EVP_sha1()); }},
      {"OAEP with a label",
       [&good](EVP_PKEY* key) { return encrypted(key, good, RSA_PKCS1_OAEP_PADDING, EVP_sha256(), "x"); }},
      {"PKCS #1 v1.5", [&good](EVP_PKEY* key) { return encrypted(key, good, RSA_PKCS1_PADDING, nullptr); }},
      {"zeros", raw(Bytes(256, 0))},
      {"a number larger than the modulus", raw(too_large)},
      {"255 bytes", raw(Bytes(255, 1))},
      {"257 bytes", raw(Bytes(257, 1))},
      {"one byte", raw(Bytes(1, 1))},
      {"a flipped bit",
       [&good](EVP_PKEY* key) {
         Bytes sealed = encrypted(key, good, RSA_PKCS1_OAEP_PADDING, EVP_sha256());
         sealed[100] = static_cast<std::uint8_t>(sealed[100] ^ 1);
         return sealed;
       }},
  };
  const std::size_t smke = step_of(Flow::variant1, Side::server, Message::server_master_key_exchange);
  std::optional<std::string> one_line;
  for (const Sealing& sealing : cases) {
    Stage stage(Flow::variant1, Side::client);
    ASSERT_TRUE(stage.walk_to(smke));
    stage.puppet().seal = sealing.seal;
    stage.send(stage.steps()[smke]);
    const Verdict verdict = stage.verdict();
    ASSERT_TRUE(verdict.failed) << sealing.what;
    EXPECT_EQ(verdict.reason, Reason::key_material_refused) << sealing.what << ": " << verdict.why;
    EXPECT_EQ(verdict.alerts, 1) << sealing.what;
    EXPECT_EQ(verdict.alert_code, static_cast<std::uint8_t>(Alert::decrypt_error)) << sealing.what;
    if (!one_line) one_line = verdict.why;
    EXPECT_EQ(verdict.why, *one_line) << sealing.what << " can be told from the others";
  }
  // Counterpart: with everything right the check passes.
  Stage stage(Flow::variant1, Side::client);
  ASSERT_TRUE(stage.walk_to(smke));
  stage.puppet().seal = oaep(good);
  stage.send(stage.steps()[smke]);
  EXPECT_FALSE(stage.verdict().failed) << stage.verdict().why;
}

TEST(Variant1, SMKE1_FLAG2_NothingIsDecryptedBeforeTheServersSignatureHolds) {
  World& world = world_of(Flow::variant1);
  const std::size_t smke = step_of(Flow::variant1, Side::server, Message::server_master_key_exchange);
  const std::vector<std::pair<std::string, std::function<void(Puppet&)>>> cases = {
      {"signed by another valid certificate's key",
       [&world](Puppet& puppet) { puppet.smke_signer = world.client_config.credentials; }},
      {"signed over another transcript",
       [](Puppet& puppet) {
         puppet.bend_signed_content = [](SensitiveBytes& content) {
           std::uint8_t& byte = content[64 + 37];
           byte = static_cast<std::uint8_t>(byte ^ 1);
         };
       }},
      {"signed over another ciphertext",
       [](Puppet& puppet) {
         puppet.bend_signed_content = [](SensitiveBytes& content) {
           std::uint8_t& byte = content[content.size() - 20];
           byte = static_cast<std::uint8_t>(byte ^ 1);
         };
       }},
      {"signed without the context",
       [](Puppet& puppet) {
         puppet.bend_signed_content = [](SensitiveBytes& content) {
           content.erase(content.begin(), content.begin() + 64);
         };
       }},
      {"unsigned",
       [](Puppet& puppet) {
         puppet.bend = [](const Step&, SensitiveBytes& body) {
           body.resize(body.size() - 2 - 2 - 256);
           body.push_back(0);
           body.push_back(0);
         };
       }},
      {"the ciphertext exchanged after signing",
       [](Puppet& puppet) {
         puppet.bend = [](const Step&, SensitiveBytes& body) {
           std::uint8_t& byte = body[body.size() - 2 - 2 - 256 - 3 - 20];
           byte = static_cast<std::uint8_t>(byte ^ 1);
         };
       }},
  };
  for (const auto& [what, prepare] : cases)
    for (const bool broken_inside : {false, true}) {
      Stage stage(Flow::variant1, Side::client);
      ASSERT_TRUE(stage.walk_to(smke));
      prepare(stage.puppet());
      // Decryption first would report the other failure.
      if (broken_inside) stage.puppet().seal = [](EVP_PKEY*) { return Bytes(256, 0); };
      stage.send(stage.steps()[smke]);
      EXPECT_EQ(stage.verdict().reason, Reason::signature_invalid) << what << ": " << stage.verdict().why;
      EXPECT_EQ(stage.verdict().alerts, 1) << what;
      EXPECT_FALSE(stage.verdict().established) << what;
    }
}

// ---------------------------------------------------------------- variant 3

class Password : public ::testing::TestWithParam<Flow> {
 protected:
  static Flow flow() { return GetParam(); }
  static std::size_t request() { return step_of(flow(), Side::server, Message::client_auth_request); }
  static std::size_t response() { return step_of(flow(), Side::client, Message::client_auth_response); }
  static const Step& step(std::size_t i) { return definition(flow()).steps[i]; }
};

TEST_P(Password, AUTH1_NoPasswordLeavesBeforeTheServersProofHolds) {
  World& world = world_of(flow());
  for (std::size_t bit = 0; bit < 96; ++bit) {
    const int before = world.passwords_fetched;
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request()));
    stage.puppet().bend = [bit](const Step&, SensitiveBytes& body) {
      std::uint8_t& byte = body[body.size() - 12 + bit / 8];
      byte = static_cast<std::uint8_t>(byte ^ (1u << (bit % 8)));
    };
    stage.send(step(request()));
    EXPECT_EQ(stage.verdict().reason, Reason::server_verify_data_invalid) << stage.verdict().why;
    EXPECT_FALSE(stage.puppet().password_seen());
    EXPECT_EQ(world.passwords_fetched, before) << "not even looked up";
  }
}

TEST_P(Password, AUTH1_ARequestOfAnotherHandshakeOrForAnotherGroupOrServer) {
  Bytes earlier;
  {
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request()));
    stage.puppet().bend = [&](const Step&, SensitiveBytes& body) { earlier.assign(body.begin(), body.end()); };
    stage.send(step(request()));
    ASSERT_FALSE(stage.verdict().failed);
    EXPECT_TRUE(stage.puppet().password_seen()) << "the good one is answered";
  }
  const std::vector<std::pair<Reason, std::function<void(SensitiveBytes&)>>> cases = {
      {Reason::server_verify_data_invalid, [&](SensitiveBytes& body) { body.assign(earlier.begin(), earlier.end()); }},
      {Reason::flag_unexpected, [](SensitiveBytes& body) { body[0] = 31; }},
      {Reason::auth_method_refused, [](SensitiveBytes& body) { body[2] = 9; }},
      {Reason::wrong_key_server, [](SensitiveBytes& body) { body[4] = 'x'; }},
      {Reason::wrong_group, [](SensitiveBytes& body) { body[4 + 10 + 1] = 'x'; }},
  };
  for (const auto& [reason, bend] : cases) {
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request()));
    const auto change = bend;
    stage.puppet().bend = [change](const Step&, SensitiveBytes& body) { change(body); };
    stage.send(step(request()));
    EXPECT_EQ(stage.verdict().reason, reason) << stage.verdict().why;
    EXPECT_FALSE(stage.puppet().password_seen()) << name(reason);
  }
}

TEST_P(Password, AUTH1_ARequestTwiceGetsOnePassword) {
  for (const bool coalesced : {false, true}) {
    World& world = world_of(flow());
    const int before = world.passwords_fetched;
    Stage stage(flow(), Side::client);
    ASSERT_TRUE(stage.walk_to(request()));
    if (coalesced) stage.hold();
    stage.send(step(request()));
    stage.send(step(request()));
    stage.release();
    EXPECT_TRUE(stage.verdict().failed);
    EXPECT_LE(world.passwords_fetched, before + 1);
  }
}

TEST_P(Password, AUTH1_AResponseTwiceOrOversizeOrEarlyIsFatal) {
  for (const bool standing_still : {false, true}) {
    Stage stage(flow(), Side::server);
    if (standing_still) stage.password_verdict.reset();
    ASSERT_TRUE(stage.walk_to(response() + 1));
    EXPECT_EQ(stage.verdict().passwords, 1);
    stage.send(step(response()));
    if (standing_still && !stage.real().failed()) (void)stage.real().password_checked(true, test_now);
    EXPECT_TRUE(stage.real().failed());
    EXPECT_EQ(stage.verdict().passwords, 1) << "asked once";
    EXPECT_EQ(stage.verdict().established_events, 0);
  }
  for (const std::size_t size : {0u, 1u, 255u, 257u, 300u, 16000u, 60000u}) {
    Stage stage(flow(), Side::server);
    ASSERT_TRUE(stage.walk_to(response()));
    stage.puppet().bend = [size](const Step&, SensitiveBytes& body) { body.resize(size); };
    stage.send(step(response()));
    EXPECT_TRUE(stage.verdict().failed) << size;
    EXPECT_EQ(stage.verdict().passwords, 0) << size;
    EXPECT_EQ(stage.verdict().issued, 0) << size;
  }
  Stage early(flow(), Side::server);
  ASSERT_TRUE(early.walk_to(step_of(flow(), Side::client, Message::change_cipher_spec)));
  early.send(step(response()));
  EXPECT_EQ(early.verdict().reason, Reason::unexpected_message);
  EXPECT_EQ(early.verdict().passwords, 0);
}

TEST_P(Password, AUTH1_EveryFieldOfTheResponseHasItsBounds) {
  // method, user<1..64>, secret<1..128>, zeros up to 256
  const auto bent = [&](const std::function<void(SensitiveBytes&)>& change, std::optional<Reason> reason) {
    Stage stage(flow(), Side::server);
    ASSERT_TRUE(stage.walk_to(response()));
    stage.puppet().bend = [&](const Step&, SensitiveBytes& body) { change(body); };
    stage.send(step(response()));
    EXPECT_TRUE(stage.verdict().failed);
    EXPECT_EQ(stage.verdict().reason, reason.value_or(stage.verdict().reason)) << stage.verdict().why;
    EXPECT_EQ(stage.verdict().passwords, 0);
  };
  bent([](SensitiveBytes& body) { body[0] = 9; }, Reason::auth_method_refused);
  for (const std::uint8_t length : {0, 65, 255})
    bent([length](SensitiveBytes& body) { body[1] = length; }, Reason::decode_error);
  for (const std::uint8_t length : {0, 129, 255})
    bent([length](SensitiveBytes& body) { body[2 + body[1]] = length; }, Reason::decode_error);
  bent([](SensitiveBytes& body) { body.back() = 1; }, std::nullopt);  // padding that is not zero
  bent([](SensitiveBytes& body) { body[2] = '\n'; }, std::nullopt);   // a control character in the name
}

TEST_P(Password, AUTH2_ARefusalIsOneAlertAndSaysNothing) {
  for (int n = 0; n < 2; ++n) {
    Stage stage(flow(), Side::server);
    stage.password_verdict = false;  // the answer does not depend on the reason
    stage.walk_to(response() + 1);
    const Verdict verdict = stage.verdict();
    EXPECT_TRUE(verdict.failed);
    EXPECT_EQ(verdict.reason, Reason::password_refused) << verdict.why;
    EXPECT_EQ(verdict.alerts, 1);
    EXPECT_EQ(verdict.alert_code, static_cast<std::uint8_t>(Alert::access_denied));
    EXPECT_EQ(verdict.issued, 0);
    EXPECT_EQ(verdict.keying_sent, 0);
    EXPECT_EQ(verdict.established_events, 0);
    EXPECT_EQ(verdict.why.find(testing::test_password), std::string::npos);
  }
}

TEST_P(Password, AUTH2_H13_WhileThePasswordIsCheckedNothingMovesAndNothingGrows) {
  Stage stage(flow(), Side::server);
  stage.password_verdict.reset();
  ASSERT_TRUE(stage.walk_to(response() + 1));
  ASSERT_EQ(stage.verdict().passwords, 1);
  EXPECT_EQ(stage.verdict().issued, 0);
  EXPECT_EQ(stage.verdict().keying_sent, 0);
  EXPECT_FALSE(stage.real().send(Keepalive{1}));
  // A peer that keeps sending is cut off within the limit.
  int records = 0;
  while (!stage.real().failed() && records < 1000) {
    stage.puppet().send_record(ContentType::handshake, Bytes(1000, 0));
    stage.deliver();
    ++records;
  }
  EXPECT_LT(records, 80);
  EXPECT_EQ(stage.verdict().established_events, 0);
  EXPECT_FALSE(stage.real().password_checked(true, test_now)) << "too late";
  EXPECT_EQ(stage.verdict().issued, 0);
}

INSTANTIATE_TEST_SUITE_P(EveryFlow, Password, ::testing::ValuesIn([] {
                           std::vector<Flow> flows;
                           for (const FlowDefinition& definition_of : flow_definitions)
                             if (asks_password(definition_of.flow)) flows.push_back(definition_of.flow);
                           return flows;
                         }()),
                         [](const auto& flow) { return identifier(flow.param); });

}  // namespace
}  // namespace sealcast::handshake::adversary
