// The primitives against published vectors and independent code, and every key of the key schedule against the formulas
// of docs/protocol.md "Keys" written out with plain HMAC.
#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/testing/places.h"
#include "handshake/certificate/credentials.h"
#include "handshake/crypto/aead.h"
#include "handshake/crypto/key_exchange.h"
#include "handshake/crypto/key_transport.h"
#include "handshake/crypto/key_wrap.h"
#include "handshake/crypto/prf.h"
#include "handshake/crypto/signature.h"
#include "handshake/keys/key_schedule.h"
#include "handshake/testing/in_process.h"

namespace sealcast::handshake {
namespace {

Bytes from_hex(std::string_view text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return out;
}

// Project Wycheproof's vectors, which are kept outside the tree; nothing if they are not there.
std::optional<nlohmann::json> wycheproof(const std::string& name) {
  const auto path = std::filesystem::path(places::source_folder()) / "../shared/vectors/wycheproof" / name;
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return nlohmann::json::parse(file, nullptr, false);
}
#define NEED_VECTORS(variable, file)      \
  const auto variable = wycheproof(file); \
  if (!variable) GTEST_SKIP() << "Wycheproof vectors are not at ../shared/vectors: " file

// RFC 5246 §5, coded from its text.
Bytes hmac(HashKind hash, const Bytes& key, const Bytes& data) {
  Bytes out(static_cast<std::size_t>(EVP_MD_get_size(message_digest(hash))));
  unsigned size = 0;
  HMAC(message_digest(hash), key.data(), static_cast<int>(key.size()), data.data(), data.size(), out.data(), &size);
  return out;
}
Bytes join(std::initializer_list<Bytes> parts) {
  Bytes out;
  for (const Bytes& part : parts)
    out.insert(out.end(), part.begin(), part.end());
  return out;
}
Bytes text(std::string_view value) {
  return {value.begin(), value.end()};
}
Bytes reference_prf(HashKind hash, const Bytes& secret, std::string_view label, const Bytes& seed, std::size_t size) {
  const Bytes labelled = join({text(label), seed});
  Bytes out, a = labelled;
  while (out.size() < size) {
    a = hmac(hash, secret, a);
    out = join({out, hmac(hash, secret, join({a, labelled}))});
  }
  out.resize(size);
  return out;
}
Bytes our_prf(HashKind hash, const Bytes& secret, std::string_view label, const Bytes& seed, std::size_t size) {
  Bytes out(size);
  prf(hash, secret, label, seed, out);
  return out;
}
Bytes bytes_of(ByteView view) {
  return {view.begin(), view.end()};
}

TEST(Prf, KnownAnswerSha256) {  // IETF TLS working group's vectors for P_SHA256
  EXPECT_EQ(to_hex(our_prf(HashKind::sha256, from_hex("9bbe436ba940f017b17652849a71db35"), "test label",
                           from_hex("a0ba9f936cda311827a6f796ffd5198c"), 100)),
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa0"
            "22f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66");
}

TEST(Prf, KnownAnswerSha384) {
  EXPECT_EQ(to_hex(our_prf(HashKind::sha384, from_hex("b80b733d6ceefcdc71566ea48e5567df"), "test label",
                           from_hex("cd665cf6a8447dd6ff8b27555edb7465"), 148)),
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534"
            "cb400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd"
            "4d90fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f");
}

TEST(Prf, AgreesWithTheTextOfRfc5246) {
  for (const HashKind hash : {HashKind::sha256, HashKind::sha384})
    for (const std::size_t seed : {0u, 1u, 48u, 64u, 500u})
      for (const std::size_t size : {1u, 12u, 16u, 48u, 72u, 200u})
        EXPECT_EQ(our_prf(hash, Bytes(96, 7), "multicast channel", Bytes(seed, 9), size),
                  reference_prf(hash, Bytes(96, 7), "multicast channel", Bytes(seed, 9), size));
}

struct ScheduleCase {
  CipherSuite suite;
  HashKind hash;
  std::size_t key_size;
};
class Schedule : public ::testing::TestWithParam<ScheduleCase> {};

TEST_P(Schedule, P42_GroupKeysComeFromThePremasterAlone) {
  const auto& [suite, hash, key_size] = GetParam();
  const GroupKeying keying = testing::sample_keying(suite);
  const Bytes premaster = bytes_of(keying.premaster.view());
  const GroupMaster master = derive_group_master(suite, keying.premaster);
  const Bytes master_bytes = reference_prf(hash, premaster, "multicast master secret", {}, 48);
  EXPECT_EQ(bytes_of(master.view()), master_bytes);
  EXPECT_EQ(bytes_of(derive_epoch_id(suite, master)), reference_prf(hash, master_bytes, "multicast epoch id", {}, 16));
  const SaKey sa = derive_sa_key(suite, master, "tv", 0x0102030405060708, 0x10000002);
  const Bytes expected =
      reference_prf(hash, master_bytes, "multicast sa key",
                    join({{2}, text("tv"), from_hex("0102030405060708"), from_hex("10000002")}), key_size + 4);
  EXPECT_EQ(sa.key_size, key_size);
  EXPECT_EQ(bytes_of({sa.key.data(), key_size}), Bytes(expected.begin(), expected.end() - 4));
  EXPECT_EQ(bytes_of(sa.salt), Bytes(expected.end() - 4, expected.end()));
}

TEST_P(Schedule, H2_ChannelKeysMixTheConnectionsOwnSecret) {
  const auto& [suite, hash, key_size] = GetParam();
  Secret<48> first, group;
  first.span()[5] = 1;
  group.span()[6] = 2;
  Digest digest;
  digest.size = hash == HashKind::sha384 ? 48 : 32;
  digest.bytes[3] = 4;
  const Bytes both = join({bytes_of(first.view()), bytes_of(group.view())});
  const MasterSecret channel = channel_master(hash, first, group, digest);
  const Bytes channel_bytes = reference_prf(hash, both, "multicast channel", bytes_of(digest.view()), 48);
  EXPECT_EQ(bytes_of(channel.view()), channel_bytes);
  EXPECT_EQ(bytes_of(finished_data(hash, channel, Side::client, digest)),
            reference_prf(hash, channel_bytes, "client finished", bytes_of(digest.view()), 12));
  EXPECT_EQ(bytes_of(finished_data(hash, channel, Side::server, digest)),
            reference_prf(hash, channel_bytes, "server finished", bytes_of(digest.view()), 12));
  EXPECT_EQ(bytes_of(server_verify_data(hash, first, digest)),
            reference_prf(hash, bytes_of(first.view()), "multicast server verify", bytes_of(digest.view()), 12));
  EXPECT_EQ(bytes_of(extended_master_secret(hash, Bytes(32, 3), digest).view()),
            reference_prf(hash, Bytes(32, 3), "extended master secret", bytes_of(digest.view()), 48));
}

TEST_P(Schedule, KeyBlockIsSplitAsRfc5246) {
  const auto& [suite, hash, key_size] = GetParam();
  Secret<48> master;
  master.span()[0] = 9;
  HelloRandom server{}, client{};
  server.fill(1);
  client.fill(2);
  const KeyBlock keys = expand_keys(suite, master, server, client);
  const Bytes block = reference_prf(hash, bytes_of(master.view()), "key expansion",
                                    join({bytes_of(server), bytes_of(client)}), 2 * key_size + 8);
  EXPECT_EQ(join({bytes_of(keys.client_write.key.view()), bytes_of(keys.server_write.key.view()),
                  bytes_of(keys.client_write.salt.view()), bytes_of(keys.server_write.salt.view())}),
            block);
}

INSTANTIATE_TEST_SUITE_P(
    Suites, Schedule,
    ::testing::Values(ScheduleCase{CipherSuite::ecdhe_ecdsa_aes_128_gcm_sha256, HashKind::sha256, 16},
                      ScheduleCase{CipherSuite::ecdhe_ecdsa_aes_256_gcm_sha384, HashKind::sha384, 32},
                      ScheduleCase{CipherSuite::ecdhe_rsa_aes_128_gcm_sha256, HashKind::sha256, 16}));

class FixedRandom final : public Random {
 public:
  explicit FixedRandom(Bytes bytes) : bytes_(std::move(bytes)) {}
  void fill(ByteSpan out) override { std::copy_n(bytes_.begin(), out.size(), out.begin()); }

 private:
  Bytes bytes_;
};

TEST(Wycheproof, X25519) {
  NEED_VECTORS(vectors, "x25519_test.json");
  int agreed = 0, refused = 0;
  for (const auto& group : (*vectors)["testGroups"])
    for (const auto& test : group["tests"]) {
      FixedRandom random(from_hex(test["private"].get<std::string>()));
      const auto share = KeyShare::generate(NamedGroup::x25519, random);
      ASSERT_TRUE(share);
      const std::string shared = test["shared"];
      const auto secret = share->agree(from_hex(test["public"].get<std::string>()));
      if (shared == std::string(64, '0')) {
        EXPECT_FALSE(secret) << test["tcId"] << ": an all-zero result must be refused";
        ++refused;
      } else {
        ASSERT_TRUE(secret) << test["tcId"];
        EXPECT_EQ(to_hex(secret->view()), shared) << test["tcId"];
        ++agreed;
      }
    }
  EXPECT_GT(agreed, 400);
  EXPECT_GT(refused, 10);
}

TEST(Wycheproof, Secp256r1Points) {
  NEED_VECTORS(vectors, "ecdh_secp256r1_test.json");
  const auto share = KeyShare::generate(NamedGroup::secp256r1, system_random());
  ASSERT_TRUE(share);
  int accepted = 0, refused = 0;
  for (const auto& group : (*vectors)["testGroups"])
    for (const auto& test : group["tests"]) {
      const Bytes spki = from_hex(test["public"].get<std::string>());
      const std::string flags = test["flags"].dump();
      if (spki.size() != 91) continue;  // the plain SPKI of an uncompressed P-256 point
      const Bytes point(spki.end() - 65, spki.end());
      if (test["result"] == "valid") {
        EXPECT_TRUE(share->agree(point)) << test["tcId"];
        ++accepted;
      } else if (flags.find("InvalidCurveAttack") != std::string::npos) {
        EXPECT_FALSE(share->agree(point)) << test["tcId"] << ": not on the curve";
        ++refused;
      }
    }
  EXPECT_GT(accepted, 200);
  EXPECT_GT(refused, 5);
}

TEST(Wycheproof, EcdsaSecp256r1Sha256) {
  NEED_VECTORS(vectors, "ecdsa_secp256r1_sha256_test.json");
  int valid = 0, invalid = 0;
  for (const auto& group : (*vectors)["testGroups"]) {
    const Bytes der = from_hex(group["publicKeyDer"].get<std::string>());
    const unsigned char* next = der.data();
    const PkeyPtr key(d2i_PUBKEY(nullptr, &next, static_cast<long>(der.size())));
    ASSERT_TRUE(key);
    for (const auto& test : group["tests"]) {
      const bool good = verify_signature(key.get(), 0x0403, from_hex(test["msg"].get<std::string>()),
                                         from_hex(test["sig"].get<std::string>()))
                            .has_value();
      EXPECT_EQ(good, test["result"] == "valid") << test["tcId"] << " " << test["comment"];
      ++(good ? valid : invalid);
    }
  }
  EXPECT_GT(valid, 100);
  EXPECT_GT(invalid, 100);
}

TEST(Wycheproof, AesGcm) {
  NEED_VECTORS(vectors, "aes_gcm_test.json");
  int valid = 0, invalid = 0;
  for (const auto& group : (*vectors)["testGroups"]) {
    if (group["ivSize"] != 96 || group["tagSize"] != 128 || group["keySize"] == 192) continue;
    for (const auto& test : group["tests"]) {
      DirectionKeys keys;
      const Bytes key = from_hex(test["key"].get<std::string>());
      const Bytes iv = from_hex(test["iv"].get<std::string>());
      keys.key = SecretBytes(key.size());
      std::copy(key.begin(), key.end(), keys.key.data());
      std::copy_n(iv.begin(), 4, keys.salt.data());
      const auto nonce = load_be<std::uint64_t>(iv.data() + 4);
      const Bytes aad = from_hex(test["aad"].get<std::string>());
      const Bytes message = from_hex(test["msg"].get<std::string>());
      const Bytes sealed = join({from_hex(test["ct"].get<std::string>()), from_hex(test["tag"].get<std::string>())});
      Bytes opened(sealed.size() - gcm_tag_size);
      const bool good = AesGcm(keys, AesGcm::Direction::open).open(nonce, aad, sealed, opened);
      EXPECT_EQ(good, test["result"] == "valid") << test["tcId"];
      ++(good ? valid : invalid);
      if (!good) continue;
      EXPECT_EQ(opened, message) << test["tcId"];
      Bytes made(message.size() + gcm_tag_size);
      AesGcm(keys, AesGcm::Direction::seal).seal(nonce, aad, message, made);
      EXPECT_EQ(made, sealed) << test["tcId"];
    }
  }
  EXPECT_GT(valid, 30);
  EXPECT_GT(invalid, 30);
}

// RFC 8017 appendix B.2.1 with SHA-256, coded from its text.
Bytes mgf1(const Bytes& seed, std::size_t size) {
  Bytes mask;
  for (std::uint8_t counter = 0; mask.size() < size; ++counter) {
    Hash hash(HashKind::sha256);
    hash.add(join({seed, {0, 0, 0, counter}}));
    mask = join({mask, bytes_of(hash.digest().view())});
  }
  mask.resize(size);
  return mask;
}
Bytes exclusive_or(Bytes a, const Bytes& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    a[i] = static_cast<std::uint8_t>(a[i] ^ b[i]);
  return a;
}

TEST(KeyTransport, P16_IsRsaesOaepOfBothSecretsAsRfc8017WritesIt) {
  testing::TestPki pki;
  const Credentials member = pki.decrypting_member("member-a").credentials;
  TransportedKeys keys;
  for (std::size_t i = 0; i < 48; ++i) {
    keys.premaster.data()[i] = static_cast<std::uint8_t>(i + 1);
    keys.member_secret.data()[i] = static_cast<std::uint8_t>(i + 100);
  }
  const auto sealed = seal_keys(member->key.get(), keys);
  ASSERT_TRUE(sealed && sealed->size() == 256);
  EXPECT_NE(*seal_keys(member->key.get(), keys), *sealed) << "never the same twice";
  const auto opened = open_keys(member->key.get(), *sealed);
  ASSERT_TRUE(opened);
  EXPECT_TRUE(opened->premaster.equals(keys.premaster) && opened->member_secret.equals(keys.member_secret));

  const PkeyCtxPtr raw(EVP_PKEY_CTX_new_from_pkey(nullptr, member->key.get(), nullptr));
  Bytes encoded(256);
  std::size_t size = encoded.size();
  ASSERT_EQ(EVP_PKEY_decrypt_init(raw.get()), 1);
  ASSERT_EQ(EVP_PKEY_CTX_set_rsa_padding(raw.get(), RSA_NO_PADDING), 1);
  ASSERT_EQ(EVP_PKEY_decrypt(raw.get(), encoded.data(), &size, sealed->data(), sealed->size()), 1);
  EXPECT_EQ(encoded[0], 0);
  const Bytes masked_seed(encoded.begin() + 1, encoded.begin() + 33);
  const Bytes masked_data(encoded.begin() + 33, encoded.end());
  const Bytes seed = exclusive_or(masked_seed, mgf1(masked_data, 32));
  const Bytes data = exclusive_or(masked_data, mgf1(seed, masked_data.size()));
  Bytes expected = bytes_of(Hash(HashKind::sha256).digest().view());  // of the empty label
  expected.resize(data.size() - 97, 0);
  expected.push_back(1);
  expected = join({expected, bytes_of(keys.premaster.view()), bytes_of(keys.member_secret.view())});
  EXPECT_EQ(data, expected);
}

TEST(Wycheproof, H6_RsaOaepSha256) {
  NEED_VECTORS(file, "rsa_oaep_2048_sha256_mgf1sha256_test.json");
  std::size_t refused = 0;
  for (const auto& group : (*file)["testGroups"]) {
    const Bytes der = from_hex(group["privateKeyPkcs8"].get<std::string>());
    const unsigned char* next = der.data();
    const PkeyPtr key(d2i_AutoPrivateKey(nullptr, &next, static_cast<long>(der.size())));
    ASSERT_TRUE(key);
    for (const auto& test : group["tests"]) {
      const bool ours = test["result"] == "valid" && test["label"].get<std::string>().empty() &&
                        test["msg"].get<std::string>().size() == 2 * 96;
      const auto opened = open_keys(key.get(), from_hex(test["ct"].get<std::string>()));
      EXPECT_EQ(opened.has_value(), ours) << test["tcId"] << " " << test["comment"];
      refused += opened ? 0 : 1;
    }
  }
  EXPECT_GT(refused, 20u);
}

TEST(KeyShares, WrongFormsAreRefused) {
  const auto x = KeyShare::generate(NamedGroup::x25519, system_random());
  const auto p = KeyShare::generate(NamedGroup::secp256r1, system_random());
  ASSERT_TRUE(x && p);
  EXPECT_FALSE(x->agree(p->point()));
  EXPECT_FALSE(p->agree(x->point()));
  EXPECT_FALSE(x->agree({}));
  EXPECT_FALSE(x->agree(Bytes(32, 0)));
  EXPECT_FALSE(p->agree(Bytes(65, 4)));
  Bytes compressed(p->point().begin(), p->point().begin() + 33);
  compressed[0] = 2;
  EXPECT_FALSE(p->agree(compressed));
  Bytes hybrid = p->point();
  hybrid[0] = static_cast<std::uint8_t>(6 | (hybrid[64] & 1));
  EXPECT_FALSE(p->agree(hybrid));
  EXPECT_FALSE(p->agree(Bytes(1, 0))) << "the point at infinity";
}

TEST(Signatures, SEQ2_OnlyTheRightSchemeKeyAndMessageVerify) {
  testing::TestPki pki;
  const Bytes message = text("a transcript");
  const std::vector<std::pair<testing::KeyKind, std::vector<std::uint16_t>>> kinds = {
      {testing::KeyKind::p256, {0x0403, 0x0503}},
      {testing::KeyKind::p384, {0x0403, 0x0503}},
      {testing::KeyKind::ed25519, {0x0807}},
      {testing::KeyKind::rsa2048, {0x0804, 0x0805, 0x0401, 0x0501}},
  };
  for (const auto& [kind, schemes] : kinds) {
    const auto credentials = pki.member("m", {}, kind).credentials;
    EVP_PKEY* key = credentials->key.get();
    for (const std::uint16_t scheme : schemes) {
      const auto signature = sign(key, SignatureScheme{scheme}, message);
      ASSERT_TRUE(signature) << scheme_name(scheme);
      EXPECT_TRUE(verify_signature(key, scheme, message, *signature));
      EXPECT_FALSE(verify_signature(key, scheme, text("another transcript"), *signature));
      Bytes bent = *signature;
      bent.back() = static_cast<std::uint8_t>(bent.back() ^ 1);
      EXPECT_EQ(verify_signature(key, scheme, message, bent).error().reason, Reason::signature_invalid);
      for (const SignatureScheme other : offered_schemes) {
        const auto number = static_cast<std::uint16_t>(other);
        if (number == scheme) continue;
        EXPECT_FALSE(verify_signature(key, number, message, *signature))
            << scheme_name(scheme) << " passed as " << scheme_name(number);
      }
    }
    for (const std::uint16_t weak : {0x0201, 0x0203, 0x0101, 0x0000, 0x0603})
      EXPECT_EQ(verify_signature(key, weak, message, Bytes(64)).error().reason,
                Reason::signature_algorithm_not_offered);
  }
}

// RFC 3394 §4.1 and §4.6.
TEST(KeyWrap, AgreesWithTheVectorsOfRfc3394) {
  const struct {
    const char *key, *secret, *wrapped;
  } vectors[] = {
      {"000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff",
       "1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5"},
      {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
       "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f",
       "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"},
  };
  for (const auto& v : vectors) {
    const Bytes key = from_hex(v.key), secret = from_hex(v.secret), expected = from_hex(v.wrapped);
    Bytes wrapped(secret.size() + key_wrap_overhead);
    wrap_key(key, secret, wrapped);
    EXPECT_EQ(wrapped, expected);
    Bytes opened(secret.size());
    EXPECT_TRUE(unwrap_key(key, wrapped, opened));
    EXPECT_EQ(opened, secret);
    for (std::size_t bit = 0; bit < wrapped.size() * 8; bit += 5) {
      Bytes bent = wrapped;
      bent[bit / 8] = static_cast<std::uint8_t>(bent[bit / 8] ^ (1U << (bit % 8)));
      EXPECT_FALSE(unwrap_key(key, bent, opened)) << bit;
      EXPECT_EQ(opened, Bytes(secret.size())) << "nothing is left of a secret that did not verify";
    }
    Bytes other = key;
    other[0] = 1;
    EXPECT_FALSE(unwrap_key(other, wrapped, opened));
    EXPECT_FALSE(unwrap_key(key, ByteView(wrapped).first(wrapped.size() - 8), opened)) << "another length";
  }
}

}  // namespace
}  // namespace sealcast::handshake
