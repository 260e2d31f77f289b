// Four packets' parts in lockstep, one chunk (64 bytes) of each per step, and groups one behind the other as a
// pipeline: every step runs AES for the step after it, interleaved with GHASH of its own chunks, because the two live
// on different execution units and neither alone keeps the core busy. One reduction, one chain of tag masks and one
// comparison serve four packets. Included by vaes512.cc alone.
#pragma once

#include "dataplane/aead/burst/vaes512_math.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// How much of a step's chunks exists.
enum class Extent {
  whole,  // 64 bytes in every packet
  last,   // the last chunk of every packet: last_mask
  mixed,  // packets of different numbers of chunks
};

// What a group under one key needs of it in all four lanes. On this generation of CPUs a broadcast from memory takes a
// slot of the units that also shuffle and encrypt; a plain load does not.
struct WideKey {
  const KeyContext* key = nullptr;
  V round_key[15];
  V last_power;
  V aad_length_term;

  template <int kRounds>
  SEALCAST_INLINE void set(const KeyContext* k) {
    key = k;
#pragma GCC unroll 16
    for (int r = 0; r <= kRounds; r++)
      round_key[r] = broadcast16(k->round_key[r]);
    last_power = broadcast16(power_at(*k, 1));
    aad_length_term = broadcast16(k->aad_length_term);
  }
  template <int kRounds>
  SEALCAST_INLINE void wipe() {
#pragma GCC unroll 16
    for (int r = 0; r <= kRounds; r++)
      round_key[r] = _mm512_setzero_si512();
    last_power = aad_length_term = _mm512_setzero_si512();
    asm volatile("" : : "r"(this) : "memory");
  }
};

// kOneKey: all four packets of each group have one key. kEsp: see Kernel::seal_groups.
template <int kRounds, bool kOneKey, bool kSeal, bool kEsp>
class Pipeline {
 public:
  static SEALCAST_INLINE void run(Group* group, size_t count) {
    Pipeline now;
    // The pipeline works on two groups at a time, so on two keys at most.
    WideKey keys[2];
    WideKey* wide = keys;
    if constexpr (kOneKey) wide->template set<kRounds>(group->key[0]);
    now.template step<false, true, Extent::whole>(*group, 0, *group, 0, *wide);
    for (; count != 0; count--, group++) {
      Group& following = count > 1 ? group[1] : *group;
      const V tag_mask = now.tag_mask_;
      uint32_t longest = 0;
      const bool mixed = now.start(*group, longest);
      const WideKey& own = *wide;
      if constexpr (kOneKey) {
        if (own.key != following.key[0]) {
          wide = wide == keys ? keys + 1 : keys;
          wide->template set<kRounds>(following.key[0]);
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
    if constexpr (kOneKey) {
      for (WideKey& w : keys) {
        if (w.key != nullptr) w.template wipe<kRounds>();
      }
    }
  }

 private:
  // Returns whether the packets differ in their number of chunks.
  SEALCAST_INLINE bool start(const Group& g, uint32_t& longest) {
    uint32_t differing = 0;
    uint64_t masks = ~0ull;
    longest = 0;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      longest = g.length[q] > longest ? g.length[q] : longest;
      differing |= (g.length[q] - 1) ^ (g.length[0] - 1);
      masks &= g.last_mask[q];
      sum_[q] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    }
    whole_ = masks == ~0ull;
    return differing >= 64;
  }

  // Round key r of the four packets; one register if they are the same.
  struct RoundKeys {
    SEALCAST_INLINE RoundKeys(const Group& g, const WideKey& wide, int r) {
      if constexpr (kOneKey) {
        of_[0] = wide.round_key[r];
      } else {
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++)
          of_[q] = broadcast16(g.key[q]->round_key[r]);
      }
    }
    SEALCAST_INLINE V of(int q) const {
      return of_[kOneKey ? 0 : q];
    }
    // Packet q's in lane q.
    SEALCAST_INLINE V in_lanes() const {
      return kOneKey ? of_[0] : pick_lanes(of_[0], of_[1], of_[2], of_[3]);
    }

   private:
    V of_[kOneKey ? 1 : 4];
  };

  // kHash: en- or decrypts and hashes chunk j of the four packets with the key stream made a step ago.
  // Always: makes the key stream of chunk next_j of the packets of `next`; kFirst: and their tag masks.
  template <bool kHash, bool kFirst, Extent kExtent>
  SEALCAST_INLINE void step(const Group& g, int j, const Group& next, int next_j, const WideKey& wide) {
    constexpr int rounds_per_chunk = (kRounds - 1) / 4;
    const RoundKeys first(next, wide, 0);
    const V numbers = kEsp ? big_endian_numbers(next_j) : little_endian_numbers(next_j);
    V x[4], mask;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      V counter = _mm512_add_epi32(broadcast16(kEsp ? next.first_counter[q] : next.counter[q]), numbers);
      if constexpr (!kEsp) counter = swap_counter(counter);
      x[q] = _mm512_xor_si512(counter, first.of(q));
    }
    // The tag mask is the key stream of the block nonce ‖ 1, lane q for packet q.
    if constexpr (kFirst) mask = _mm512_xor_si512(_mm512_load_si512(next.first_counter), first.in_lanes());
    const Place place = Place::template make < kHash ? kExtent : Extent::whole > (g, j);
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; r++) {
      const RoundKeys round_key(next, wide, r);
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++)
        x[q] = _mm512_aesenc_epi128(x[q], round_key.of(q));
      if constexpr (kFirst) mask = _mm512_aesenc_epi128(mask, round_key.in_lanes());
      if constexpr (kHash) {
        if (r % rounds_per_chunk == 1 && r / rounds_per_chunk < 4) chunk<kExtent>(g, r / rounds_per_chunk, j, place);
      }
    }
    const RoundKeys last(next, wide, kRounds);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      key_stream_[q] = _mm512_aesenclast_epi128(x[q], last.of(q));
    if constexpr (kFirst) tag_mask_ = _mm512_aesenclast_epi128(mask, last.in_lanes());
  }

  // Where packets end at different chunks: what exists of each one's chunk j, and the power it meets. Behind a packet's
  // end the data are zero and any power will do, but it must lie in the context.
  struct Place {
    alignas(32) uint64_t mask[4];
    alignas(32) const uint8_t* power[4];

    template <Extent kExtent>
    static SEALCAST_INLINE Place make(const Group& g, int j) {
      Place p;
      if constexpr (kExtent == Extent::mixed) {
        const __m256i beyond =
            _mm256_sub_epi64(_mm256_set1_epi64x(64 * (j + 1)), _mm256_cvtepu32_epi64(load16(g.length)));
        const __m256i mask =
            _mm256_srlv_epi64(_mm256_set1_epi64x(-1), _mm256_max_epi64(beyond, _mm256_setzero_si256()));
        const __m256i power = _mm256_add_epi64(load32(g.power), _mm256_set1_epi64x(64 * j));
        const __m256i end = _mm256_add_epi64(load32(g.key), _mm256_set1_epi64x(sizeof(KeyContext) - 64));
        _mm256_store_si256(reinterpret_cast<__m256i*>(p.mask), mask);
        _mm256_store_si256(reinterpret_cast<__m256i*>(p.power), _mm256_min_epi64(power, end));
      }
      return p;
    }
  };

  template <Extent kExtent>
  SEALCAST_INLINE void chunk(const Group& g, int q, int j, const Place& place) {
    uint8_t* const data = g.data[q] + 64 * j;
    const uint8_t* const power = kExtent == Extent::mixed ? place.power[q] : g.power[q] + 64 * j;
    V cipher;
    if constexpr (kExtent == Extent::whole) {
      const V in = _mm512_loadu_si512(data);
      const V out = _mm512_xor_si512(in, key_stream_[q]);
      _mm512_storeu_si512(data, out);
      cipher = kSeal ? out : in;
    } else {
      const __mmask64 mask = kExtent == Extent::mixed ? place.mask[q] : g.last_mask[q];
      const V in = _mm512_maskz_loadu_epi8(mask, data);
      const V out = _mm512_xor_si512(in, kSeal ? _mm512_maskz_mov_epi8(mask, key_stream_[q]) : key_stream_[q]);
      _mm512_mask_storeu_epi8(data, mask, out);
      cipher = kSeal ? out : in;
    }
    multiply_add(sum_[q], reverse_bytes(cipher), _mm512_loadu_si512(power));
  }

  // One block before the part and one after it, lane q for packet q.
  static SEALCAST_INLINE void add_ends(Product& sum, const Group& g, const WideKey& wide) {
    const V state = _mm512_load_si512(g.state);
    const V state_power = _mm512_load_si512(g.state_power);
    V last_power;
    if constexpr (kOneKey)
      last_power = wide.last_power;
    else
      last_power = from_keys(g, offsetof(KeyContext, power) + 16 * (power_count - 1));
    if constexpr (kEsp) {
      // The AAD fills the high half of its block and the length of the data the low half of the length block, so both
      // fit into one lane if each half meets the power it belongs to. The rest of the length block is a constant.
      const V outer = _mm512_mask_mov_epi32(last_power, 0xcccc, state_power);
      const V inner = _mm512_mask_mov_epi32(state_power, 0xcccc, last_power);
      sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(state, outer, 0x00));
      sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(state, outer, 0x11));
      sum.mid =
          xor3(sum.mid, _mm512_clmulepi64_epi128(state, inner, 0x01), _mm512_clmulepi64_epi128(state, inner, 0x10));
    } else {
      multiply_add(sum, state, state_power);
      multiply_add(sum, _mm512_load_si512(g.length_block), last_power);
    }
  }

  static SEALCAST_INLINE V from_keys(const Group& g, size_t offset) {
    const auto at = [&](int q) { return reinterpret_cast<const uint8_t*>(g.key[q]) + offset; };
    return gather_lanes(at(0), at(1), at(2), at(3));
  }

  SEALCAST_INLINE void finish(Group& g, V tag_mask, const WideKey& wide) {
    Product sum = {sum_lanes(sum_[0].lo, sum_[1].lo, sum_[2].lo, sum_[3].lo),
                   sum_lanes(sum_[0].mid, sum_[1].mid, sum_[2].mid, sum_[3].mid),
                   sum_lanes(sum_[0].hi, sum_[1].hi, sum_[2].hi, sum_[3].hi)};
    add_ends(sum, g, wide);
    V hash = reduce(sum);
    if constexpr (kEsp && kOneKey) hash = _mm512_xor_si512(hash, wide.aad_length_term);
    if constexpr (kEsp && !kOneKey) hash = _mm512_xor_si512(hash, from_keys(g, offsetof(KeyContext, aad_length_term)));
    const V tag = _mm512_xor_si512(reverse_bytes(hash), tag_mask);
    if constexpr (kSeal) {
      store16(g.tag[0].out, _mm512_castsi512_si128(tag));
      store16(g.tag[1].out, _mm512_extracti32x4_epi32(tag, 1));
      store16(g.tag[2].out, _mm512_extracti32x4_epi32(tag, 2));
      store16(g.tag[3].out, _mm512_extracti32x4_epi32(tag, 3));
    } else {
      // All 64 bytes are compared whatever they hold; only the verdicts, which are public, leave the mask.
      const V sent = gather_lanes(g.tag[0].in, g.tag[1].in, g.tag[2].in, g.tag[3].in);
      const unsigned same = _mm512_cmpeq_epi64_mask(tag, sent);
      // Both halves of a lane, then one byte of 0 or 1 for each lane.
      const uint32_t ok = _pdep_u32(_pext_u32(same & (same >> 1), 0x55), 0x01010101);
      __builtin_memcpy(g.ok, &ok, sizeof ok);
    }
  }

  V key_stream_[4];
  V tag_mask_;
  Product sum_[4];
  bool whole_;  // the last chunk has 64 bytes in every packet
};

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
