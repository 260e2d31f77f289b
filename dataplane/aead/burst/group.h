// Four packets' parts in lockstep, one chunk (64 bytes) of each per step, and groups one behind the other as a
// pipeline: every step runs AES for the step after it, interleaved with GHASH of its own chunks, because the two use
// different execution units and neither alone keeps the core busy. One reduction, one chain of tag masks and one
// comparison serve four packets. Only the kernel files include it, behind the arithmetic of their registers.
#pragma once

#include "dataplane/aead/burst/packet.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// How much of a step's chunks exists.
enum class Extent {
  whole,  // 64 bytes in every packet
  last,   // the last chunk of every packet: last_extent
  mixed,  // packets of different numbers of chunks
};

// The parts of one key that a group needs, in all four lanes. On this generation of CPUs a broadcast from memory takes
// a slot of the units that also shuffle and encrypt; a plain load does not.
struct WideKey {
  const KeyContext* key = nullptr;
  Row round_key[15];
  V last_power;
  V aad_length_term;

  template <int round_count>
  SEALCAST_INLINE void set(const KeyContext* k) {
    key = k;
#pragma GCC unroll 16
    for (int r = 0; r <= round_count; r++)
      round_key[r] = broadcast_row(k->round_key[r]);
    last_power = broadcast16(power_at(*k, 1));
    aad_length_term = broadcast16(k->aad_length_term);
  }
  template <int round_count>
  SEALCAST_INLINE void wipe() {
#pragma GCC unroll 16
    for (int r = 0; r <= round_count; r++)
      round_key[r] = Row{};
    last_power = aad_length_term = zero();
    asm volatile("" : : "r"(this) : "memory");
  }
};

// single_key: all four packets of each group have one key. esp_only: see Kernel::seal_groups.
template <int round_count, bool single_key, bool sealing, bool esp_only>
class Pipeline {
 public:
  // The pipeline works on two groups at a time, so on two keys at most.
  static SEALCAST_INLINE void run(Group* group, size_t count, WideKey (&keys)[2]) {
    Pipeline now;
    WideKey* wide = keys;
    if constexpr (single_key) wide->template set<round_count>(group->key[0]);
    now.template step<false, true, Extent::whole>(*group, 0, *group, 0, *wide);
    for (; count != 0; count--, group++) {
      Group& following = count > 1 ? group[1] : *group;
      const V tag_mask = now.tag_mask_;
      uint32_t longest = 0;
      const bool mixed = now.start(*group, longest);
      const WideKey& own = *wide;
      if constexpr (single_key) {
        if (own.key != following.key[0]) {
          wide = wide == keys ? keys + 1 : keys;
          wide->template set<round_count>(following.key[0]);
        }
      }
      // Even a group of empty packets takes one step: it makes the next group's tag masks.
      const int last = static_cast<int>((longest + (longest == 0) - 1) / 64);
      if (!mixed) {
        for (int j = 0; j < last; j++)
          now.template step<true, false, Extent::whole>(*group, j, *group, j + 1, own);
        if (now.whole_)
          now.template step<true, true, Extent::whole>(*group, last, following, 0, *wide);
        else
          now.template step<true, true, Extent::last>(*group, last, following, 0, *wide);
      } else {
        for (int j = 0; j < last; j++)
          now.template step<true, false, Extent::mixed>(*group, j, *group, j + 1, own);
        now.template step<true, true, Extent::mixed>(*group, last, following, 0, *wide);
      }
      now.finish(*group, tag_mask, own);
    }
  }

 private:
  // Returns whether the packets differ in their number of chunks.
  SEALCAST_INLINE bool start(const Group& g, uint32_t& longest) {
    uint32_t differing = 0;
    uint64_t extents = whole_extent;
    longest = 0;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      longest = g.length[q] > longest ? g.length[q] : longest;
      differing |= (g.length[q] - 1) ^ (g.length[0] - 1);
      extents &= g.last_extent[q];
      clear(sum_[q]);
    }
    whole_ = extents == whole_extent;
    return differing >= 64;
  }

  // Round key r of the four packets; one register if they are the same.
  struct RoundKeys {
    SEALCAST_INLINE RoundKeys(const Group& g, const WideKey& wide, int r) {
      if constexpr (single_key) {
        of_[0] = wide.round_key[r];
      } else {
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++)
          of_[q] = broadcast_row(g.key[q]->round_key[r]);
      }
    }
    SEALCAST_INLINE Row of(int q) const {
      return of_[single_key ? 0 : q];
    }
    // Packet q's in lane q.
    SEALCAST_INLINE auto in_lanes() const {
      if constexpr (single_key)
        return of_[0];
      else
        return pick_lanes(of_[0], of_[1], of_[2], of_[3]);
    }

   private:
    Row of_[single_key ? 1 : 4];
  };

  // hashing: en- or decrypts and hashes chunk j of the four packets with the key stream made a step ago.
  // Always: makes the key stream of chunk next_j of the packets of `next`; first_masks: and their tag masks.
  template <bool hashing, bool first_masks, Extent extent_kind>
  SEALCAST_INLINE void step(const Group& g, int j, const Group& next, int next_j, const WideKey& wide) {
    constexpr int rounds_per_chunk = (round_count - 1) / 4;
    const RoundKeys first(next, wide, 0);
    const V numbers = esp_only ? big_endian_numbers(next_j) : little_endian_numbers(next_j);
    V x[4], mask;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      V counter = add_numbers(broadcast16(esp_only ? next.first_counter[q] : next.counter[q]), numbers);
      if constexpr (!esp_only) counter = swap_counter(counter);
      x[q] = add_key(counter, first.of(q));
    }
    // The tag mask is the key stream of the block nonce ‖ 1, lane q for packet q.
    if constexpr (first_masks) mask = add_key(load64(next.first_counter), first.in_lanes());
    Place place;
    if constexpr (hashing && extent_kind == Extent::mixed) place.set(g, j);
#pragma GCC unroll 16
    for (int r = 1; r < round_count; r++) {
      const RoundKeys round_key(next, wide, r);
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++)
        x[q] = aesenc(x[q], round_key.of(q));
      if constexpr (first_masks) mask = aesenc(mask, round_key.in_lanes());
      if constexpr (hashing) {
        if (r % rounds_per_chunk == 1 && r / rounds_per_chunk < 4)
          chunk<extent_kind>(g, r / rounds_per_chunk, j, place);
      }
    }
    const RoundKeys last(next, wide, round_count);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      key_stream_[q] = aesenclast(x[q], last.of(q));
    if constexpr (first_masks) tag_mask_ = aesenclast(mask, last.in_lanes());
  }

  template <Extent extent_kind>
  SEALCAST_INLINE void chunk(const Group& g, int q, int j, const Place& place) {
    uint8_t* const data = g.data[q] + 64 * j;
    const uint8_t* const power = extent_kind == Extent::mixed ? place.power[q] : g.power[q] + 64 * j;
    V cipher;
    if constexpr (extent_kind == Extent::whole) {
      const V in = load64(data);
      const V out = add(in, key_stream_[q]);
      store64(data, out);
      cipher = sealing ? out : in;
    } else {
      const uint64_t extent = extent_kind == Extent::mixed ? place.extent[q] : g.last_extent[q];
      const V in = load_some(extent, data);
      const V out = add(in, sealing ? keep_some(extent, key_stream_[q]) : key_stream_[q]);
      store_some(extent, data, out);
      cipher = sealing ? out : in;
    }
    multiply_add(sum_[q], reverse_bytes(cipher), load64(power));
  }

  // One block before the part and one after it, lane q for packet q.
  static SEALCAST_INLINE void add_ends(Product& sum, const Group& g, const WideKey& wide) {
    const V state = load64(g.state);
    // ESP: the AAD is the block before the part's first; else the state belongs to the part's first block.
    constexpr int before = esp_only ? 16 : 0;
    const V state_power =
        gather_lanes(g.power[0] - before, g.power[1] - before, g.power[2] - before, g.power[3] - before);
    V last_power;
    if constexpr (single_key)
      last_power = wide.last_power;
    else
      last_power = from_keys(g, offsetof(KeyContext, power) + 16 * (power_count - 1));
    if constexpr (esp_only) {
      // The AAD fills the high half of its block and the length of the data the low half of the length block, so both
      // fit into one lane if each half meets the power it belongs to. The rest of the length block is a constant.
      multiply_add_lanes(sum, state, join_halves(last_power, state_power), join_halves(state_power, last_power));
    } else {
      multiply_add_lanes(sum, state, state_power, state_power);
      multiply_add_lanes(sum, load64(g.length_block), last_power, last_power);
    }
  }

  static SEALCAST_INLINE V from_keys(const Group& g, size_t offset) {
    const auto at = [&](int q) { return reinterpret_cast<const uint8_t*>(g.key[q]) + offset; };
    return gather_lanes(at(0), at(1), at(2), at(3));
  }

  SEALCAST_INLINE void finish(Group& g, V tag_mask, const WideKey& wide) {
    Product sum = sum_lanes(sum_);
    add_ends(sum, g, wide);
    V hash = reduce(sum);
    if constexpr (esp_only && single_key) hash = add(hash, wide.aad_length_term);
    if constexpr (esp_only && !single_key) hash = add(hash, from_keys(g, offsetof(KeyContext, aad_length_term)));
    const V tag = add(reverse_bytes(hash), tag_mask);
    if constexpr (sealing) {
      scatter_lanes(tag, g.tag[0].out, g.tag[1].out, g.tag[2].out, g.tag[3].out);
    } else {
      // Only the verdicts, which are public, leave the registers: one byte of 0 or 1 for each lane.
      const V sent = gather_lanes(g.tag[0].in, g.tag[1].in, g.tag[2].in, g.tag[3].in);
      const uint32_t ok = _pdep_u32(_pext_u32(equal_lanes(tag, sent), 0x55), 0x01010101);
      __builtin_memcpy(g.ok, &ok, sizeof ok);
    }
  }

  V key_stream_[4];
  V tag_mask_;
  Sum sum_[4];
  bool whole_;  // the last chunk has 64 bytes in every packet
};

// A part of n bytes is ceil(n/16) blocks; its first block meets H^(blocks+1), its last H^2, the length block H^1.
SEALCAST_INLINE void locate(Group& g) {
  const __m256i length = _mm256_cvtepu32_epi64(load16(g.length));
  const __m256i blocks = _mm256_srli_epi64(_mm256_add_epi64(length, _mm256_set1_epi64x(15)), 4);
  const __m256i power = _mm256_add_epi64(
      load32(g.key), _mm256_sub_epi64(_mm256_set1_epi64x(offsetof(KeyContext, power) + 16 * (power_count - 1)),
                                      _mm256_slli_epi64(blocks, 4)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(g.power), power);
  find_last_extents(g);
}

inline bool one_key(const Group& g) {
  return g.key[0] == g.key[1] && g.key[0] == g.key[2] && g.key[0] == g.key[3];
}

// Cuts the groups into stretches with one key per group and stretches with several.
template <int round_count, bool sealing, bool esp_only>
__attribute__((noinline)) void groups(Group* g, size_t count, WideKey (&keys)[2]) {
  for (size_t i = 0; i < count; i++)
    locate(g[i]);
  while (count != 0) {
    const bool one = one_key(*g);
    size_t same = 1;
    while (same < count && one_key(g[same]) == one)
      same++;
    if (one)
      Pipeline<round_count, true, sealing, esp_only>::run(g, same, keys);
    else
      Pipeline<round_count, false, sealing, esp_only>::run(g, same, keys);
    g += same;
    count -= same;
  }
}

// Overwrites the stack below this frame. Functions called before from the same place left registers there for which the
// compiler had no room: key stream, sums and keys. burst_residue_test proves that none is left.
template <size_t scrubbed_bytes>
__attribute__((noinline)) void scrub_stack() {
  V room[scrubbed_bytes / sizeof(V)];
  for (V& v : room)
    store64(&v, zero());
  asm volatile("" : : "r"(room) : "memory");
}

template <int round_count, bool sealing>
SEALCAST_INLINE void groups(Group* g, size_t count, bool esp) {
  WideKey keys[2];  // outside the scrubbed frame: most of it is not used
  if (esp)
    groups<round_count, sealing, true>(g, count, keys);
  else
    groups<round_count, sealing, false>(g, count, keys);
  for (WideKey& w : keys) {
    if (w.key != nullptr) w.template wipe<round_count>();
  }
  scrub_stack<spilled_bytes>();
}

template <bool sealing>
void any_groups(Group* g, size_t count, int rounds, bool esp) {
  if (rounds == 10)
    groups<10, sealing>(g, count, esp);
  else
    groups<14, sealing>(g, count, esp);
}

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
