#include "tests/nonces/recording_engine.h"

#include <algorithm>

namespace sealcast::nonces {
namespace {

namespace aead = dataplane::aead;

// At the front of every key's context; the real engine's context follows.
struct alignas(64) Recorded {
  aead::Key key;         // the real engine's
  Run* run = nullptr;    // the last one under this key
  std::uint64_t id = 0;  // key_id
  bool recorded = false;
};
static_assert(sizeof(Recorded) == 64);

Recorded& recorded(const aead::Key& key) {
  return *static_cast<Recorded*>(key.context);
}

// What-if runs seal with the all-zero key, and their packets never leave (dataplane/control/what_if.h). If a packet
// under it ever reached the wire, the records would lack it, and nonces.py would report it.
bool is_dry(std::span<const std::uint8_t> key) {
  return std::all_of(key.begin(), key.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Passes the items on with the real engine's keys, some at a time, and copies the results back.
template <typename Item, typename Process>
void with_real_keys(std::span<Item> items, Process process) {
  constexpr std::size_t at_once = 64;
  std::array<const aead::Key*, at_once> outer;
  while (!items.empty()) {
    const std::span<Item> some = items.first(std::min(at_once, items.size()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      outer[i] = some[i].key;
      some[i].key = &recorded(*outer[i]).key;
    }
    process(some);
    for (std::size_t i = 0; i < some.size(); ++i)
      some[i].key = outer[i];
    items = items.subspan(some.size());
  }
}

}  // namespace

std::size_t RecordingEngine::context_bytes() const {
  return sizeof(Recorded) + engine_->context_bytes();
}

Result<aead::Key> RecordingEngine::expand_key(std::span<const std::uint8_t> key, aead::Direction direction,
                                              void* context) const {
  auto* const front = new (context) Recorded;
  SEALCAST_TRY_ASSIGN(auto real,
                      engine_->expand_key(key, direction, static_cast<std::uint8_t*>(context) + sizeof(Recorded)));
  front->key = real;
  front->recorded = direction == aead::Direction::seal && !is_dry(key);
  if (front->recorded) front->id = key_id(key);
  aead::Key outer = real;
  outer.context = context;
  return outer;
}

void RecordingEngine::release_key(aead::Key& key) const {
  Recorded& front = recorded(key);
  engine_->release_key(front.key);
  front = Recorded{};
  key = aead::Key{};
}

void RecordingEngine::prefetch(const aead::Key& key) const noexcept {
  engine_->prefetch(recorded(key).key);
}

void RecordingEngine::seal(std::span<aead::SealItem> items) const {
  // RFC 4106: the nonce is salt and IV; the AAD begins with the SPI.
  for (const aead::SealItem& item : items) {
    Recorded& front = recorded(*item.key);
    const std::uint32_t spi = item.aad_length >= 4 ? load_be<std::uint32_t>(item.aad) : 0;
    if (front.recorded) log_.add(front.run, front.id, spi, load_be<std::uint64_t>(item.nonce.data() + 4));
  }
  with_real_keys(items, [&](std::span<aead::SealItem> some) { engine_->seal(some); });
}

void RecordingEngine::open(std::span<aead::OpenItem> items) const {
  with_real_keys(items, [&](std::span<aead::OpenItem> some) { engine_->open(some); });
}

}  // namespace sealcast::nonces
