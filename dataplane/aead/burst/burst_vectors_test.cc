// The burst engine on NIST's CAVP vectors (Debian's python3-cryptography-vectors) and Wycheproof's. Bursts hold vectors
// of one key size, each packet with the key of its vector: mixed keys, lengths and AADs at once.
#include <gtest/gtest.h>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"
#include "dataplane/aead/testing/vectors.h"

namespace sealcast::dataplane::aead {
namespace {

using namespace burst_testing;

TestPacket packet_of(const Vector& v, const Bytes& data, std::size_t key) {
  TestPacket p;
  p.key = key;
  std::copy(v.iv.begin(), v.iv.end(), p.nonce.begin());
  p.aad = v.aad;
  p.data = data;
  p.data.insert(p.data.end(), v.tag.begin(), v.tag.end());
  return p;
}

void check_at_once(const Engine& engine, const std::vector<Vector>& vectors) {
  std::vector<Bytes> raw;
  std::vector<TestPacket> sealing, opening;
  std::vector<std::size_t> valid;
  for (std::size_t i = 0; i < vectors.size(); i++) {
    raw.push_back(vectors[i].key);
    opening.push_back(packet_of(vectors[i], vectors[i].sealed, i));
    if (!vectors[i].valid) continue;
    valid.push_back(i);
    sealing.push_back(packet_of(vectors[i], vectors[i].plain, i));
    std::fill_n(sealing.back().tag(), tag_bytes, 0);
  }
  const Keys keys = expand(engine, raw);
  seal(engine, keys, sealing);
  for (std::size_t i = 0; i < valid.size(); i++) {
    const Vector& v = vectors[valid[i]];
    Bytes expected = v.sealed;
    expected.insert(expected.end(), v.tag.begin(), v.tag.end());
    EXPECT_EQ(sealing[i].data, expected) << v.name;
  }
  const std::vector<bool> ok = open(engine, keys, opening);
  for (std::size_t i = 0; i < vectors.size(); i++) {
    EXPECT_EQ(ok[i], vectors[i].valid) << vectors[i].name;
    if (ok[i]) {
      opening[i].data.resize(opening[i].length());
      EXPECT_EQ(opening[i].data, vectors[i].plain) << vectors[i].name;
    }
  }
}

class BurstVectors : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto made = create_engine(GetParam());
    if (!made) GTEST_SKIP() << made.error().message;
    burst_ = std::move(*made);
  }
  std::unique_ptr<Engine> burst_;
};

TEST_P(BurstVectors, Cavp) {
  if (!std::filesystem::exists(cavp_folder)) GTEST_SKIP() << cavp_folder << " is missing: python3-cryptography-vectors";
  for (const char* file :
       {"gcmEncryptExtIV128.rsp", "gcmEncryptExtIV256.rsp", "gcmDecrypt128.rsp", "gcmDecrypt256.rsp"}) {
    const std::vector<Vector> vectors = read_cavp(file);
    EXPECT_EQ(vectors.size(), 375u) << file;
    check_at_once(*burst_, vectors);
  }
}

TEST_P(BurstVectors, Wycheproof) {
  if (!std::filesystem::exists(wycheproof_file)) GTEST_SKIP() << wycheproof_file << " does not exist";
  const std::vector<Vector> vectors = read_wycheproof();
  ASSERT_FALSE(vectors.empty());
  EXPECT_GT(vectors.size(), 100u);
  check_at_once(*burst_, vectors);
}

INSTANTIATE_TEST_SUITE_P(Kernels, BurstVectors, testing::Values("burst-512", "burst-256"), [](const auto& instance) {
  return std::string(instance.param) == "burst-512" ? "Vaes512" : "Vaes256";
});

}  // namespace
}  // namespace sealcast::dataplane::aead
