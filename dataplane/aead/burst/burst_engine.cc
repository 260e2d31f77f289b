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
  for (std::size_t line = 512; line < sizeof(KeyContext); line += 64)
    _mm_prefetch(bytes + line, _MM_HINT_T0);
}

// Bytes left for a packet's part after its whole segments.
inline std::uint32_t part_length(std::uint32_t length) {
  return length <= burst::part_bytes ? length : (length - 1) % burst::part_bytes + 1;
}

// A part has 1 to 8 chunks (an empty one counts as 1); packets of a number stand together.
inline unsigned chunk_class(std::uint32_t part) {
  return (part - (part != 0)) / 64;
}
constexpr unsigned classes = burst::part_chunks;

// Sorts at most packets_per_run items into one bucket for each number of chunks; within one, arrival order stays.
class Buckets {
 public:
  void add(std::uint32_t part, std::size_t index) {
    const unsigned c = chunk_class(part);
    bucket_[c][(counts_ >> (8 * c)) & 0xff] = static_cast<std::uint8_t>(index);
    counts_ += std::uint64_t{1} << (8 * c);  // byte c; none exceeds packets_per_run
  }
  // All indices, by number of chunks.
  std::size_t write(std::uint8_t* order) const {
    std::size_t n = 0;
    for (std::uint64_t counts = counts_, c = 0; counts != 0; counts >>= 8, c++) {
      if ((counts & 0xff) == 0) continue;
      std::memcpy(order + n, bucket_[c], burst::packets_per_run);  // what is too much is written over by the next
      n += counts & 0xff;
    }
    return n;
  }
  static constexpr std::size_t order_bytes = 2 * burst::packets_per_run;

 private:
  std::uint8_t bucket_[classes][burst::packets_per_run];
  std::uint64_t counts_ = 0;
};

// In one store each: the kernel reads them back as one, sometimes at once.
inline void put_counter(std::uint8_t* counter, const std::uint8_t* nonce, std::uint32_t last) {
  std::uint64_t low;
  std::uint32_t high;
  std::memcpy(&low, nonce, 8);
  std::memcpy(&high, nonce + 8, 4);
  const auto top = static_cast<long long>((std::uint64_t{last} << 32) | high);
  _mm_store_si128(reinterpret_cast<__m128i*>(counter), _mm_set_epi64x(top, static_cast<long long>(low)));
}
inline void put_zero(std::uint64_t* pair) {
  _mm_store_si128(reinterpret_cast<__m128i*>(pair), _mm_setzero_si128());
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
  put_zero(g.state[q]);
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

// Items of one kind, in the given order.
template <class Item>
void run_kind(std::span<Item> items, const std::uint8_t* order, std::size_t count, unsigned kind, const Kernel& kernel,
              Group* groups) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  const int rounds = (kind & Kind::aes256) != 0 ? 14 : 10;
  const bool esp = (kind & Kind::general) == 0;
  const std::size_t whole = count / 4;
  std::uint8_t sink[tag_bytes];
  Group* g = groups;
  if (esp) {
    for (; g != groups + whole; g++, order += 4) {
#pragma GCC unroll 4
      for (unsigned q = 0; q < 4; q++)
        describe_esp(*g, q, items[order[q]]);
    }
    for (unsigned q = 0; q < count % 4; q++)
      describe_esp(*g, q, items[order[q]]);
  } else {
    for (std::size_t at = 0; at < count; at++, order++)
      describe_general(groups[at / 4], at % 4, items[*order], kernel, rounds);
  }
  if (count % 4 != 0) pad(groups[whole], count % 4, sink);
  (seal ? kernel.seal_groups : kernel.open_groups)(groups, (count + 3) / 4, rounds, esp);
}

// The items say ok already; says otherwise of those that are not, and wipes them.
void refuse_forged(std::span<OpenItem> items, const std::uint8_t* order, std::size_t count, const Group* groups) {
  for (std::size_t at = 0; at < count; at += 4) {
    std::uint32_t ok;
    std::memcpy(&ok, groups[at / 4].ok, 4);
    if (ok == 0x01010101) continue;
    for (std::size_t i = at; i < std::min(at + 4, count); i++) {
      OpenItem& item = items[order[i]];
      item.ok = groups[at / 4].ok[i % 4] != 0;
      if (!item.ok) wipe(item.data, item.length);
    }
  }
}

template <class Item>
void run(std::span<Item> items, const Kernel& kernel) {
  // Not initialised: every field that is read is written first.
  Group groups[burst::packets_per_run / burst::packets_per_group];
  std::uint8_t order[Buckets::order_bytes];
  while (!items.empty()) {
    const std::span<Item> now = items.first(std::min<std::size_t>(items.size(), burst::packets_per_run));
    items = items.subspan(now.size());
    const unsigned first_kind = kind_of(now[0]);
    const Key* key = nullptr;
    unsigned differing = 0;
    Buckets all;
    for (std::size_t i = 0; i < now.size(); i++) {
      Item& item = now[i];
      const bool esp = item.aad_length == burst::esp_aad_bytes && item.length <= burst::part_bytes;
      differing |= (esp ? 0u : Kind::general) ^ (first_kind & Kind::general);
      if (item.key != key) {
        key = item.key;
        prefetch_key(context_of(key));
        differing |= kind_of(item) ^ first_kind;
      }
      all.add(part_length(item.length), i);
      item.ok = true;
    }
    const auto run_sorted = [&](unsigned kind, const Buckets& buckets) {
      const std::size_t count = buckets.write(order);
      if (count == 0) return;
      run_kind(now, order, count, kind, kernel, groups);
      if constexpr (std::is_same_v<Item, OpenItem>) refuse_forged(now, order, count, groups);
    };
    if (differing == 0) {
      run_sorted(first_kind, all);
    } else {
      for (unsigned kind = 0; kind < Kind::kinds; kind++) {
        Buckets of_kind;
        for (std::size_t i = 0; i < now.size(); i++) {
          if (kind_of(now[i]) == kind) of_kind.add(part_length(now[i].length), i);
        }
        run_sorted(kind, of_kind);
      }
    }
    // A GHASH state tells the hash key to whoever knows the packet; everything else in the descriptors is public.
    if (((first_kind | differing) & Kind::general) != 0) wipe(groups, sizeof groups);
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
