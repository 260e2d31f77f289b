// Four packets' parts in lockstep, one chunk (64 bytes) of each per step, and groups one behind the other as a pipeline:
// every step runs AES for the step after it, interleaved with GHASH of its own chunks, because the two live on different
// execution units and neither alone keeps the core busy. One reduction, one chain of tag masks and one comparison serve
// four packets. Included by vaes512.cc alone.
#pragma once

#include "dataplane/aead/burst/vaes512_math.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// kOneKey: all four packets of each group have one key. kEsp: see Kernel::seal_groups.
template <int kRounds, bool kOneKey, bool kSeal, bool kEsp>
class Pipeline {
 public:
  static SEALCAST_INLINE void run(Packet* packets, size_t groups) {
    Pipeline now;
    V tag_mask;
    now.template step<false, true, false>(packets, 0, packets, 0, tag_mask);
    for (; groups != 0; groups--, packets += 4) {
      Packet* const following = groups > 1 ? packets + 4 : packets;
      const V mask = tag_mask;
      const int last = now.start(packets);
      if (now.whole_until_last_) {
        for (int j = 0; j < last; j++)
          now.template step<true, false, false>(packets, j, packets, j + 1, tag_mask);
      } else {
        for (int j = 0; j < last; j++)
          now.template step<true, false, true>(packets, j, packets, j + 1, tag_mask);
      }
      now.template step<true, true, true>(packets, last, following, 0, tag_mask);
      now.finish(packets, mask);
    }
  }

 private:
  // Returns the index of the group's last chunk; at least 0, since even empty packets need a tag mask.
  SEALCAST_INLINE int start(const Packet* p) {
    uint32_t longest = p[0].length, shortest = p[0].length;
#pragma GCC unroll 4
    for (int q = 1; q < 4; q++) {
      longest = p[q].length > longest ? p[q].length : longest;
      shortest = p[q].length < shortest ? p[q].length : shortest;
    }
    const int last = static_cast<int>((longest + (longest == 0) - 1) / 64);
    whole_until_last_ = static_cast<int>(shortest / 64) >= last;
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      sum_[q] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    return last;
  }

  // The tag mask is the key stream of the block nonce ‖ 1. One key: lane q for packet q, one chain; else one each.
  static constexpr int mask_chains = kOneKey ? 1 : 4;

  // kHash: en- or decrypts and hashes chunk j of the four packets at p with the key stream made a step ago.
  // Always: makes the key stream of chunk next_j of the packets at next; kFirst: and their tag mask.
  template <bool kHash, bool kFirst, bool kMasked>
  SEALCAST_INLINE void step(const Packet* p, int j, const Packet* next, int next_j, V& tag_mask) {
    constexpr int chains = 4 + (kFirst ? mask_chains : 0);
    constexpr int rounds_per_chunk = (kRounds - 1) / 4;
    V x[chains];
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      x[q] = broadcast16(next[q].counter);
    if constexpr (kFirst) {
      V ones = pick_lanes(x[0], x[1], x[2], x[3]);
      ones = _mm512_mask_mov_epi32(ones, 0x8888, _mm512_set1_epi32(1 << 24));
#pragma GCC unroll 4
      for (int m = 0; m < mask_chains; m++)
        x[4 + m] = ones;
    }
    const V numbers = kEsp ? big_endian_numbers(next_j) : little_endian_numbers(next_j);
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      x[q] = _mm512_add_epi32(x[q], numbers);
      if constexpr (!kEsp) x[q] = swap_counter(x[q]);
    }
    add_round_key<0>(x, next);
    hash_after_round<kHash, kMasked, rounds_per_chunk, 0>(p, j, x, next);
    if constexpr (kFirst) {
      if constexpr (kOneKey)
        tag_mask = x[4];
      else
        tag_mask = pick_lanes(x[4], x[5], x[6], x[7]);
    }
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++)
      key_stream_[q] = x[q];
  }

  template <bool kHash, bool kMasked, int kStride, int kUnused, int kChains>
  SEALCAST_INLINE void hash_after_round(const Packet* p, int j, V (&x)[kChains], const Packet* next) {
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; r++) {
#pragma GCC unroll 8
      for (int i = 0; i < kChains; i++)
        x[i] = _mm512_aesenc_epi128(x[i], round_key(next, i, r));
      if constexpr (kHash) {
        if (r % kStride == 1 % kStride && r / kStride < 4) chunk<kMasked>(p, r / kStride, j);
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kChains; i++)
      x[i] = _mm512_aesenclast_epi128(x[i], round_key(next, i, kRounds));
  }

  static SEALCAST_INLINE V round_key(const Packet* p, int chain, int round) {
    return broadcast16(p[kOneKey ? 0 : chain % 4].key->round_key[round]);
  }
  template <int kRound, int kChains>
  static SEALCAST_INLINE void add_round_key(V (&x)[kChains], const Packet* p) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; i++)
      x[i] = _mm512_xor_si512(x[i], round_key(p, i, kRound));
  }

  template <bool kMasked>
  SEALCAST_INLINE void chunk(const Packet* p, int q, int j) {
    uint8_t* const data = p[q].data + 64 * j;
    const uint8_t* power = p[q].power + 64 * j;
    V cipher;
    if constexpr (kMasked) {
      const int left = static_cast<int>(p[q].length) - 64 * j;
      const int bytes = left < 0 ? 0 : (left > 64 ? 64 : left);
      const __mmask64 mask = _bzhi_u64(~0ull, static_cast<unsigned>(bytes));
      const V in = _mm512_maskz_loadu_epi8(mask, data);
      const V out = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(in, key_stream_[q]));
      _mm512_mask_storeu_epi8(data, mask, out);
      cipher = kSeal ? out : in;
      // Behind a packet's end the data are zero and any power will do, but it must lie in the context.
      const uint8_t* const end = reinterpret_cast<const uint8_t*>(p[q].key + 1) - 64;
      power = power < end ? power : end;
    } else {
      const V in = _mm512_loadu_si512(data);
      const V out = _mm512_xor_si512(in, key_stream_[q]);
      _mm512_storeu_si512(data, out);
      cipher = kSeal ? out : in;
    }
    multiply_add(sum_[q], reverse_bytes(cipher), _mm512_loadu_si512(power));
  }

  // One block before the part and one after it, lane q for packet q.
  static SEALCAST_INLINE void add_ends(Product& sum, const Packet* p) {
    constexpr int before = kEsp ? 16 : 0;
    const V state = gather_lanes(p[0].state, p[1].state, p[2].state, p[3].state);
    const V state_power =
        gather_lanes(p[0].power - before, p[1].power - before, p[2].power - before, p[3].power - before);
    const V last_power = from_keys(p, &power_at(*p[0].key, 1)[0] - reinterpret_cast<const uint8_t*>(p[0].key));
    if constexpr (kEsp) {
      // The AAD fills the high half of its block and the length of the data the low half of the length block, so both
      // fit into one lane if each half meets the power it belongs to. The rest of the length block is a constant.
      const V outer = _mm512_mask_mov_epi64(last_power, 0xaa, state_power);
      const V inner = _mm512_mask_mov_epi64(state_power, 0xaa, last_power);
      sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(state, outer, 0x00));
      sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(state, outer, 0x11));
      sum.mid =
          xor3(sum.mid, _mm512_clmulepi64_epi128(state, inner, 0x01), _mm512_clmulepi64_epi128(state, inner, 0x10));
    } else {
      multiply_add(sum, state, state_power);
      multiply_add(sum, gather_lanes(p[0].length_block, p[1].length_block, p[2].length_block, p[3].length_block),
                   last_power);
    }
  }

  static SEALCAST_INLINE V from_keys(const Packet* p, ptrdiff_t offset) {
    const auto at = [&](int q) { return reinterpret_cast<const uint8_t*>(p[q].key) + offset; };
    if constexpr (kOneKey) return broadcast16(at(0));
    return gather_lanes(at(0), at(1), at(2), at(3));
  }

  SEALCAST_INLINE void finish(Packet* p, V tag_mask) {
    Product sum = {sum_lanes(sum_[0].lo, sum_[1].lo, sum_[2].lo, sum_[3].lo),
                   sum_lanes(sum_[0].mid, sum_[1].mid, sum_[2].mid, sum_[3].mid),
                   sum_lanes(sum_[0].hi, sum_[1].hi, sum_[2].hi, sum_[3].hi)};
    add_ends(sum, p);
    V hash = reduce(sum);
    if constexpr (kEsp) hash = _mm512_xor_si512(hash, from_keys(p, offsetof(KeyContext, aad_length_term)));
    const V tag = _mm512_xor_si512(reverse_bytes(hash), tag_mask);
    if constexpr (kSeal) {
      store16(p[0].tag_out, _mm512_castsi512_si128(tag));
      store16(p[1].tag_out, _mm512_extracti32x4_epi32(tag, 1));
      store16(p[2].tag_out, _mm512_extracti32x4_epi32(tag, 2));
      store16(p[3].tag_out, _mm512_extracti32x4_epi32(tag, 3));
    } else {
      // All 64 bytes are compared whatever they hold; only the verdicts, which are public, leave the mask.
      const V sent = gather_lanes(p[0].tag_in, p[1].tag_in, p[2].tag_in, p[3].tag_in);
      const unsigned same = _mm512_cmpeq_epi64_mask(tag, sent);
      const unsigned ok = same & (same >> 1);
#pragma GCC unroll 4
      for (int q = 0; q < 4; q++)
        p[q].ok = static_cast<uint8_t>((ok >> (2 * q)) & 1);
    }
  }

  V key_stream_[4];
  Product sum_[4];
  bool whole_until_last_;  // every chunk but the last is whole in all four packets
};

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
