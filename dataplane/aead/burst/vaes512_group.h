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

// kOneKey: all four packets of each group have one key. kEsp: see Kernel::seal_groups.
template <int kRounds, bool kOneKey, bool kSeal, bool kEsp>
class Pipeline {
 public:
  static SEALCAST_INLINE void run(Group* group, size_t count) {
    Pipeline now;
    now.template step<false, true, Extent::whole>(*group, 0, *group, 0);
    for (; count != 0; count--, group++) {
      Group& following = count > 1 ? group[1] : *group;
      const V tag_mask = now.tag_mask_;
      uint32_t longest = 0;
      const bool mixed = now.start(*group, longest);
      // Even a group of empty packets takes one step: it makes the next group's tag masks.
      const int last = static_cast<int>((longest + (longest == 0) - 1) / 64);
      if (!mixed) {
        for (int j = 0; j < last; j++)
          now.template step<true, false, Extent::whole>(*group, j, *group, j + 1);
        if (now.whole_)
          now.template step<true, true, Extent::whole>(*group, last, following, 0);
        else
          now.template step<true, true, Extent::last>(*group, last, following, 0);
      } else {
        for (int j = 0; j < last; j++)
          now.template step<true, false, Extent::mixed>(*group, j, *group, j + 1);
        now.template step<true, true, Extent::mixed>(*group, last, following, 0);
      }
      now.finish(*group, tag_mask);
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

  // The tag mask is the key stream of the block nonce ‖ 1. One key: lane q for packet q, one chain; else one each.
  static constexpr int mask_chains = kOneKey ? 1 : 4;

  // kHash: en- or decrypts and hashes chunk j of the four packets with the key stream made a step ago.
  // Always: makes the key stream of chunk next_j of the packets of `next`; kFirst: and their tag masks.
  template <bool kHash, bool kFirst, Extent kExtent>
  SEALCAST_INLINE void step(const Group& g, int j, const Group& next, int next_j) {
    constexpr int chains = 4 + (kFirst ? mask_chains : 0);
    constexpr int rounds_per_chunk = (kRounds - 1) / 4;
    V x[chains];
    const V numbers = kEsp ? big_endian_numbers(next_j) : little_endian_numbers(next_j);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      x[q] = _mm512_add_epi32(broadcast16(kEsp ? next.first_counter[q] : next.counter[q]), numbers);
      if constexpr (!kEsp) x[q] = swap_counter(x[q]);
    }
    if constexpr (kFirst) {
#pragma GCC unroll 4
      for (int m = 0; m < mask_chains; m++)
        x[4 + m] = _mm512_load_si512(next.first_counter);
    }
#pragma GCC unroll 8
    for (int i = 0; i < chains; i++)
      x[i] = _mm512_xor_si512(x[i], round_key(next, i, 0));
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; r++) {
#pragma GCC unroll 8
      for (int i = 0; i < chains; i++)
        x[i] = _mm512_aesenc_epi128(x[i], round_key(next, i, r));
      if constexpr (kHash) {
        if (r % rounds_per_chunk == 1 && r / rounds_per_chunk < 4) chunk<kExtent>(g, r / rounds_per_chunk, j);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < chains; i++)
      x[i] = _mm512_aesenclast_epi128(x[i], round_key(next, i, kRounds));
    if constexpr (kFirst) tag_mask_ = kOneKey ? x[4] : pick_lanes(x[4], x[chains - 3], x[chains - 2], x[chains - 1]);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      key_stream_[q] = x[q];
  }

  static SEALCAST_INLINE V round_key(const Group& g, int chain, int round) {
    return broadcast16(g.key[kOneKey ? 0 : chain % 4]->round_key[round]);
  }

  template <Extent kExtent>
  SEALCAST_INLINE void chunk(const Group& g, int q, int j) {
    uint8_t* const data = g.data[q] + 64 * j;
    const uint8_t* power = g.power[q] + 64 * j;
    V cipher;
    if constexpr (kExtent == Extent::whole) {
      const V in = _mm512_loadu_si512(data);
      const V out = _mm512_xor_si512(in, key_stream_[q]);
      _mm512_storeu_si512(data, out);
      cipher = kSeal ? out : in;
    } else {
      uint64_t bytes = g.last_mask[q];
      if constexpr (kExtent == Extent::mixed) {
        const int left = static_cast<int>(g.length[q]) - 64 * j;
        bytes = left > 64 ? ~0ull : (left > 0 ? bytes : 0);
        // Behind a packet's end the data are zero and any power will do, but it must lie in the context.
        const uint8_t* const end = reinterpret_cast<const uint8_t*>(g.key[q] + 1) - 64;
        power = power < end ? power : end;
      }
      const __mmask64 mask = bytes;
      const V in = _mm512_maskz_loadu_epi8(mask, data);
      const V out = _mm512_xor_si512(in, kSeal ? _mm512_maskz_mov_epi8(mask, key_stream_[q]) : key_stream_[q]);
      _mm512_mask_storeu_epi8(data, mask, out);
      cipher = kSeal ? out : in;
    }
    multiply_add(sum_[q], reverse_bytes(cipher), _mm512_loadu_si512(power));
  }

  // One block before the part and one after it, lane q for packet q.
  static SEALCAST_INLINE void add_ends(Product& sum, const Group& g) {
    constexpr int before = kEsp ? 16 : 0;
    const V state = _mm512_load_si512(g.state);
    const V state_power =
        gather_lanes(g.power[0] - before, g.power[1] - before, g.power[2] - before, g.power[3] - before);
    const V last_power = from_keys(g, offsetof(KeyContext, power) + 16 * (power_count - 1));
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
    if constexpr (kOneKey) return broadcast16(at(0));
    return gather_lanes(at(0), at(1), at(2), at(3));
  }

  SEALCAST_INLINE void finish(Group& g, V tag_mask) {
    Product sum = {sum_lanes(sum_[0].lo, sum_[1].lo, sum_[2].lo, sum_[3].lo),
                   sum_lanes(sum_[0].mid, sum_[1].mid, sum_[2].mid, sum_[3].mid),
                   sum_lanes(sum_[0].hi, sum_[1].hi, sum_[2].hi, sum_[3].hi)};
    add_ends(sum, g);
    V hash = reduce(sum);
    if constexpr (kEsp) hash = _mm512_xor_si512(hash, from_keys(g, offsetof(KeyContext, aad_length_term)));
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
