// Bursts of packets for the tests: each packet with a key, and the same packet's expected bytes from another engine.
#pragma once

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "base/bytes.h"
#include "dataplane/aead/engine.h"

namespace sealcast::dataplane::aead::burst_testing {

struct alignas(64) Line {
  std::uint8_t bytes[64];
};

// The same AES key expanded for one engine, with memory of its own.
class EngineKey {
 public:
  EngineKey(const Engine& engine, const Bytes& key) : engine_(engine), memory_(engine.context_bytes() / sizeof(Line)) {
    key_ = engine.expand_key(key, Direction::seal, memory_.data()).value();
    opening_memory_.resize(memory_.size());
    opening_ = engine.expand_key(key, Direction::open, opening_memory_.data()).value();
  }
  ~EngineKey() {
    engine_.release_key(key_);
    engine_.release_key(opening_);
  }
  EngineKey(const EngineKey&) = delete;
  EngineKey& operator=(const EngineKey&) = delete;

  const Key* sealing() const { return &key_; }
  const Key* opening() const { return &opening_; }

 private:
  const Engine& engine_;
  std::vector<Line> memory_, opening_memory_;
  Key key_, opening_;
};

inline Bytes random_bytes(std::mt19937_64& random, std::size_t n) {
  Bytes out(n + 8);
  for (std::size_t i = 0; i < n; i += 8) {
    const std::uint64_t word = random();
    std::memcpy(out.data() + i, &word, 8);
  }
  out.resize(n);
  return out;
}

// One packet with all a test needs; `data` has the tag behind it, as in ESP.
struct TestPacket {
  std::size_t key = 0;  // index
  std::array<std::uint8_t, nonce_bytes> nonce{};
  Bytes aad;
  Bytes data;

  std::uint32_t length() const { return static_cast<std::uint32_t>(data.size() - tag_bytes); }
  std::uint8_t* tag() { return data.data() + length(); }
};

inline TestPacket random_packet(std::mt19937_64& random, std::size_t length, std::size_t aad_length, std::size_t key) {
  TestPacket p;
  p.key = key;
  const Bytes nonce = random_bytes(random, nonce_bytes);
  std::copy(nonce.begin(), nonce.end(), p.nonce.begin());
  p.aad = random_bytes(random, aad_length);
  p.data = random_bytes(random, length + tag_bytes);
  return p;
}

using Keys = std::vector<std::unique_ptr<EngineKey>>;

inline Keys expand(const Engine& engine, const std::vector<Bytes>& keys) {
  Keys out;
  for (const Bytes& key : keys)
    out.push_back(std::make_unique<EngineKey>(engine, key));
  return out;
}

template <class Item>
Item item_for(const Keys& keys, TestPacket& p) {
  Item item;
  if constexpr (std::is_same_v<Item, SealItem>)
    item.key = keys[p.key]->sealing();
  else
    item.key = keys[p.key]->opening();
  item.data = p.data.data();
  item.length = p.length();
  item.aad = p.aad.data();
  item.aad_length = static_cast<std::uint32_t>(p.aad.size());
  item.tag = p.tag();
  item.nonce = p.nonce;
  return item;
}

inline void seal(const Engine& engine, const Keys& keys, std::span<TestPacket> packets) {
  std::vector<SealItem> items;
  for (TestPacket& p : packets)
    items.push_back(item_for<SealItem>(keys, p));
  engine.seal(items);
}

inline std::vector<bool> open(const Engine& engine, const Keys& keys, std::span<TestPacket> packets) {
  std::vector<OpenItem> items;
  for (TestPacket& p : packets)
    items.push_back(item_for<OpenItem>(keys, p));
  engine.open(items);
  std::vector<bool> ok;
  for (const OpenItem& item : items)
    ok.push_back(item.ok);
  return ok;
}

}  // namespace sealcast::dataplane::aead::burst_testing
