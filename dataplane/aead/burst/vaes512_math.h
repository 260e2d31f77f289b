// The arithmetic of AES-GCM on 512-bit registers, four 128-bit lanes each. Included by vaes512.cc alone.
#pragma once

#include <immintrin.h>

#include "dataplane/aead/burst/packet.h"

namespace sealcast::dataplane::aead::burst {
namespace {

#define SEALCAST_INLINE __attribute__((always_inline)) inline

using V = __m512i;

SEALCAST_INLINE V four_times(__m128i x) {
  return _mm512_broadcast_i32x4(x);
}
SEALCAST_INLINE __m128i load16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
SEALCAST_INLINE __m256i load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
SEALCAST_INLINE void store16(void* p, __m128i x) {
  _mm_storeu_si128(static_cast<__m128i*>(p), x);
}
SEALCAST_INLINE V broadcast16(const void* p) {
  return four_times(load16(p));
}

// Lane q from p[q]: one plain and three merging loads, no shuffle.
SEALCAST_INLINE V gather_lanes(const void* p0, const void* p1, const void* p2, const void* p3) {
  V x = broadcast16(p0);
  x = _mm512_mask_broadcast_i32x4(x, 0x00f0, load16(p1));
  x = _mm512_mask_broadcast_i32x4(x, 0x0f00, load16(p2));
  return _mm512_mask_broadcast_i32x4(x, 0xf000, load16(p3));
}
// Lane q of x[q].
SEALCAST_INLINE V pick_lanes(V x0, V x1, V x2, V x3) {
  V x = _mm512_mask_mov_epi32(x0, 0x00f0, x1);
  x = _mm512_mask_mov_epi32(x, 0x0f00, x2);
  return _mm512_mask_mov_epi32(x, 0xf000, x3);
}

// GHASH counts bits from the other end: every block is byte-reversed before it is multiplied (SP 800-38D §6.3).
SEALCAST_INLINE V reverse_bytes(V x) {
  return _mm512_shuffle_epi8(x, four_times(_mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)));
}

SEALCAST_INLINE V xor3(V a, V b, V c) {
  return _mm512_ternarylogic_epi64(a, b, c, 0x96);
}

// A sum of carry-less products that is not reduced yet: lo + mid·x^64 + hi·x^128 in every lane.
struct Product {
  V lo, mid, hi;
};

// The middle term is made of two multiplications here, not of one and two sums (Karatsuba): with a power of its own for
// every packet the sums cost more than the multiplication they save.
SEALCAST_INLINE Product multiply(V data, V power) {
  return {_mm512_clmulepi64_epi128(data, power, 0x00),
          _mm512_xor_si512(_mm512_clmulepi64_epi128(data, power, 0x01), _mm512_clmulepi64_epi128(data, power, 0x10)),
          _mm512_clmulepi64_epi128(data, power, 0x11)};
}
SEALCAST_INLINE void multiply_add(Product& sum, V data, V power) {
  sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(data, power, 0x00));
  sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(data, power, 0x11));
  sum.mid = xor3(sum.mid, _mm512_clmulepi64_epi128(data, power, 0x01), _mm512_clmulepi64_epi128(data, power, 0x10));
}

SEALCAST_INLINE V swap_halves(V x) {
  return _mm512_shuffle_epi32(x, static_cast<_MM_PERM_ENUM>(0x4e));
}

// Karatsuba: three multiplications, for a power whose halves are added up already. The sums become products at the end.
SEALCAST_INLINE void karatsuba_add(Product& sum, V data, V power, V folded_power) {
  const V folded = _mm512_xor_si512(data, swap_halves(data));
  sum.lo = _mm512_xor_si512(sum.lo, _mm512_clmulepi64_epi128(data, power, 0x00));
  sum.hi = _mm512_xor_si512(sum.hi, _mm512_clmulepi64_epi128(data, power, 0x11));
  sum.mid = _mm512_xor_si512(sum.mid, _mm512_clmulepi64_epi128(folded, folded_power, 0x00));
}
SEALCAST_INLINE Product from_karatsuba(const Product& sum) {
  return {sum.lo, xor3(sum.mid, sum.lo, sum.hi), sum.hi};
}

// Modulo x^128 + x^127 + x^126 + x^121 + 1 (the GCM polynomial seen from the other end), two folds of 64 bits.
SEALCAST_INLINE V reduce(const Product& p) {
  const V fold = _mm512_set1_epi64(static_cast<long long>(0xC200000000000000ull));
  const V lo = _mm512_xor_si512(p.lo, _mm512_bslli_epi128(p.mid, 8));
  const V hi = _mm512_xor_si512(p.hi, _mm512_bsrli_epi128(p.mid, 8));
  const V a = _mm512_xor_si512(swap_halves(lo), _mm512_clmulepi64_epi128(lo, fold, 0x00));
  return xor3(hi, swap_halves(a), _mm512_clmulepi64_epi128(a, fold, 0x00));
}

// Lane q: the sum of the four lanes of x[q]. Six shuffles for four packets, then one reduction serves all.
SEALCAST_INLINE V sum_lanes(V x0, V x1, V x2, V x3) {
  const V a = _mm512_xor_si512(_mm512_shuffle_i64x2(x0, x1, 0x44), _mm512_shuffle_i64x2(x0, x1, 0xee));
  const V b = _mm512_xor_si512(_mm512_shuffle_i64x2(x2, x3, 0x44), _mm512_shuffle_i64x2(x2, x3, 0xee));
  return _mm512_xor_si512(_mm512_shuffle_i64x2(a, b, 0x88), _mm512_shuffle_i64x2(a, b, 0xdd));
}

// The sum of the four lanes of x, in lane 0; the other lanes are zero.
SEALCAST_INLINE V sum_lanes_to_first(V x) {
  const __m256i a = _mm256_xor_si256(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));
  return _mm512_zextsi128_si512(_mm_xor_si128(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1)));
}

// Address of H^k; a 64-byte load from it gives H^k … H^(k-3), of which a part's last chunk uses only powers above H^1.
SEALCAST_INLINE const uint8_t* power_at(const KeyContext& key, int k) {
  return key.power[power_count - k];
}

// What is added to the counter before the first block, in each lane: 4·chunk + lane + 1. Short packets' counters stay
// below 256, so that adding to the last byte of a big-endian counter is enough; others are kept little-endian and
// turned round by a shuffle.
SEALCAST_INLINE V little_endian_numbers(int chunk) {
  return _mm512_add_epi32(_mm512_set_epi32(4, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0),
                          four_times(_mm_set_epi32(4 * chunk, 0, 0, 0)));
}
SEALCAST_INLINE V big_endian_numbers(int chunk) {
  return _mm512_add_epi32(_mm512_set_epi32(4 << 24, 0, 0, 0, 3 << 24, 0, 0, 0, 2 << 24, 0, 0, 0, 1 << 24, 0, 0, 0),
                          four_times(_mm_set_epi32(chunk << 26, 0, 0, 0)));
}
SEALCAST_INLINE V swap_counter(V x) {
  return _mm512_shuffle_epi8(x, four_times(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)));
}

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
