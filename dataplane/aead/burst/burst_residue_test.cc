// A burst leaves no key, key stream or plaintext in memory, not even of forged packets. The engine runs on a stack of
// the test's own, which is searched afterwards.
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <unordered_map>

#include "dataplane/aead/burst/burst_testing.h"

namespace sealcast::dataplane::aead {
namespace {

using namespace burst_testing;

constexpr std::size_t stack_bytes = std::size_t{1} << 20;

// Memory that a thread used as its stack, readable after its end.
class Stack {
 public:
  Stack() {
    void* const p = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    memory_ = static_cast<std::uint8_t*>(p);
  }
  ~Stack() { munmap(memory_, stack_bytes); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void run(void* (*function)(void*), void* argument) const {
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, memory_, stack_bytes) != 0 ||
        pthread_create(&thread, &attributes, function, argument) != 0 || pthread_join(thread, nullptr) != 0)
      std::abort();
    pthread_attr_destroy(&attributes);
  }
  std::span<const std::uint8_t> bytes() const { return {memory_, stack_bytes}; }

 private:
  std::uint8_t* memory_;
};

// Eight bytes identify a secret: it is random.
class Secrets {
 public:
  void add(const char* what, std::span<const std::uint8_t> secret) {
    for (std::size_t i = 0; i + 8 <= secret.size(); i += 8)
      known_.emplace(word_at(secret.data() + i), what);
  }
  // Also in reverse order of bytes, as GHASH works on it.
  void add_blocks(const char* what, std::span<const std::uint8_t> blocks) {
    add(what, blocks);
    Bytes turned;
    for (std::size_t i = 0; i + 16 <= blocks.size(); i += 16)
      turned.insert(turned.end(), blocks.rend() - static_cast<std::ptrdiff_t>(i) - 16,
                    blocks.rend() - static_cast<std::ptrdiff_t>(i));
    add(what, turned);
  }
  std::string found_in(std::span<const std::uint8_t> memory) const {
    std::unordered_map<std::string, std::size_t> times;
    for (std::size_t i = 0; i + 8 <= memory.size(); i++) {
      const std::uint64_t word = word_at(memory.data() + i);
      if (word == 0) continue;
      if (const auto at = known_.find(word); at != known_.end()) times[at->second]++;
    }
    std::string out;
    for (const auto& [what, count] : times)
      out += what + " (" + std::to_string(count) + " words) ";
    return out;
  }

 private:
  static std::uint64_t word_at(const std::uint8_t* p) {
    std::uint64_t word;
    std::memcpy(&word, p, sizeof word);
    return word;
  }
  std::unordered_map<std::uint64_t, std::string> known_;
};

struct ResidueCase {
  const char* engine;
  std::size_t longest, keys;
  std::size_t key_bytes;
};

class BurstResidue : public testing::TestWithParam<ResidueCase> {
 protected:
  void SetUp() override {
    auto made = create_engine(GetParam().engine);
    if (!made) GTEST_SKIP() << made.error().message;
    engine_ = std::move(*made);
    std::vector<Bytes> raw;
    for (std::size_t k = 0; k < GetParam().keys; k++)
      raw.push_back(random_bytes(random_, GetParam().key_bytes));
    keys_ = expand(*engine_, raw);
    for (std::size_t i = 0; i < 32; i++)
      plain_.push_back(random_packet(random_, 16 + random_() % GetParam().longest, 8, i % raw.size()));
    sealed_ = plain_;
    seal(*engine_, keys_, sealed_);
    for (const auto& key : keys_) {
      // Round keys, powers of the hash key and values derived from them. The first line and the last hold folded powers
      // or padding; zeros are no secret and are not searched for.
      const std::span context(static_cast<const std::uint8_t*>(key->sealing()->context), engine_->context_bytes());
      secrets_.add_blocks("key context", context);
    }
    for (std::size_t i = 0; i < plain_.size(); i++) {
      const std::span plain(plain_[i].data.data(), plain_[i].length());
      Bytes stream(plain.begin(), plain.end());
      for (std::size_t k = 0; k < stream.size(); k++)
        stream[k] = static_cast<std::uint8_t>(stream[k] ^ sealed_[i].data[k]);
      secrets_.add("plaintext", plain);
      secrets_.add("key stream", stream);
    }
  }

  std::mt19937_64 random_{20250301};
  std::unique_ptr<Engine> engine_;
  Keys keys_;
  std::vector<TestPacket> plain_, sealed_;
  Secrets secrets_;
};

template <class Item>
struct Call {
  const Engine* engine;
  std::vector<Item> items;
};

TEST_P(BurstResidue, H14_SealingLeavesNothing) {
  std::vector<TestPacket> packets = plain_;
  Call<SealItem> call{engine_.get(), {}};
  for (TestPacket& p : packets)
    call.items.push_back(item_for<SealItem>(keys_, p));
  const Stack stack;
  stack.run(
      [](void* c) -> void* {
        auto* const now = static_cast<Call<SealItem>*>(c);
        now->engine->seal(now->items);
        return nullptr;
      },
      &call);
  EXPECT_EQ(secrets_.found_in(stack.bytes()), "");
}

TEST_P(BurstResidue, H14_ForgedPacketsLeaveNeitherPlaintextNorKeys) {
  std::vector<TestPacket> packets = sealed_;
  Call<OpenItem> call{engine_.get(), {}};
  for (std::size_t i = 0; i < packets.size(); i++) {
    if (i % 3 != 0) packets[i].tag()[i % tag_bytes] ^= 1;
    call.items.push_back(item_for<OpenItem>(keys_, packets[i]));
  }
  const Stack stack;
  stack.run(
      [](void* c) -> void* {
        auto* const now = static_cast<Call<OpenItem>*>(c);
        now->engine->open(now->items);
        return nullptr;
      },
      &call);
  EXPECT_EQ(secrets_.found_in(stack.bytes()), "");
  for (std::size_t i = 0; i < packets.size(); i++) {
    EXPECT_EQ(call.items[i].ok, i % 3 == 0);
    const auto end = packets[i].data.end() - tag_bytes;
    if (i % 3 == 0) {
      EXPECT_TRUE(std::equal(packets[i].data.begin(), end, plain_[i].data.begin()));
    } else {
      EXPECT_TRUE(std::all_of(packets[i].data.begin(), end, [](std::uint8_t b) { return b == 0; }));
    }
  }
}

// Proves that the search finds a copy.
TEST_P(BurstResidue, SearchFindsACopy) {
  Bytes memory(4096);
  std::copy_n(plain_[5].data.begin(), 16, memory.begin() + 1001);
  EXPECT_NE(secrets_.found_in(memory), "");
}

std::vector<ResidueCase> residue_cases() {
  std::vector<ResidueCase> out;
  for (const char* engine : {"burst-512", "burst-256"}) {
    for (const std::size_t key_bytes : {16u, 32u}) {
      out.push_back({engine, 300, 1, key_bytes});
      out.push_back({engine, 300, 8, key_bytes});
      out.push_back({engine, 3000, 2, key_bytes});
    }
  }
  return out;
}

INSTANTIATE_TEST_SUITE_P(Kernels, BurstResidue, testing::ValuesIn(residue_cases()), [](const auto& instance) {
  const ResidueCase& c = instance.param;
  return std::string(std::string(c.engine) == "burst-512" ? "Vaes512" : "Vaes256") + "_Aes" +
         std::to_string(8 * c.key_bytes) + "_" + std::to_string(c.keys) + "Keys_UpTo" + std::to_string(c.longest);
});

}  // namespace
}  // namespace sealcast::dataplane::aead
