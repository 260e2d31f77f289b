// The AEAD interface: AES-GCM over a burst of packets, in place (RFC 4106: 96-bit nonce, 128-bit tag, 128- or 256-bit
// key). Engines are chosen once at start-up and shared by all workers; they keep no state between calls.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sealcast::dataplane::aead {

inline constexpr std::size_t nonce_bytes = 12;
inline constexpr std::size_t tag_bytes = 16;

enum class Direction : std::uint8_t { seal, open };

// An expanded key: a view of context memory that Engine::expand_key filled. At any time at most one thread may use a
// key (an engine may keep scratch state in it): in the data plane every SA belongs to one worker.
struct Key {
  void* context = nullptr;
  std::uint8_t size = 0;  // bytes of AES key: 16 or 32
  Direction direction = Direction::seal;
};

struct SealItem {
  const Key* key = nullptr;
  std::uint8_t* data = nullptr;  // plaintext in, ciphertext out, in place
  std::uint32_t length = 0;      // bytes at data; 0 is allowed
  std::uint32_t aad_length = 0;  // bytes at aad; any
  const std::uint8_t* aad = nullptr;
  std::uint8_t* tag = nullptr;  // 16 bytes out; may directly follow data
  std::array<std::uint8_t, nonce_bytes> nonce{};
  bool ok = false;  // out; false: the library failed, data is zeros and must not be sent
};

struct OpenItem {
  const Key* key = nullptr;
  std::uint8_t* data = nullptr;  // ciphertext in, plaintext out, in place; zeros when the tag is wrong
  std::uint32_t length = 0;
  std::uint32_t aad_length = 0;
  const std::uint8_t* aad = nullptr;
  const std::uint8_t* tag = nullptr;  // 16 bytes in, compared in constant time
  std::array<std::uint8_t, nonce_bytes> nonce{};
  bool ok = false;  // out
};

class Engine {
 public:
  virtual ~Engine() = default;
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  virtual std::string_view name() const = 0;
  // Bytes of context memory per key, a multiple of 64; the caller provides it locked (H14) and 64-byte aligned.
  virtual std::size_t context_bytes() const = 0;

  // Expands key (16 or 32 bytes) into context. Control thread; may allocate. The result is used for one direction.
  virtual Result<Key> expand_key(std::span<const std::uint8_t> key, Direction direction, void* context) const = 0;
  // Ends a key: wipes the context's context_bytes() and releases what else expand_key took.
  virtual void release_key(Key& key) const = 0;

  // Prefetches what seal() or open() will read of a key. A hint: nothing happens by default.
  virtual void prefetch(const Key&) const noexcept {}

  // Whether a burst is faster when items of one key stand together.
  virtual bool wants_keys_together() const noexcept { return true; }

  // One call per burst, no allocation, lock, exception or system call. Items in any order.
  // Sets ok of every item.
  virtual void seal(std::span<SealItem> items) const = 0;
  // Sets ok of every item. Leaves nothing of a packet with a wrong tag in its buffer.
  virtual void open(std::span<OpenItem> items) const = 0;
};

// Engines compiled in, best first. A name in configuration is one of these, "burst" or "auto".
std::vector<std::string_view> engine_names();

// Makes the named engine ("auto": the first of engine_names() that this CPU runs; "burst": the first of the burst
// engine's kernels). Its name() is one of engine_names(). An engine this CPU cannot run, or an unknown name, is an
// error that lists the choices. Every engine passes a known-answer test before it is returned.
Result<std::unique_ptr<Engine>> create_engine(std::string_view name);

}  // namespace sealcast::dataplane::aead
