// Both engines against NIST's CAVP vectors (Debian's python3-cryptography-vectors), Wycheproof's, and each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "base/bytes.h"
#include "dataplane/aead/engine.h"
#include "dataplane/aead/testing/vectors.h"

namespace sealcast::dataplane::aead {
namespace {

struct alignas(64) Line {
  std::uint8_t bytes[64];
};

// A key with memory of its own.
class TestKey {
 public:
  TestKey(const Engine& engine, const Bytes& key, Direction direction)
      : engine_(engine), memory_(engine.context_bytes() / sizeof(Line)) {
    auto made = engine.expand_key(key, direction, memory_.data());
    EXPECT_TRUE(made) << made.error().message;
    if (made) key_ = *made;
  }
  ~TestKey() { engine_.release_key(key_); }
  TestKey(const TestKey&) = delete;
  TestKey& operator=(const TestKey&) = delete;
  const Key* get() const { return &key_; }

 private:
  const Engine& engine_;
  std::vector<Line> memory_;
  Key key_;
};

void check_vector(const Engine& engine, const Vector& v) {
  const std::string& what = v.name;
  if (v.valid) {
    const TestKey key(engine, v.key, Direction::seal);
    Bytes data = v.plain;
    Bytes tag(tag_bytes);
    SealItem item;
    item.key = key.get();
    item.data = data.data();
    item.length = static_cast<std::uint32_t>(data.size());
    item.aad = v.aad.data();
    item.aad_length = static_cast<std::uint32_t>(v.aad.size());
    item.tag = tag.data();
    std::copy(v.iv.begin(), v.iv.end(), item.nonce.begin());
    engine.seal({&item, 1});
    ASSERT_TRUE(item.ok) << what;
    ASSERT_EQ(to_hex(data), to_hex(v.sealed)) << what;
    ASSERT_EQ(to_hex(tag), to_hex(v.tag)) << what;
  }
  const TestKey key(engine, v.key, Direction::open);
  Bytes data = v.sealed;
  OpenItem item;
  item.key = key.get();
  item.data = data.data();
  item.length = static_cast<std::uint32_t>(data.size());
  item.aad = v.aad.data();
  item.aad_length = static_cast<std::uint32_t>(v.aad.size());
  item.tag = v.tag.data();
  std::copy(v.iv.begin(), v.iv.end(), item.nonce.begin());
  engine.open({&item, 1});
  ASSERT_EQ(item.ok, v.valid) << what;
  ASSERT_EQ(to_hex(data), to_hex(v.valid ? v.plain : Bytes(data.size(), 0))) << what;
}

class EngineTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto made = create_engine(GetParam());
    if (!made) GTEST_SKIP() << made.error().message;
    engine_ = std::move(*made);
  }
  std::unique_ptr<Engine> engine_;
};

TEST_P(EngineTest, NistCavpVectors) {
  if (!std::filesystem::exists(cavp_folder))
    GTEST_SKIP() << cavp_folder << " is missing; install python3-cryptography-vectors";
  for (const char* file :
       {"gcmDecrypt128.rsp", "gcmDecrypt256.rsp", "gcmEncryptExtIV128.rsp", "gcmEncryptExtIV256.rsp"}) {
    const auto vectors = read_cavp(file);
    // 25 lengths of text and AAD with 15 records each at IV 96 and tag 128.
    ASSERT_EQ(vectors.size(), 375U) << file;
    for (const Vector& vector : vectors)
      check_vector(*engine_, vector);
  }
}

TEST_P(EngineTest, WycheproofVectors) {
  if (!std::filesystem::exists(wycheproof_file))
    GTEST_SKIP() << "Wycheproof's aes_gcm_test.json is not at ../shared/vectors/wycheproof beside the source tree";
  const std::vector<Vector> vectors = read_wycheproof();
  for (const Vector& vector : vectors)
    check_vector(*engine_, vector);
  EXPECT_GT(vectors.size(), 100U);
  EXPECT_GT(std::count_if(vectors.begin(), vectors.end(), [](const Vector& vector) { return !vector.valid; }), 20);
}

TEST_P(EngineTest, RefusesOtherKeySizes) {
  std::vector<Line> memory(engine_->context_bytes() / sizeof(Line));
  for (const std::size_t size : {0U, 15U, 17U, 24U, 33U}) {
    const Bytes key(size);
    const auto made = engine_->expand_key(key, Direction::seal, memory.data());
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message.find("16 or 32"), std::string::npos);
  }
}

TEST_P(EngineTest, KeyContextIsOfFewWholeLinesAndIsWiped) {
  EXPECT_LE(engine_->context_bytes(), 1280U);  // IPsec-MB 2.0's; with version 1.3 its engine asserts 1024
  EXPECT_EQ(engine_->context_bytes() % 64, 0U);
  std::vector<Line> memory(engine_->context_bytes() / sizeof(Line));
  auto key = engine_->expand_key(Bytes(32, 0x5a), Direction::seal, memory.data());
  ASSERT_TRUE(key);
  const auto zero = [&] {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(memory.data());
    return std::all_of(bytes, bytes + engine_->context_bytes(), [](std::uint8_t b) { return b == 0; });
  };
  EXPECT_FALSE(zero());
  engine_->release_key(*key);
  EXPECT_TRUE(zero());
  EXPECT_EQ(key->context, nullptr);
}

INSTANTIATE_TEST_SUITE_P(Engines, EngineTest, ::testing::Values("burst-512", "burst-256", "ipsec_mb", "openssl"),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A burst of random packets under several keys, the same for every engine.
struct Burst {
  struct Packet {
    std::size_t key;
    Bytes data, aad, tag;
    std::array<std::uint8_t, nonce_bytes> nonce;
  };
  std::vector<Bytes> keys;
  std::vector<Packet> packets;
};

Burst random_burst(std::mt19937& random, std::size_t packets, std::size_t keys, std::size_t max_length) {
  const auto bytes = [&](std::size_t n) {
    Bytes out(n);
    for (auto& b : out)
      b = static_cast<std::uint8_t>(random());
    return out;
  };
  Burst burst;
  for (std::size_t k = 0; k < keys; ++k)
    burst.keys.push_back(bytes(random() % 2 == 0 ? 16 : 32));
  for (std::size_t i = 0; i < packets; ++i) {
    Burst::Packet packet{random() % keys,
                         bytes(random() % (max_length + 1)),
                         bytes(random() % 4 == 0 ? random() % 64 : 8),
                         Bytes(tag_bytes),
                         {}};
    for (auto& b : packet.nonce)
      b = static_cast<std::uint8_t>(random());
    burst.packets.push_back(std::move(packet));
  }
  return burst;
}

void seal_burst(const Engine& engine, Burst& burst) {
  std::vector<std::unique_ptr<TestKey>> keys;
  for (const Bytes& key : burst.keys)
    keys.push_back(std::make_unique<TestKey>(engine, key, Direction::seal));
  std::vector<SealItem> items(burst.packets.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto& p = burst.packets[i];
    items[i].key = keys[p.key]->get();
    items[i].data = p.data.data();
    items[i].length = static_cast<std::uint32_t>(p.data.size());
    items[i].aad = p.aad.data();
    items[i].aad_length = static_cast<std::uint32_t>(p.aad.size());
    items[i].tag = p.tag.data();
    items[i].nonce = p.nonce;
  }
  engine.seal(items);
  for (const SealItem& item : items)
    ASSERT_TRUE(item.ok);
}

std::vector<bool> open_burst(const Engine& engine, Burst& burst) {
  std::vector<std::unique_ptr<TestKey>> keys;
  for (const Bytes& key : burst.keys)
    keys.push_back(std::make_unique<TestKey>(engine, key, Direction::open));
  std::vector<OpenItem> items(burst.packets.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto& p = burst.packets[i];
    items[i].key = keys[p.key]->get();
    items[i].data = p.data.data();
    items[i].length = static_cast<std::uint32_t>(p.data.size());
    items[i].aad = p.aad.data();
    items[i].aad_length = static_cast<std::uint32_t>(p.aad.size());
    items[i].tag = p.tag.data();
    items[i].nonce = p.nonce;
  }
  engine.open(items);
  std::vector<bool> ok;
  for (const OpenItem& item : items)
    ok.push_back(item.ok);
  return ok;
}

class Differential : public ::testing::Test {
 protected:
  void SetUp() override {
    auto a = create_engine("ipsec_mb");
    if (!a) GTEST_SKIP() << a.error().message;
    ours_ = std::move(*a);
    oracle_ = std::move(*create_engine("openssl"));
  }
  void compare(Burst burst) {
    Burst plain = burst, expected = burst;
    seal_burst(*ours_, burst);
    seal_burst(*oracle_, expected);
    for (std::size_t i = 0; i < burst.packets.size(); ++i) {
      ASSERT_EQ(burst.packets[i].data, expected.packets[i].data) << "length " << burst.packets[i].data.size();
      ASSERT_EQ(burst.packets[i].tag, expected.packets[i].tag) << "length " << burst.packets[i].data.size();
    }
    // Crosswise: each opens what the other sealed.
    for (const Engine* engine : {ours_.get(), oracle_.get()}) {
      Burst opened = burst;
      for (const bool ok : open_burst(*engine, opened))
        ASSERT_TRUE(ok);
      for (std::size_t i = 0; i < burst.packets.size(); ++i)
        ASSERT_EQ(opened.packets[i].data, plain.packets[i].data);
    }
  }
  std::unique_ptr<Engine> ours_, oracle_;
  std::mt19937 random_{20260101};
};

TEST_F(Differential, EveryLengthUpTo2100) {
  for (std::size_t length = 0; length <= 2100; ++length) {
    Burst burst = random_burst(random_, 2, 2, 0);
    burst.keys = {Bytes(16, 1), Bytes(32, static_cast<std::uint8_t>(length))};
    burst.packets[0].key = 0;
    burst.packets[1].key = 1;
    for (auto& packet : burst.packets) {
      packet.data.resize(length);
      for (auto& b : packet.data)
        b = static_cast<std::uint8_t>(random_());
    }
    compare(std::move(burst));
    if (HasFatalFailure()) return;
  }
}

TEST_F(Differential, RandomBursts) {
  for (int round = 0; round < 300; ++round) {
    compare(random_burst(random_, 1 + random_() % 64, 1 + random_() % 32, round % 10 == 0 ? 9000 : 512));
    if (HasFatalFailure()) return;
  }
}

TEST_F(Differential, ForgedPacketsInABurstFailAloneAndLeaveZeros) {
  for (int round = 0; round < 100; ++round) {
    const Burst plain = random_burst(random_, 32, 4, 300);
    Burst sealed = plain;
    seal_burst(*ours_, sealed);
    std::vector<bool> forged(32);
    for (std::size_t i = 0; i < 32; ++i) {
      auto& packet = sealed.packets[i];
      forged[i] = random_() % 3 == 0;
      if (!forged[i]) continue;
      const auto flip = static_cast<std::uint8_t>(1U << (random_() % 8));
      switch (random_() % 4) {
        case 0:
          if (!packet.data.empty()) {
            packet.data[random_() % packet.data.size()] ^= flip;
            break;
          }
          [[fallthrough]];
        case 1:
          packet.tag[random_() % tag_bytes] ^= flip;
          break;
        case 2:
          packet.nonce[random_() % nonce_bytes] ^= flip;
          break;
        default:
          packet.aad.push_back(flip);
          break;
      }
    }
    for (const Engine* engine : {ours_.get(), oracle_.get()}) {
      Burst opened = sealed;
      const std::vector<bool> ok = open_burst(*engine, opened);
      for (std::size_t i = 0; i < 32; ++i) {
        ASSERT_EQ(ok[i], !forged[i]);
        ASSERT_EQ(opened.packets[i].data, ok[i] ? plain.packets[i].data : Bytes(plain.packets[i].data.size(), 0));
      }
    }
  }
}

TEST(EngineChoice, AutoTakesTheBestAndUnknownNamesListTheChoices) {
  const auto best = create_engine("auto");
  ASSERT_TRUE(best) << best.error().message;
  for (const std::string_view name : engine_names()) {
    if (!create_engine(name)) continue;
    EXPECT_EQ((*best)->name(), name);
    break;
  }
  if (const auto burst = create_engine("burst")) {
    EXPECT_EQ((*burst)->name(), create_engine("burst-512") ? "burst-512" : "burst-256");
  }
  const auto unknown = create_engine("rot13");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "engine: expected one of auto, burst, burst-512, burst-256, ipsec_mb, openssl, got \"rot13\"");
}

}  // namespace
}  // namespace sealcast::dataplane::aead
