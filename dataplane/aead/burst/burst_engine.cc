// The front of the burst engine: sorts a burst into groups that suit the kernels, and hands out the verdicts.
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

// A part has 1 to 8 chunks (an empty one counts as 1); packets of one class stand together.
inline unsigned chunk_class(std::uint32_t part) {
  return (part - (part != 0)) / 64;
}

// The result of one look at every item of a burst (packets_per_run at most).
struct Survey {
  std::uint64_t counts = 0;  // byte c: how many packets are in class c
  unsigned first_kind = 0;
  unsigned differing = 0;  // bits in which any item's kind differs from the first one's
  bool one_class = false;
  std::uint8_t class_of[burst::packets_per_run];
};

template <class Item>
inline void survey(std::span<Item> items, Survey& s) {
  const Key* key = nullptr;
  std::uint64_t counts = 0;
  unsigned differing = 0;
  const unsigned first_kind = kind_of(items[0]);
  const unsigned first_general = first_kind & Kind::general;
  for (std::size_t i = 0; i < items.size(); i++) {
    Item& item = items[i];
    const std::uint32_t length = item.length;
    unsigned general = item.aad_length == burst::esp_aad_bytes ? 0u : Kind::general;
    std::uint32_t part = length;
    if (length > burst::part_bytes) {
      general = Kind::general;
      part = part_length(length);
    }
    differing |= general ^ first_general;
    if (item.key != key) {
      key = item.key;
      prefetch_key(context_of(key));
      differing |= kind_of(item) ^ first_kind;
    }
    const unsigned c = chunk_class(part);
    s.class_of[i] = static_cast<std::uint8_t>(c);
    counts += std::uint64_t{1} << (8 * c);  // no count exceeds packets_per_run
    item.ok = true;                         // open: until the kernel says otherwise
  }
  s.counts = counts;
  s.first_kind = first_kind;
  s.differing = differing;
  s.one_class = ((counts >> (8 * s.class_of[0])) & 0xff) == items.size();
}

// Writes the indices of all items by class; within a class they keep their order of arrival.
inline void sort(const Survey& s, std::size_t count, std::uint8_t* order) {
  std::uint64_t place = (s.counts * 0x0101010101010101ull) << 8;  // the product is a running sum over the bytes
  for (std::size_t i = 0; i < count; i++) {
    const unsigned shift = 8u * s.class_of[i];
    order[(place >> shift) & 0xff] = static_cast<std::uint8_t>(i);
    place += std::uint64_t{1} << shift;
  }
}

// In one store each: the kernel reads each back as one, sometimes at once.
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
void describe_general(Group& g, unsigned q, const Item& item, const Kernel& kernel) {
  describe(g, q, item);
  put_counter(g.counter[q], item.nonce.data(), 1);
  g.length_block[q][0] = std::uint64_t{item.length} * 8;
  g.length_block[q][1] = std::uint64_t{item.aad_length} * 8;
  put_zero(g.state[q]);
  kernel.absorb_aad(g, q, item.aad, item.aad_length);
  g.segments[q] = (item.length - g.length[q]) / burst::part_bytes;
}

// Fills a group with empty packets under the last packet's key; their tags go to `sink`.
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

// `count` items of one kind: items[order[0]], items[order[1]] …, or items[0], items[1] … where in_order.
template <bool in_order, class Item>
void run_kind(std::span<Item> items, const std::uint8_t* order, std::size_t count, unsigned kind, const Kernel& kernel,
              Group* groups) {
  constexpr bool seal = std::is_same_v<Item, SealItem>;
  const auto item = [&](std::size_t at) -> Item& { return items[in_order ? at : order[at]]; };
  const int rounds = (kind & Kind::aes256) != 0 ? 14 : 10;
  const bool esp = (kind & Kind::general) == 0;
  if (esp) {
    std::size_t at = 0;
    for (; at + 4 <= count; at += 4) {
#pragma GCC unroll 4
      for (unsigned q = 0; q < 4; q++)
        describe_esp(groups[at / 4], q, item(at + q));
    }
    for (; at < count; at++)
      describe_esp(groups[at / 4], at % 4, item(at));
  } else {
    for (std::size_t at = 0; at < count; at++)
      describe_general(groups[at / 4], at % 4, item(at), kernel);
    (seal ? kernel.seal_segments : kernel.open_segments)(groups, count, rounds);
  }
  std::uint8_t sink[tag_bytes];
  if (count % 4 != 0) pad(groups[count / 4], count % 4, sink);
  (seal ? kernel.seal_groups : kernel.open_groups)(groups, (count + 3) / 4, rounds, esp);

  // Forged packets were decrypted on the way (README.md says why): wipe them before a caller sees them.
  if constexpr (!seal) {
    for (std::size_t at = 0; at < count; at += 4) {
      std::uint32_t ok;
      std::memcpy(&ok, groups[at / 4].ok, 4);
      if (ok == 0x01010101) continue;
      for (std::size_t i = at; i < std::min(at + 4, count); i++) {
        item(i).ok = groups[at / 4].ok[i % 4] != 0;
        if (!item(i).ok) wipe(item(i).data, item(i).length);
      }
    }
  }
}

template <class Item>
void run(std::span<Item> items, const Kernel& kernel) {
  // Not initialised: every field that is read is written first.
  Group groups[burst::packets_per_run / burst::packets_per_group];
  std::uint8_t order[burst::packets_per_run];
  while (!items.empty()) {
    const std::span<Item> now = items.first(std::min<std::size_t>(items.size(), burst::packets_per_run));
    items = items.subspan(now.size());
    Survey s;
    survey(now, s);
    if (s.one_class && s.differing == 0) {
      run_kind<true>(now, nullptr, now.size(), s.first_kind, kernel, groups);
    } else {
      sort(s, now.size(), order);
      if (s.differing == 0) {
        run_kind<false>(now, order, now.size(), s.first_kind, kernel, groups);
      } else {
        for (unsigned kind = 0; kind < Kind::kinds; kind++) {
          std::uint8_t chosen[burst::packets_per_run];
          std::size_t count = 0;
          for (std::size_t i = 0; i < now.size(); i++) {
            if (kind_of(now[order[i]]) == kind) chosen[count++] = order[i];
          }
          if (count != 0) run_kind<false>(now, chosen, count, kind, kernel, groups);
        }
      }
    }
    // A GHASH state reveals the hash key to an attacker who knows the packet; all else in the descriptors is public.
    if (((s.first_kind | s.differing) & Kind::general) != 0) wipe(groups, sizeof groups);
  }
}

class BurstEngine final : public Engine {
 public:
  BurstEngine(std::string_view name, const Kernel& kernel) : name_(name), kernel_(kernel) {}

  std::string_view name() const override { return name_; }
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
  // Packets are grouped by length; groups of several keys cost less than sorting by key.
  bool wants_keys_together() const noexcept override { return false; }
  void prefetch(const Key& key) const noexcept override {
    // AES-128 has no round key in the last line. To the second level: a burst of keys would fill the first.
    const auto* bytes = static_cast<const char*>(key.context);
    const std::size_t end = sizeof(KeyContext) - (key.size == 16 ? 64 : 0);
    for (std::size_t line = 512; line < end; line += 64)
      _mm_prefetch(bytes + line, _MM_HINT_T1);
  }
  void seal(std::span<SealItem> items) const override { run(items, kernel_); }
  void open(std::span<OpenItem> items) const override { run(items, kernel_); }

 private:
  const std::string_view name_;
  const Kernel& kernel_;
};

}  // namespace

Result<std::unique_ptr<Engine>> create_burst_512() {
  if (!burst::cpu_runs_vaes512())
    return fail("engine burst-512: expected a CPU with AVX-512 (F, DQ, BW, VL), VAES and VPCLMULQDQ");
  return std::make_unique<BurstEngine>("burst-512", burst::vaes512_kernel);
}

Result<std::unique_ptr<Engine>> create_burst_256() {
  if (!burst::cpu_runs_vaes256()) return fail("engine burst-256: expected a CPU with AVX2, VAES and VPCLMULQDQ");
  return std::make_unique<BurstEngine>("burst-256", burst::vaes256_kernel);
}

Result<std::unique_ptr<Engine>> create_burst() {
  if (burst::cpu_runs_vaes512()) return create_burst_512();
  if (burst::cpu_runs_vaes256()) return create_burst_256();
  return fail("engine burst: expected a CPU with VAES, VPCLMULQDQ and AVX2 or AVX-512");
}

}  // namespace sealcast::dataplane::aead
