#include "dataplane/aead/engine.h"

#include <cstring>

#include "base/bytes.h"
#include "dataplane/aead/burst/burst_engine.h"
#include "dataplane/aead/engines.h"

namespace sealcast::dataplane::aead {
namespace {

struct Entry {
  std::string_view name;
  Result<std::unique_ptr<Engine>> (*create)();
};

constexpr Entry entries[] = {{"burst-512", create_burst_512},
                             {"burst-256", create_burst_256},
                             {"ipsec_mb", create_ipsec_mb},
                             {"openssl", create_openssl}};
// The burst engine with the best of its kernels for this CPU.
constexpr Entry any_burst = {"burst", create_burst};

// D. McGrew, J. Viega, "The Galois/Counter Mode of Operation", test cases 2 and 14: key, IV and plaintext all zero.
struct KnownAnswer {
  std::size_t key_size;
  std::uint8_t ciphertext[16];
  std::uint8_t tag[16];
};
constexpr KnownAnswer known_answers[] = {
    {16,
     {0x03, 0x88, 0xda, 0xce, 0x60, 0xb6, 0xa3, 0x92, 0xf3, 0x28, 0xc2, 0xb9, 0x71, 0xb2, 0xfe, 0x78},
     {0xab, 0x6e, 0x47, 0xd4, 0x2c, 0xec, 0x13, 0xbd, 0xf5, 0x3a, 0x67, 0xb2, 0x12, 0x57, 0xbd, 0xdf}},
    {32,
     {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3, 0x9d, 0x18},
     {0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99, 0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19}},
};

struct alignas(64) Line {
  std::uint8_t bytes[64];
};

bool answers(const Engine& engine, const KnownAnswer& known) {
  const std::uint8_t zeros[32] = {};
  std::vector<Line> context(engine.context_bytes() / sizeof(Line));
  const std::span key(zeros, known.key_size);

  auto sealing = engine.expand_key(key, Direction::seal, context.data());
  if (!sealing) return false;
  std::uint8_t data[16] = {};
  std::uint8_t tag[tag_bytes] = {};
  SealItem seal;
  seal.key = &*sealing;
  seal.data = data;
  seal.length = sizeof data;
  seal.aad = zeros;
  seal.tag = tag;
  engine.seal({&seal, 1});
  engine.release_key(*sealing);
  if (!seal.ok || std::memcmp(data, known.ciphertext, 16) != 0 || std::memcmp(tag, known.tag, 16) != 0) return false;

  auto opening = engine.expand_key(key, Direction::open, context.data());
  if (!opening) return false;
  OpenItem open;
  open.key = &*opening;
  open.data = data;
  open.length = sizeof data;
  open.aad = zeros;
  open.tag = tag;
  engine.open({&open, 1});
  const bool opened = open.ok && std::memcmp(data, zeros, 16) == 0;
  std::memcpy(data, known.ciphertext, 16);
  tag[15] ^= 1;
  engine.open({&open, 1});
  const bool refused = !open.ok && std::memcmp(data, zeros, 16) == 0;
  engine.release_key(*opening);
  return opened && refused;
}

Result<std::unique_ptr<Engine>> create_and_test(const Entry& entry) {
  SEALCAST_TRY_ASSIGN(auto engine, entry.create());
  for (const KnownAnswer& known : known_answers) {
    if (!answers(*engine, known))
      return fail("engine " + std::string(entry.name) + ": AES-" + std::to_string(known.key_size * 8) +
                  "-GCM known-answer test failed");
  }
  return engine;
}

}  // namespace

std::vector<std::string_view> engine_names() {
  std::vector<std::string_view> names;
  for (const Entry& entry : entries)
    names.push_back(entry.name);
  return names;
}

Result<std::unique_ptr<Engine>> create_engine(std::string_view name) {
  if (name == any_burst.name) return create_and_test(any_burst);
  std::string tried;
  for (const Entry& entry : entries) {
    if (name != "auto" && name != entry.name) continue;
    auto engine = create_and_test(entry);
    if (engine || name != "auto") return engine;
    tried += (tried.empty() ? "" : "; ") + engine.error().message;
  }
  if (name == "auto") return fail("no AEAD engine runs on this machine: " + tried);
  std::string choices = "auto, " + std::string(any_burst.name);
  for (const Entry& entry : entries)
    choices += ", " + std::string(entry.name);
  return fail("engine: expected one of " + choices + ", got \"" + std::string(name) + "\"");
}

}  // namespace sealcast::dataplane::aead
