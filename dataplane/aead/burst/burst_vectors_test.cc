// The burst engine on NIST's CAVP vectors (Debian's python3-cryptography-vectors) and Wycheproof's. All vectors of one
// key size go through in bursts, each packet with the key of its vector: mixed keys, lengths and AADs at once.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/burst/burst_testing.h"

namespace sealcast::dataplane::aead {
namespace {

using namespace burst_testing;

constexpr const char* cavp_folder = "/usr/lib/python3/dist-packages/cryptography_vectors/ciphers/AES/GCM";
// Lies beside the source tree on machines that keep test vectors of others; not part of the project.
constexpr const char* wycheproof_file = SEALCAST_SOURCE_DIR "/../shared/vectors/wycheproof/aes_gcm_test.json";

Bytes from_hex(const std::string& text) {
  Bytes out;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  return out;
}

struct Vector {
  Bytes key, nonce, aad, plain, sealed, tag;
  bool valid = true;
  std::string name;
};

TestPacket packet_of(const Vector& v, const Bytes& data, std::size_t key) {
  TestPacket p;
  p.key = key;
  std::copy(v.nonce.begin(), v.nonce.end(), p.nonce.begin());
  p.aad = v.aad;
  p.data = data;
  p.data.insert(p.data.end(), v.tag.begin(), v.tag.end());
  return p;
}

void check(const Engine& engine, const std::vector<Vector>& vectors) {
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

// Those of 96-bit IVs and 128-bit tags.
std::vector<Vector> read_cavp(const std::string& file) {
  std::vector<Vector> out;
  std::ifstream in(std::string(cavp_folder) + "/" + file);
  std::map<std::string, std::string> values;
  std::string line;
  const auto take = [&] {
    if (!values.contains("Key") || values["IVlen"] != "96" || values["Taglen"] != "128") return;
    Vector v;
    v.key = from_hex(values["Key"]);
    v.nonce = from_hex(values["IV"]);
    v.aad = from_hex(values["AAD"]);
    v.plain = from_hex(values["PT"]);
    v.sealed = from_hex(values["CT"]);
    v.tag = from_hex(values["Tag"]);
    v.valid = !values.contains("FAIL");
    v.name = file + " PTlen " + values["PTlen"] + " AADlen " + values["AADlen"] + " Count " + values["Count"];
    out.push_back(v);
  };
  while (std::getline(in, line)) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' '))
      line.pop_back();
    if (line.starts_with("Count") || line.starts_with("[Keylen")) {
      take();
      for (const char* name : {"Key", "IV", "AAD", "PT", "CT", "Tag", "FAIL"})
        values.erase(name);
    }
    if (line == "FAIL") values["FAIL"] = "";
    if (line.starts_with("[")) line = line.substr(1, line.size() - 2);
    if (const auto at = line.find(" ="); at != std::string::npos)
      values[line.substr(0, at)] = line.size() > at + 3 ? line.substr(at + 3) : "";
  }
  take();
  return out;
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
    check(*burst_, vectors);
  }
}

TEST_P(BurstVectors, Wycheproof) {
  if (!std::filesystem::exists(wycheproof_file)) GTEST_SKIP() << wycheproof_file << " does not exist";
  std::ifstream in(wycheproof_file);
  const nlohmann::json all = nlohmann::json::parse(in, nullptr, false);
  ASSERT_FALSE(all.is_discarded());
  std::vector<Vector> vectors;
  for (const auto& group : all["testGroups"]) {
    if (group["ivSize"] != 96 || group["tagSize"] != 128 || group["keySize"] == 192) continue;
    for (const auto& test : group["tests"]) {
      Vector v;
      v.key = from_hex(test["key"]);
      v.nonce = from_hex(test["iv"]);
      v.aad = from_hex(test["aad"]);
      v.plain = from_hex(test["msg"]);
      v.sealed = from_hex(test["ct"]);
      v.tag = from_hex(test["tag"]);
      v.valid = test["result"] == "valid";
      v.name = "tcId " + std::to_string(test["tcId"].get<int>());
      vectors.push_back(v);
    }
  }
  EXPECT_GT(vectors.size(), 100u);
  check(*burst_, vectors);
}

INSTANTIATE_TEST_SUITE_P(Kernels, BurstVectors, testing::Values("burst-512", "burst-256"), [](const auto& instance) {
  return std::string(instance.param) == "burst-512" ? "Vaes512" : "Vaes256";
});

}  // namespace
}  // namespace sealcast::dataplane::aead
