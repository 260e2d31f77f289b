// The arithmetic of AES-GCM on 512-bit registers, four 128-bit lanes each. vaes256_math.h declares the same for
// 256-bit registers; group.h is written in terms of it. Included by vaes512.cc alone.
#pragma once

#include "dataplane/aead/burst/block_math.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// Four lanes.
using V = __m512i;
// A round key in as many lanes as one AES instruction takes.
using Row = __m512i;
// The most a kernel function leaves on its stack, found by looking; and the function for long packets, of which g++ 14
// spills round keys.
inline constexpr size_t spilled_bytes = 384;
inline constexpr size_t segments_spilled_bytes = 1536;

SEALCAST_INLINE V zero() {
  return _mm512_setzero_si512();
}
SEALCAST_INLINE V load64(const void* p) {
  return _mm512_loadu_si512(p);
}
SEALCAST_INLINE void store64(void* p, V x) {
  _mm512_storeu_si512(p, x);
}
SEALCAST_INLINE V four_times(__m128i x) {
  return _mm512_broadcast_i32x4(x);
}
SEALCAST_INLINE V broadcast16(const void* p) {
  return four_times(load16(p));
}
SEALCAST_INLINE V add(V a, V b) {
  return _mm512_xor_si512(a, b);
}
SEALCAST_INLINE V add3(V a, V b, V c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}
SEALCAST_INLINE V add_numbers(V a, V b) {
  return _mm512_add_epi32(a, b);
}
// Lane q of row q.
SEALCAST_INLINE V pick_lanes(Row x0, Row x1, Row x2, Row x3) {
  V x = _mm512_mask_mov_epi32(x0, 0x00f0, x1);
  x = _mm512_mask_mov_epi32(x, 0x0f00, x2);
  return _mm512_mask_mov_epi32(x, 0xf000, x3);
}
// Lane q from p[q]: one plain and three merging loads, no shuffle.
SEALCAST_INLINE V gather_lanes(const void* p0, const void* p1, const void* p2, const void* p3) {
  V x = broadcast16(p0);
  x = _mm512_mask_broadcast_i32x4(x, 0x00f0, load16(p1));
  x = _mm512_mask_broadcast_i32x4(x, 0x0f00, load16(p2));
  return _mm512_mask_broadcast_i32x4(x, 0xf000, load16(p3));
}
SEALCAST_INLINE void scatter_lanes(V x, void* p0, void* p1, void* p2, void* p3) {
  store16(p0, _mm512_castsi512_si128(x));
  store16(p1, _mm512_extracti32x4_epi32(x, 1));
  store16(p2, _mm512_extracti32x4_epi32(x, 2));
  store16(p3, _mm512_extracti32x4_epi32(x, 3));
}
// The low half of each lane from a, the high half from b.
SEALCAST_INLINE V join_halves(V a, V b) {
  return _mm512_mask_mov_epi32(a, 0xcccc, b);
}
// Bit 2·q: lane q is the same. All 64 bytes are compared whatever they hold.
SEALCAST_INLINE unsigned equal_lanes(V a, V b) {
  const unsigned same = _mm512_cmpeq_epi64_mask(a, b);
  return same & (same >> 1);
}

SEALCAST_INLINE Row broadcast_row(const void* p) {
  return broadcast16(p);
}
SEALCAST_INLINE V add_key(V x, Row key) {
  return _mm512_xor_si512(x, key);
}
SEALCAST_INLINE V aesenc(V x, Row key) {
  return _mm512_aesenc_epi128(x, key);
}
SEALCAST_INLINE V aesenclast(V x, Row key) {
  return _mm512_aesenclast_epi128(x, key);
}

SEALCAST_INLINE V reverse_bytes(V x) {
  return _mm512_shuffle_epi8(x, four_times(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}
SEALCAST_INLINE V swap_counter(V x) {
  return _mm512_shuffle_epi8(x, four_times(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
}
// Added to the counter before the first block, in each lane: 4·chunk + lane + 1. Short packets' counters stay below
// 256, so that adding to the last byte of a big-endian counter is enough; others are kept little-endian and reversed by
// a shuffle.
SEALCAST_INLINE V little_endian_numbers(int chunk) {
  return _mm512_add_epi32(_mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0),
                          four_times(_mm_set_epi32(4 * chunk, 0, 0, 0)));
}
SEALCAST_INLINE V big_endian_numbers(int chunk) {
  return _mm512_add_epi32(_mm512_set_epi32(4 << 24, 0, 0, 0, 3 << 24, 0, 0, 0, 2 << 24, 0, 0, 0, 1 << 24, 0, 0, 0),
                          four_times(_mm_set_epi32(chunk << 26, 0, 0, 0)));
}

// A sum of carry-less products that is not reduced yet: lo + mid·x^64 + hi·x^128 in every lane.
struct Product {
  V lo, mid, hi;
};

// Multiplies each half of data's lanes by its power: for a single power both are the same. Two multiplications make the
// middle term, not one and two sums (Karatsuba): if every packet has its own power, the sums cost more than the
// multiplication they save.
SEALCAST_INLINE void multiply_add_lanes(Product& sum, V data, V outer, V inner) {
  sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(data, outer, 0x00));
  sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(data, outer, 0x11));
  sum.mid = add3(sum.mid, _mm512_clmulepi64_epi128(data, inner, 0x01), _mm512_clmulepi64_epi128(data, inner, 0x10));
}

// The same if the chunks' lanes are added up in the end.
struct Sum {
  V lo, mid, hi;
};
SEALCAST_INLINE void clear(Sum& s) {
  s.lo = s.mid = s.hi = zero();
}
SEALCAST_INLINE void multiply_add(Sum& sum, V data, V power) {
  sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(data, power, 0x00));
  sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(data, power, 0x11));
  sum.mid = add3(sum.mid, _mm512_clmulepi64_epi128(data, power, 0x01), _mm512_clmulepi64_epi128(data, power, 0x10));
}
SEALCAST_INLINE V swap_halves(V x) {
  return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(0x4e));
}

// Karatsuba: three multiplications, for a power with halves that are added up already. The sums become products at the
// end.
SEALCAST_INLINE void karatsuba_add(Product& sum, V data, V power, V folded_power) {
  const V folded = _mm512_xor_si512(data, swap_halves(data));
  sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(data, power, 0x00));
  sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(data, power, 0x11));
  sum.mid = _mm512_xor_si512(sum.mid, _mm512_clmulepi64_epi128(folded, folded_power, 0x00));
}
SEALCAST_INLINE Product from_karatsuba(const Product& sum) {
  return {sum.lo, add3(sum.mid, sum.lo, sum.hi), sum.hi};
}

// Modulo x^128 + x^127 + x^126 + x^121 + 1 (the GCM polynomial seen from the other end), two folds of 64 bits.
SEALCAST_INLINE V reduce(const Product& p) {
  const V fold = _mm512_set1_epi64(static_cast<long long>(0xC200000000000000ull));
  const V lo = _mm512_xor_si512(p.lo, _mm512_bslli_epi128(p.mid, 8));
  const V hi = _mm512_xor_si512(p.hi, _mm512_bsrli_epi128(p.mid, 8));
  const V a = _mm512_xor_si512(swap_halves(lo), _mm512_clmulepi64_epi128(lo, fold, 0x00));
  return add3(hi, swap_halves(a), _mm512_clmulepi64_epi128(a, fold, 0x00));
}

// Lane q: the sum of the four lanes of x[q]. Six shuffles for four packets, then one reduction serves all.
SEALCAST_INLINE V sum_lanes(V x0, V x1, V x2, V x3) {
  const V a = _mm512_xor_si512(_mm512_shuffle_i64x2(x0, x1, 0x44), _mm512_shuffle_i64x2(x0, x1, 0xee));
  const V b = _mm512_xor_si512(_mm512_shuffle_i64x2(x2, x3, 0x44), _mm512_shuffle_i64x2(x2, x3, 0xee));
  return _mm512_xor_si512(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}
SEALCAST_INLINE Product sum_lanes(const Sum* s) {
  return {sum_lanes(s[0].lo, s[1].lo, s[2].lo, s[3].lo), sum_lanes(s[0].mid, s[1].mid, s[2].mid, s[3].mid),
          sum_lanes(s[0].hi, s[1].hi, s[2].hi, s[3].hi)};
}

// The sum of the four lanes of x, in lane 0; the other lanes are zero.
SEALCAST_INLINE V sum_lanes_to_first(V x) {
  const __m256i a = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm512_zextsi128_si512(_mm_xor_si128(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}

// How much of a chunk exists: here a mask of bytes.
inline constexpr uint64_t whole_extent = ~uint64_t{0};

SEALCAST_INLINE V load_some(uint64_t extent, const uint8_t* data) {
  return _mm512_maskz_loadu_epi8(extent, data);
}
SEALCAST_INLINE void store_some(uint64_t extent, uint8_t* data, V x) {
  _mm512_mask_storeu_epi8(data, extent, x);
}
// Zeros where nothing exists.
SEALCAST_INLINE V keep_some(uint64_t extent, V x) {
  return _mm512_maskz_mov_epi8(extent, x);
}

SEALCAST_INLINE void find_last_extents(Group& g) {
  const __m256i length = _mm256_cvtepu32_epi64(load16(g.length));
  const __m256i unused = _mm256_and_si256(_mm256_sub_epi64(_mm256_setzero_si256(), length), _mm256_set1_epi64x(63));
  const __mmask8 any = _mm256_test_epi64_mask(length, length);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(g.last_extent),
                      _mm256_maskz_srlv_epi64(any, _mm256_set1_epi64x(-1), unused));
}

// For packets that end at different chunks: what exists of each one's chunk j, and its power. Behind a packet's end the
// data are zero and any power will do, but it must lie in the context.
struct Place {
  alignas(32) uint64_t extent[4];
  alignas(32) const uint8_t* power[4];

  SEALCAST_INLINE void set(const Group& g, int j) {
    const __m256i beyond = _mm256_sub_epi64(_mm256_set1_epi64x(64 * (j + 1)), _mm256_cvtepu32_epi64(load16(g.length)));
    const __m256i mask = _mm256_srlv_epi64(_mm256_set1_epi64x(-1), _mm256_max_epi64(beyond, _mm256_setzero_si256()));
    const __m256i at = _mm256_add_epi64(load32(g.power), _mm256_set1_epi64x(64 * j));
    const __m256i end = _mm256_add_epi64(load32(g.key), _mm256_set1_epi64x(sizeof(KeyContext) - 64));
    _mm256_store_si256(reinterpret_cast<__m256i*>(extent), mask);
    _mm256_store_si256(reinterpret_cast<__m256i*>(power), _mm256_min_epi64(at, end));
  }
};

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
