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

using burst::Group;
using burst::Kernel;
using burst::KeyContext;

// Packets of one kind go through one instance of the kernel.
enum Kind : unsigned { aes256 = 1, general = 2, kinds = 4 };

template <class Item>
inline unsigned kind_of(const Item& item) {
  const bool esp = item.aad_length == burst::esp_aad_bytes && item.length <= burst::part_bytes;
  return (item.key->size == 32 ? Kind::aes256 : 0u) | (esp ? 0u : Kind::general);
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

// Bytes left for a packet's part after its whole segments.
inline std::uint32_t part_length(std::uint32_t length) {
  return length <= burst::part_bytes ? length : (length - 1) % burst::part_bytes + 1;
}

// Eight counters of a byte each, one for each number of chunks a part can have: packets of a number stand together.
inline unsigned class_shift(std::uint32_t part) {
  return (part - (part != 0)) / 64 * 8;
}

// What is known of at most packets_per_run items before they are sorted.
struct Survey {
  std::uint64_t counts[Kind::kinds] = {};  // byte c of counts[k]: how many of kind k are in chunk class c
  unsigned first_kind = 0;
  unsigned differing = 0;  // bits in which any kind differs from the first
};

template <class Item>
inline Survey survey(std::span<const Item> items) {
  Survey s;
  s.first_kind = kind_of(items[0]);
  const unsigned first_long = s.first_kind & Kind::general;
  const Key* key = nullptr;
  std::uint64_t counts = 0;
  for (const Item& item : items) {
    if (item.key != key) {
      key = item.key;
      prefetch_key(context_of(key));
      s.differing |= kind_of(item) ^ s.first_kind;
    }
    const bool esp = item.aad_length == burst::esp_aad_bytes && item.length <= burst::part_bytes;
    s.differing |= (esp ? 0u : Kind::general) ^ first_long;
    counts += std::uint64_t{1} << class_shift(part_length(item.length));
  }
  if (s.differing == 0) {
    s.counts[s.first_kind] = counts;
  } else {
    for (const Item& item : items)
      s.counts[kind_of(item)] += std::uint64_t{1} << class_shift(part_length(item.length));
  }
  return s;
}

// Writes the indices of one kind's items, by number of chunks; the order of arrival otherwise stays. Returns how many.
template <class Item>
inline std::size_t sort_kind(std::span<const Item> items, const Survey& s, unsigned kind, std::uint8_t* order) {
  // A multiplication is a running sum over bytes; no sum exceeds packets_per_run.
  const std::uint64_t sums = s.counts[kind] * 0x0101010101010101ull;
  std::uint64_t place = sums << 8;
  for (std::size_t i = 0; i < items.size(); i++) {
    if (s.differing != 0 && kind_of(items[i]) != kind) continue;
    const unsigned shift = class_shift(part_length(items[i].length));
    order[(place >> shift) & 0xff] = static_cast<std::uint8_t>(i);
    place += std::uint64_t{1} << shift;
  }
  return sums >> 56;
}

inline void put_counter(std::uint8_t* counter, const std::uint8_t* nonce, std::uint32_t last) {
  std::memcpy(counter, nonce, nonce_bytes);
  std::memcpy(counter + nonce_bytes, &last, 4);
}
inline void point_at_tag(Group::Tag& tag, const SealItem& item) {
  tag.out = item.tag;
}
inline void point_at_tag(Group::Tag& tag, const OpenItem& item) {
  tag.in = item.tag;
}

template <class Item>
inline void describe(Group& g, unsigned q, const Item& item) {
  g.data[q] = item.data;
  g.key[q] = context_of(item.key);
  g.length[q] = part_length(item.length);
  point_at_tag(g.tag[q], item);
  put_counter(g.first_counter[q], item.nonce.data(), 1u << 24);
}

template <class Item>
inline void describe_esp(Group& g, unsigned q, const Item& item) {
  describe(g, q, item);
  std::uint64_t aad;
  std::memcpy(&aad, item.aad, 8);
  g.state[q][0] = std::uint64_t{item.length} * 8;
  g.state[q][1] = __builtin_bswap64(aad);
}

template <class Item>
void describe_general(Group& g, unsigned q, const Item& item, const Kernel& kernel, int rounds) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  describe(g, q, item);
  put_counter(g.counter[q], item.nonce.data(), 1);
  g.length_block[q][0] = std::uint64_t{item.length} * 8;
  g.length_block[q][1] = std::uint64_t{item.aad_length} * 8;
  g.state[q][0] = g.state[q][1] = 0;
  kernel.absorb_aad(g, q, item.aad, item.aad_length);
  if (const std::uint32_t before = item.length - g.length[q]; before != 0)
    (seal ? kernel.seal_segments : kernel.open_segments)(g, q, before / burst::part_bytes, rounds);
}

// Fills a group with empty packets under the last packet's key, whose tags go to `sink`.
inline void pad(Group& g, unsigned used, std::uint8_t* sink) {
  for (unsigned q = used; q < burst::packets_per_group; q++) {
    g.data[q] = sink;
    g.key[q] = g.key[used - 1];
    g.length[q] = 0;
    g.tag[q].out = sink;
    std::memset(g.first_counter[q], 0, sizeof g.first_counter[q]);
    std::memset(g.counter[q], 0, sizeof g.counter[q]);
    std::memset(g.state[q], 0, sizeof g.state[q]);
    std::memset(g.length_block[q], 0, sizeof g.length_block[q]);
  }
}

template <class Item>
void run_kind(std::span<Item> items, const Survey& s, unsigned kind, const Kernel& kernel, Group* groups) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  const int rounds = (kind & Kind::aes256) != 0 ? 14 : 10;
  const bool esp = (kind & Kind::general) == 0;
  std::uint8_t order[burst::packets_per_run];
  std::uint8_t sink[tag_bytes];
  const std::size_t count = sort_kind<Item>(items, s, kind, order);
  const std::size_t group_count = (count + 3) / 4;
  for (std::size_t at = 0; at < count; at += 4) {
    Group& g = groups[at / 4];
    const unsigned used = static_cast<unsigned>(std::min<std::size_t>(4, count - at));
    if (esp && used == 4) {
#pragma GCC unroll 4
      for (unsigned q = 0; q < 4; q++)
        describe_esp(g, q, items[order[at + q]]);
    } else {
      for (unsigned q = 0; q < used; q++) {
        if (esp)
          describe_esp(g, q, items[order[at + q]]);
        else
          describe_general(g, q, items[order[at + q]], kernel, rounds);
      }
      pad(g, used, sink);
    }
  }
  (seal ? kernel.seal_groups : kernel.open_groups)(groups, group_count, rounds, esp);
  for (std::size_t at = 0; at < count; at++) {
    Item& item = items[order[at]];
    item.ok = seal || groups[at / 4].ok[at % 4] != 0;
    if (!item.ok) wipe(item.data, item.length);
  }
}

template <class Item>
void run(std::span<Item> items, const Kernel& kernel) {
  // Not initialised: every field that is read is written first.
  Group groups[burst::packets_per_run / burst::packets_per_group];
  while (!items.empty()) {
    const std::span<Item> now = items.first(std::min<std::size_t>(items.size(), burst::packets_per_run));
    items = items.subspan(now.size());
    const Survey s = survey<Item>(now);
    if (s.differing == 0) {
      run_kind(now, s, s.first_kind, kernel, groups);
    } else {
      for (unsigned kind = 0; kind < Kind::kinds; kind++) {
        if (s.counts[kind] != 0) run_kind(now, s, kind, kernel, groups);
      }
    }
    // A GHASH state tells the hash key to whoever knows the packet; everything else in the descriptors is public.
    if (((s.first_kind | s.differing) & Kind::general) != 0) wipe(groups, sizeof groups);
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
