// Variant 1: the group's secret under the member's RSA key, signed by the key server. What the member checks before it
// decrypts (H1, SMKE-1, SMKE-2), the one failure of everything after that (H6, SMKE-3), and who may take part (P16,
// P20).
#include <gtest/gtest.h>
#include <openssl/rsa.h>

#include <set>

#include "handshake/certificate/credentials.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/testing/puppet.h"

namespace sealcast::handshake {
namespace {

using namespace testing;  // NOLINT: the fixtures

World& world() {
  static World shared(Flow::variant1);  // keys and certificates are made once
  return shared;
}

// What a real member does with a puppet's handshake.
struct Seen {
  bool established = false;
  bool policy_asked = false;
  HandshakeError error;
  Bytes output;  // what the member sent last
};

Seen play(const std::function<void(Puppet&)>& prepare) {
  World& w = world();
  Seen seen;
  w.client_config.accept_keying = [&seen](const GroupKeying&, const EpochId&) -> sealcast::Result<void> {
    seen.policy_asked = true;
    return {};
  };
  const auto client = w.client();
  w.client_config.accept_keying = nullptr;
  Puppet server(Side::server, w, true);
  if (prepare) prepare(server);
  server.receive(client->take_output());
  for (const Step& step : definition(Flow::variant1).steps) {
    if (step.from != Side::server || client->failed()) continue;
    server.send(step);
    (void)client->receive(server.take_output(), test_now);
    seen.output = client->take_output();
    server.receive(seen.output);
  }
  seen.established = client->established();
  if (client->failure() != nullptr) seen.error = *client->failure();
  return seen;
}

std::function<void(Puppet&)> bend_smke(std::function<void(SensitiveBytes&)> bend) {
  return [bend](Puppet& puppet) {
    puppet.bend = [bend](const Step& step, SensitiveBytes& body) {
      if (step.message == Message::server_master_key_exchange) bend(body);
    };
  };
}

void expect_refused(const Seen& seen, Reason reason, const std::string& what) {
  EXPECT_FALSE(seen.established) << what;
  EXPECT_EQ(seen.error.reason, reason) << what << ": " << seen.error.message();
  EXPECT_FALSE(seen.policy_asked) << what;
  EXPECT_EQ(seen.output.size(), 7u) << what << ": one alert and nothing else";
}

std::size_t signature_at(const SensitiveBytes& body) {
  return find_smke_signature(body)->signed_part.size();
}

TEST(Variant1, H1_TheUnbentOneIsTaken) {
  const Seen seen = play(nullptr);
  EXPECT_TRUE(seen.established && seen.policy_asked) << seen.error.message();
}

TEST(Variant1, SMKE1_FLAG2_UnsignedIsRefused) {
  expect_refused(play(bend_smke([](SensitiveBytes& body) {
                   const std::size_t at = signature_at(body);
                   body.resize(at + 2);
                   body[at] = body[at + 1] = 0;
                 })),
                 Reason::signature_invalid, "no signature");
}

TEST(Variant1, SMKE1_SignedByAnotherValidCertificate) {
  const std::vector<std::pair<const char*, Credentials>> signers = {
      {"another key server of the same authority", world().pki.server("ks2.example", KeyKind::rsa2048).credentials},
      {"a member", world().pki.decrypting_member("member-b").credentials},
      {"the member itself", world().client_config.credentials},
  };
  for (const auto& [what, signer] : signers)
    expect_refused(play([&by = signer](Puppet& puppet) { puppet.smke_signer = by; }), Reason::signature_invalid, what);
  expect_refused(
      play([](Puppet& puppet) { puppet.smke_signer = world().pki.server("ks.example", KeyKind::p256).credentials; }),
      Reason::signature_algorithm_not_offered, "a key of another kind under the right name");
}

TEST(Variant1, SMKE1_TheSignatureCoversLabelTranscriptAndEveryByteOfTheBody) {
  for (const std::size_t at : {std::size_t{0}, std::size_t{70}, std::size_t{100}, std::size_t{110}})
    expect_refused(play([at](Puppet& puppet) {
                     puppet.bend_signed_content = [at](SensitiveBytes& content) { content[at] ^= 1; };
                   }),
                   Reason::signature_invalid,
                   "padding, label, separator or transcript changed at " + std::to_string(at));
  std::size_t size = 0;
  (void)play(bend_smke([&size](SensitiveBytes& body) { size = signature_at(body); }));
  ASSERT_GT(size, 300u);
  for (std::size_t at = 0; at < size; at += 7) {
    const Seen seen = play(bend_smke([at](SensitiveBytes& body) { body[at] ^= 0x80; }));
    EXPECT_FALSE(seen.established || seen.policy_asked) << at;
    // A changed length no longer parses; every other change is the signature's to notice, before anything is decrypted.
    EXPECT_TRUE(seen.error.reason == Reason::signature_invalid || seen.error.reason == Reason::decode_error)
        << at << ": " << seen.error.message();
  }
}

TEST(Variant1, SMKE1_SMKE2_AnotherHandshakesSmkeIsRefused) {
  // As a server's SMKE for the same member in an earlier handshake, and for another member: body and signature whole.
  for (const bool same_member : {true, false}) {
    Bytes earlier;
    World& w = world();
    const Credentials own = w.client_config.credentials;
    if (!same_member) w.client_config.credentials = w.pki.decrypting_member("member-b", {"tv"}).credentials;
    (void)play(bend_smke([&earlier](SensitiveBytes& body) { earlier.assign(body.begin(), body.end()); }));
    w.client_config.credentials = own;
    expect_refused(play(bend_smke([&earlier](SensitiveBytes& body) { body.assign(earlier.begin(), earlier.end()); })),
                   Reason::signature_invalid, same_member ? "replayed" : "relayed from another member");
  }
}

TEST(Variant1, SMKE2_AFormerMemberWhoKnowsTheMasterCannotMakeOne) {
  // He encrypts the secret he knows to the member's public key, and signs with what he has.
  const Credentials former = world().pki.decrypting_member("member-b", {"tv"}).credentials;
  expect_refused(play([&former](Puppet& puppet) { puppet.smke_signer = former; }), Reason::signature_invalid,
                 "made by a former member");
}

TEST(Variant1, SMKE1_BeforeDecryptionTheSignatureDecides) {
  // Both are broken: what is told is the signature, so the key material was not looked at.
  expect_refused(play([](Puppet& puppet) {
                   puppet.seal = [](EVP_PKEY*) { return Bytes(256, 0x5a); };
                   puppet.bend_signed_content = [](SensitiveBytes& content) { content[0] ^= 1; };
                 }),
                 Reason::signature_invalid, "bad signature over bad key material");
}

// RSA encryption of any plaintext with any padding.
struct Oaep {
  int padding = RSA_PKCS1_OAEP_PADDING;
  const EVP_MD* digest = EVP_sha256();
  const EVP_MD* mask = EVP_sha256();
  std::string label;
};
Bytes encrypt(EVP_PKEY* key, const Bytes& plaintext, const Oaep& how) {
  const PkeyCtxPtr context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  EVP_PKEY_encrypt_init(context.get());
  EVP_PKEY_CTX_set_rsa_padding(context.get(), how.padding);
  if (how.padding == RSA_PKCS1_OAEP_PADDING) {
    EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), how.digest);
    EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), how.mask);
    if (!how.label.empty())
      EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), OPENSSL_strdup(how.label.c_str()),
                                       static_cast<int>(how.label.size()));
  }
  Bytes out(256);
  std::size_t size = out.size();
  EXPECT_EQ(EVP_PKEY_encrypt(context.get(), out.data(), &size, plaintext.data(), plaintext.size()), 1);
  return out;
}

TEST(Variant1, SMKE3_H6_EverythingWrongWithTheKeyMaterialIsOneFailure) {
  Bytes good(96, 7);
  Bytes zero_premaster(96, 7);
  std::fill_n(zero_premaster.begin(), 48, std::uint8_t{0});
  const Credentials other = world().pki.decrypting_member("member-b").credentials;
  const std::vector<std::pair<const char*, std::function<Bytes(EVP_PKEY*)>>> cases = {
      {"random bytes", [](EVP_PKEY*) { return Bytes(256, 0x33); }},
      {"zero", [](EVP_PKEY*) { return Bytes(256, 0); }},
      {"one",
       [](EVP_PKEY*) {
         Bytes one(256, 0);
         one.back() = 1;
         return one;
       }},
      {"above the modulus", [](EVP_PKEY*) { return Bytes(256, 0xff); }},
      {"255 bytes", [](EVP_PKEY*) { return Bytes(255, 1); }},
      {"257 bytes", [](EVP_PKEY*) { return Bytes(257, 1); }},
      {"1 byte", [](EVP_PKEY*) { return Bytes(1, 1); }},
      {"under another key", [&](EVP_PKEY*) { return encrypt(other->key.get(), good, {}); }},
      {"PKCS #1 v1.5",
       [&](EVP_PKEY* key) {
         return encrypt(key, good, {RSA_PKCS1_PADDING, {}, {}, {}});
       }},
      {"OAEP with SHA-1",
       [&](EVP_PKEY* key) {
         return encrypt(key, good, {4, EVP_sha1(), EVP_sha1(), {}});
       }},
      {"MGF1 with SHA-1",
       [&](EVP_PKEY* key) {
         return encrypt(key, good, {4, EVP_sha256(), EVP_sha1(), {}});
       }},
      {"a label",
       [&](EVP_PKEY* key) {
         return encrypt(key, good, {4, EVP_sha256(), EVP_sha256(), "label"});
       }},
      {"95 bytes inside", [](EVP_PKEY* key) { return encrypt(key, Bytes(95, 7), {}); }},
      {"97 bytes inside", [](EVP_PKEY* key) { return encrypt(key, Bytes(97, 7), {}); }},
      {"48 bytes inside", [](EVP_PKEY* key) { return encrypt(key, Bytes(48, 7), {}); }},
      {"nothing inside", [](EVP_PKEY* key) { return encrypt(key, Bytes(), {}); }},
      {"an all-zero premaster", [&](EVP_PKEY* key) { return encrypt(key, zero_premaster, {}); }},
      {"nothing but zeros", [](EVP_PKEY* key) { return encrypt(key, Bytes(96, 0), {}); }},
  };
  std::set<std::string> lines;
  std::set<Bytes> alerts;
  for (const auto& [what, seal] : cases) {
    const Seen seen = play([&how = seal](Puppet& puppet) { puppet.seal = how; });
    expect_refused(seen, Reason::key_material_refused, what);
    lines.insert(seen.error.message());
    alerts.insert(seen.output);
  }
  EXPECT_EQ(lines.size(), 1u) << "one line for all";
  EXPECT_EQ(alerts.size(), 1u) << "one alert for all";
  // The same plaintext, sound: the opened one is not refused.
  EXPECT_EQ(EVP_PKEY_get_bits(world().client_config.credentials->key.get()), 2048);
  const auto keys = open_keys(world().client_config.credentials->key.get(),
                              encrypt(world().client_config.credentials->key.get(), good, {}));
  ASSERT_TRUE(keys);
  EXPECT_EQ(keys->premaster.data()[0], 7);
}

TEST(Variant1, P13_TheClientSendsNoKeyExchangeAndOffersNoCurve) {
  World& w = world();
  const auto client = w.client();
  Puppet server(Side::server, w, true);
  server.receive(client->take_output());
  for (const Message message :
       {Message::server_hello, Message::certificate, Message::certificate_request, Message::server_hello_done})
    server.send({Side::server, message});
  ASSERT_TRUE(client->receive(server.take_output(), test_now));
  server.receive(client->take_output());
  EXPECT_EQ(server.seen(), (std::vector<std::string>{"ClientHello", "Certificate", "CertificateVerify"})) << "P14, P15";
}

TEST(Variant1, FIN3_APeerThatStopsAfterTheServersFinishedIsNoMember) {
  World& w = world();
  w.authority.issued = 0;
  const auto server = w.server();
  Puppet member(Side::client, w, true);
  for (const Message message : {Message::client_hello, Message::certificate, Message::certificate_verify}) {
    member.send({Side::client, message});
    ASSERT_TRUE(server->receive(member.take_output(), test_now));
    member.receive(server->take_output());
  }
  EXPECT_EQ(member.seen().back(), "Finished");
  EXPECT_TRUE(member.peer_finished_valid());
  auto events = server->take_events();
  EXPECT_TRUE(find_event<KeyingSent>(events)) << "H3: it holds the epoch, for revocation and audit";
  EXPECT_FALSE(find_event<Established>(events)) << "H3: and is no member";
  EXPECT_FALSE(server->established());
  EXPECT_FALSE(server->send(Activate{"tv", 1})) << "nothing is released to it";
}

TEST(Variant1, P20_P39_AUTH3_WhoMayBeEncryptedTo) {
  CertificateOptions options;
  options.key = KeyKind::rsa2048;
  options.key_encipherment = true;
  options.multicast = MulticastExtension{true, std::vector<std::string>{"tv"}};
  struct Case {
    const char* what;
    Reason reason;
    std::function<void(CertificateOptions&)> bend;
  };
  const std::vector<Case> cases = {
      {"an elliptic key", Reason::certificate_wrong_key_type, [](CertificateOptions& o) { o.key = KeyKind::p256; }},
      {"no keyEncipherment", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.key_encipherment = false; }},
      {"no digitalSignature", Reason::certificate_wrong_usage,
       [](CertificateOptions& o) { o.digital_signature = false; }},
      {"no multicast extension", Reason::certificate_not_multicast, [](CertificateOptions& o) { o.multicast.reset(); }},
      {"another group", Reason::certificate_wrong_group,
       [](CertificateOptions& o) { o.multicast->groups = std::vector<std::string>{"radio"}; }},
  };
  World& w = world();
  const Credentials own = w.client_config.credentials;
  for (const Case& one : cases) {
    CertificateOptions bent = options;
    one.bend(bent);
    w.client_config.credentials = w.pki.issue(bent).credentials;
    w.authority.issued = 0;
    const auto server = w.server();
    Puppet member(Side::client, w, true);
    for (const Message message : {Message::client_hello, Message::certificate, Message::certificate_verify}) {
      if (server->failed()) break;
      member.send({Side::client, message});
      (void)server->receive(member.take_output(), test_now);
      member.receive(server->take_output());
    }
    ASSERT_TRUE(server->failed()) << one.what;
    EXPECT_EQ(server->failure()->reason, one.reason) << one.what << ": " << server->failure()->message();
    EXPECT_EQ(w.authority.issued, 0) << one.what;
    EXPECT_EQ(member.alert_records(), 1) << one.what;
  }
  w.client_config.credentials = own;
}

TEST(Variant1, P31_TheServerNeedsAnRsaKeyAndTheClientTheSuite) {
  World elliptic(Flow::variant1);
  elliptic.server_config.credentials = elliptic.pki.server("ks.example", KeyKind::p256).credentials;
  const auto server = elliptic.server();
  const auto client = elliptic.client();
  pump(*client, *server);
  EXPECT_EQ(server->failure()->reason, Reason::own_certificate_missing);

  // A server that shows an elliptic key nevertheless.
  const Credentials own = world().server_config.credentials;
  world().server_config.credentials = elliptic.server_config.credentials;
  world().client_config.server_trust = elliptic.pki.trust();
  const Seen seen = play(nullptr);
  world().server_config.credentials = own;
  world().client_config.server_trust = world().pki.trust();
  EXPECT_EQ(seen.error.reason, Reason::certificate_wrong_key_type) << seen.error.message();
}

TEST(Variant1, BothSuitesRun) {
  for (const CipherSuite suite : {CipherSuite::rsa_aes_128_gcm_sha256, CipherSuite::rsa_aes_256_gcm_sha384}) {
    World w(Flow::variant1);
    GroupFlow flow = group_flow(Flow::variant1);
    flow.suite = suite;
    w.set_group_flow(flow);
    const auto server = w.server();
    const auto client = w.client();
    pump(*client, *server);
    EXPECT_TRUE(server->established() && client->established());
  }
}

}  // namespace
}  // namespace sealcast::handshake
