// The front of the burst engine: sorts a burst into groups the kernels like and hands out the verdicts.
#include "dataplane/aead/burst/burst_engine.h"

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/secret.h"
#include "dataplane/aead/burst/cpu.h"
#include "dataplane/aead/burst/packet.h"

namespace sealcast::dataplane::aead {
namespace {

using burst::Kernel;
using burst::KeyContext;
using burst::Packet;

// Packets of one kind go through one instance of the kernel.
enum Kind : unsigned { aes256 = 1, general = 2, kinds = 4 };

template <class Item>
unsigned kind_of(const Item& item) {
  const bool esp = item.aad_length == burst::esp_aad_bytes && item.length <= burst::part_bytes;
  return (item.key->size == 32 ? Kind::aes256 : 0u) | (esp ? 0u : Kind::general);
}

// Bytes left for a packet's part after its whole segments.
inline std::uint32_t part_length(std::uint32_t length) {
  return length <= burst::part_bytes ? length : (length - 1) % burst::part_bytes + 1;
}

inline unsigned chunk_class(std::uint32_t part) {
  return (part == 0 ? 0 : part - 1) / 64;
}

inline const KeyContext* context_of(const Key* key) {
  return static_cast<const KeyContext*>(key->context);
}

// The lines of a context that every packet needs: low powers and round keys.
inline void prefetch_key(const KeyContext* key) {
  const auto* bytes = reinterpret_cast<const char*>(key);
  for (std::size_t line = 448; line < sizeof(KeyContext); line += 64)
    _mm_prefetch(bytes + line, _MM_HINT_T0);
}

// Nonce ‖ last word, written in one store: the kernel reads it back as one.
inline void put_counter(Packet& packet, const std::uint8_t* nonce, std::uint32_t last) {
  std::uint64_t low;
  std::uint32_t high;
  std::memcpy(&low, nonce, 8);
  std::memcpy(&high, nonce + 8, 4);
  const __m128i block =
      _mm_set_epi64x(static_cast<long long>((std::uint64_t{last} << 32) | high), static_cast<long long>(low));
  _mm_store_si128(reinterpret_cast<__m128i*>(packet.counter), block);
}

inline void point_at_tag(Packet& packet, const SealItem& item) {
  packet.tag_out = item.tag;
}
inline void point_at_tag(Packet& packet, const OpenItem& item) {
  packet.tag_in = item.tag;
}

template <class Item>
inline void describe(Packet& packet, const Item& item, std::size_t slot) {
  packet.data = item.data;
  packet.key = context_of(item.key);
  packet.length = part_length(item.length);
  packet.power = burst::first_power(*packet.key, packet.length);
  packet.slot = static_cast<std::uint8_t>(slot);
  point_at_tag(packet, item);
}

template <class Item>
inline void describe_esp(Packet& packet, const Item& item, std::size_t slot) {
  describe(packet, item, slot);
  put_counter(packet, item.nonce.data(), 2u << 24);
  std::uint64_t aad;
  std::memcpy(&aad, item.aad, 8);
  _mm_store_si128(reinterpret_cast<__m128i*>(packet.state),
                  _mm_set_epi64x(static_cast<long long>(__builtin_bswap64(aad)),
                                 static_cast<long long>(std::uint64_t{item.length} * 8)));
}

template <class Item>
void describe_general(Packet& packet, const Item& item, std::size_t slot, const Kernel& kernel, int rounds) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  describe(packet, item, slot);
  put_counter(packet, item.nonce.data(), 2);
  packet.state[0] = packet.state[1] = 0;
  packet.length_block[0] = std::uint64_t{item.length} * 8;
  packet.length_block[1] = std::uint64_t{item.aad_length} * 8;
  kernel.absorb_aad(packet, item.aad, item.aad_length);
  if (packet.length != item.length) {
    const std::size_t segments = (item.length - packet.length) / burst::part_bytes;
    (seal ? kernel.seal_segments : kernel.open_segments)(packet, segments, rounds);
  }
}

// Fills the last group with empty packets under the same key, whose tags go to `sink`.
inline std::size_t pad_to_groups(Packet* packets, std::size_t count, std::uint8_t* sink) {
  const std::size_t groups = (count + burst::packets_per_group - 1) / burst::packets_per_group;
  for (std::size_t i = count; i < groups * burst::packets_per_group; i++) {
    packets[i] = packets[count - 1];
    packets[i].length = 0;
    packets[i].power = burst::first_power(*packets[i].key, 0);
    packets[i].tag_out = sink;
  }
  return groups;
}

// At most packets_per_run items; those of one kind only. `counts`: byte c = how many of them are in chunk class c.
template <class Item>
void run_kind(std::span<Item> items, unsigned kind, bool only_kind, std::uint64_t counts, const Kernel& kernel,
              Packet* packets) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  const int rounds = (kind & Kind::aes256) != 0 ? 14 : 10;
  const bool esp = (kind & Kind::general) == 0;
  // A multiplication is a running sum over bytes; no sum exceeds packets_per_run.
  const std::uint64_t sums = counts * 0x0101010101010101ull;
  const std::size_t count = sums >> 56;
  std::uint64_t place = sums << 8;
  for (std::size_t i = 0; i < items.size(); i++) {
    if (!only_kind && kind_of(items[i]) != kind) continue;
    const unsigned shift = 8 * chunk_class(part_length(items[i].length));
    Packet& packet = packets[(place >> shift) & 0xff];
    place += std::uint64_t{1} << shift;
    if (esp)
      describe_esp(packet, items[i], i);
    else
      describe_general(packet, items[i], i, kernel, rounds);
  }
  std::uint8_t sink[tag_bytes];
  const std::size_t groups = pad_to_groups(packets, count, sink);
  (seal ? kernel.seal_groups : kernel.open_groups)(packets, groups, rounds, esp);
  for (std::size_t i = 0; i < count; i++) {
    Item& item = items[packets[i].slot];
    if constexpr (seal) {
      item.ok = true;
    } else {
      item.ok = packets[i].ok != 0;
      if (!item.ok) wipe(item.data, item.length);
    }
  }
}

template <class Item>
void run(std::span<Item> items, const Kernel& kernel) {
  // One more group than packets_per_run for padding. Not initialised: every field that is read is written first.
  Packet packets[burst::packets_per_run + burst::packets_per_group];
  while (!items.empty()) {
    const std::span<Item> now = items.first(std::min<std::size_t>(items.size(), burst::packets_per_run));
    items = items.subspan(now.size());
    std::uint64_t counts[Kind::kinds] = {};
    std::uint64_t all = 0;
    unsigned differing = 0;
    const unsigned first_kind = kind_of(now[0]);
    const Key* key = nullptr;
    for (const Item& item : now) {
      if (item.key != key) {
        key = item.key;
        prefetch_key(context_of(key));
      }
      differing |= kind_of(item) ^ first_kind;
      all += std::uint64_t{1} << (8 * chunk_class(part_length(item.length)));
    }
    if (differing == 0) {
      run_kind(now, first_kind, true, all, kernel, packets);
    } else {
      for (const Item& item : now)
        counts[kind_of(item)] += std::uint64_t{1} << (8 * chunk_class(part_length(item.length)));
      for (unsigned kind = 0; kind < Kind::kinds; kind++) {
        if (counts[kind] != 0) run_kind(now, kind, false, counts[kind], kernel, packets);
      }
    }
    // A GHASH state tells the hash key to whoever knows the packet; everything else in the descriptors is public.
    if (((first_kind | differing) & Kind::general) != 0) wipe(packets, sizeof packets);
  }
}

class BurstEngine final : public Engine {
 public:
  explicit BurstEngine(const Kernel& kernel) : kernel_(kernel) {}

  std::string_view name() const override { return "burst"; }
  std::size_t context_bytes() const override { return sizeof(KeyContext); }

  Result<Key> expand_key(std::span<const std::uint8_t> key, Direction direction, void* context) const override {
    if (key.size() != 16 && key.size() != 32)
      return fail("AES key: expected 16 or 32 bytes, got " + std::to_string(key.size()));
    kernel_.expand_key(*new (context) KeyContext, key.data(), key.size() == 32 ? 14 : 10);
    return Key{context, static_cast<std::uint8_t>(key.size()), direction};
  }
  void release_key(Key& key) const override {
    wipe(key.context, sizeof(KeyContext));
    key = Key{};
  }
  void seal(std::span<SealItem> items) const override { run(items, kernel_); }
  void open(std::span<OpenItem> items) const override { run(items, kernel_); }

 private:
  const Kernel& kernel_;
};

}  // namespace

Result<std::unique_ptr<Engine>> create_burst() {
  if (!burst::cpu_runs_vaes512())
    return fail("engine burst: expected a CPU with AVX-512 (F, DQ, BW, VL), VAES and VPCLMULQDQ");
  return std::make_unique<BurstEngine>(burst::vaes512_kernel);
}

}  // namespace sealcast::dataplane::aead
