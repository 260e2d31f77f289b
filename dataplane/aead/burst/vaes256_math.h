// The arithmetic of AES-GCM on 256-bit registers, for CPUs without AVX-512: what vaes512_math.h declares, four 128-bit
// lanes in two registers. Included by vaes256.cc alone.
#pragma once

#include "dataplane/aead/burst/block_math.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// Two lanes.
using Half = __m256i;
// Four lanes: 0 and 1 in a, 2 and 3 in b. Copied register by register: the compiler would move whole structures through
// memory and general registers.
struct V {
  Half a, b;
  V() = default;
  SEALCAST_INLINE V(Half low, Half high) : a(low), b(high) {}
  SEALCAST_INLINE V(const V& x) : a(x.a), b(x.b) {}
  SEALCAST_INLINE V& operator=(const V& x) {
    a = x.a;
    b = x.b;
    return *this;
  }
};
// A round key in as many lanes as one AES instruction takes.
using Row = Half;
// The most a kernel function leaves on its stack, found by looking.
inline constexpr size_t spilled_bytes = 2048;

SEALCAST_INLINE Half two_times(__m128i x) {
  return _mm256_broadcastsi128_si256(x);
}
SEALCAST_INLINE void store32(void* p, Half x) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), x);
}
SEALCAST_INLINE V zero() {
  return {_mm256_setzero_si256(), _mm256_setzero_si256()};
}
SEALCAST_INLINE V load64(const void* p) {
  const auto* bytes = static_cast<const uint8_t*>(p);
  return {load32(bytes), load32(bytes + 32)};
}
SEALCAST_INLINE void store64(void* p, V x) {
  auto* bytes = static_cast<uint8_t*>(p);
  store32(bytes, x.a);
  store32(bytes + 32, x.b);
}
SEALCAST_INLINE V broadcast16(const void* p) {
  const Half x = two_times(load16(p));
  return {x, x};
}
SEALCAST_INLINE V add(V x, V y) {
  return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)};
}
SEALCAST_INLINE V add_numbers(V x, V y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
SEALCAST_INLINE Half gather_two(const void* p0, const void* p1) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(load16(p0)), load16(p1), 1);
}
// Lane q of row q.
SEALCAST_INLINE V pick_lanes(Row x0, Row x1, Row x2, Row x3) {
  return {_mm256_blend_epi32(x0, x1, 0xf0), _mm256_blend_epi32(x2, x3, 0xf0)};
}
// Lane q from p[q].
SEALCAST_INLINE V gather_lanes(const void* p0, const void* p1, const void* p2, const void* p3) {
  return {gather_two(p0, p1), gather_two(p2, p3)};
}
SEALCAST_INLINE void scatter_lanes(V x, void* p0, void* p1, void* p2, void* p3) {
  store16(p0, _mm256_castsi256_si128(x.a));
  store16(p1, _mm256_extracti128_si256(x.a, 1));
  store16(p2, _mm256_castsi256_si128(x.b));
  store16(p3, _mm256_extracti128_si256(x.b, 1));
}
// The low half of each lane from x, the high half from y.
SEALCAST_INLINE V join_halves(V x, V y) {
  return {_mm256_blend_epi32(x.a, y.a, 0xcc), _mm256_blend_epi32(x.b, y.b, 0xcc)};
}
// Bit 2·q: lane q is the same. All 64 bytes are compared whatever they hold.
SEALCAST_INLINE unsigned equal_lanes(V x, V y) {
  const auto low = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x.a, y.a))));
  const auto high = static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(x.b, y.b))));
  const unsigned same = low | high << 4;
  return same & (same >> 1);
}

SEALCAST_INLINE Row broadcast_row(const void* p) {
  return two_times(load16(p));
}
SEALCAST_INLINE V add_key(V x, Row key) {
  return {_mm256_xor_si256(x.a, key), _mm256_xor_si256(x.b, key)};
}
SEALCAST_INLINE V add_key(V x, V key) {
  return add(x, key);
}
SEALCAST_INLINE V aesenc(V x, Row key) {
  return {_mm256_aesenc_epi128(x.a, key), _mm256_aesenc_epi128(x.b, key)};
}
SEALCAST_INLINE V aesenc(V x, V key) {
  return {_mm256_aesenc_epi128(x.a, key.a), _mm256_aesenc_epi128(x.b, key.b)};
}
SEALCAST_INLINE V aesenclast(V x, Row key) {
  return {_mm256_aesenclast_epi128(x.a, key), _mm256_aesenclast_epi128(x.b, key)};
}
SEALCAST_INLINE V aesenclast(V x, V key) {
  return {_mm256_aesenclast_epi128(x.a, key.a), _mm256_aesenclast_epi128(x.b, key.b)};
}

SEALCAST_INLINE V shuffle_bytes(V x, __m128i order) {
  const Half both = two_times(order);
  return {_mm256_shuffle_epi8(x.a, both), _mm256_shuffle_epi8(x.b, both)};
}
SEALCAST_INLINE V reverse_bytes(V x) {
  return shuffle_bytes(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}
SEALCAST_INLINE V swap_counter(V x) {
  return shuffle_bytes(x, _mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}
// See vaes512_math.h.
SEALCAST_INLINE V little_endian_numbers(int chunk) {
  const Half before = two_times(_mm_set_epi32(4 * chunk, 0, 0, 0));
  return {_mm256_add_epi32(_mm256_set_epi32(2, 0, 0, 0, 1, 0, 0, 0), before),
          _mm256_add_epi32(_mm256_set_epi32(4, 0, 0, 0, 3, 0, 0, 0), before)};
}
SEALCAST_INLINE V big_endian_numbers(int chunk) {
  const Half before = two_times(_mm_set_epi32(chunk << 26, 0, 0, 0));
  return {_mm256_add_epi32(_mm256_set_epi32(2 << 24, 0, 0, 0, 1 << 24, 0, 0, 0), before),
          _mm256_add_epi32(_mm256_set_epi32(4 << 24, 0, 0, 0, 3 << 24, 0, 0, 0), before)};
}

// A sum of carry-less products that is not reduced yet: lo + mid·x^64 + hi·x^128 in every lane.
struct Product {
  V lo, mid, hi;
};
// The same if the chunks' lanes are added up in the end: two lanes are enough.
struct Sum {
  Half lo, mid, hi;
};
SEALCAST_INLINE void clear(Sum& s) {
  s.lo = s.mid = s.hi = _mm256_setzero_si256();
}

SEALCAST_INLINE void multiply_add_half(Half& lo, Half& mid, Half& hi, Half data, Half outer, Half inner) {
  lo = _mm256_xor_si256(lo, _mm256_clmulepi64_epi128(data, outer, 0x00));
  mid = _mm256_xor_si256(mid, _mm256_clmulepi64_epi128(data, inner, 0x01));
  hi = _mm256_xor_si256(hi, _mm256_clmulepi64_epi128(data, outer, 0x11));
  mid = _mm256_xor_si256(mid, _mm256_clmulepi64_epi128(data, inner, 0x10));
}
SEALCAST_INLINE void multiply_add_lanes(Product& sum, V data, V outer, V inner) {
  multiply_add_half(sum.lo.a, sum.mid.a, sum.hi.a, data.a, outer.a, inner.a);
  multiply_add_half(sum.lo.b, sum.mid.b, sum.hi.b, data.b, outer.b, inner.b);
}
SEALCAST_INLINE void multiply_add(Sum& sum, V data, V power) {
  multiply_add_half(sum.lo, sum.mid, sum.hi, data.a, power.a, power.a);
  multiply_add_half(sum.lo, sum.mid, sum.hi, data.b, power.b, power.b);
}

SEALCAST_INLINE Half swap_halves(Half x) {
  return _mm256_shuffle_epi32(x, 0x4e);
}
// Modulo x^128 + x^127 + x^126 + x^121 + 1 (the GCM polynomial seen from the other end), two folds of 64 bits.
SEALCAST_INLINE Half reduce_half(Half lo, Half mid, Half hi) {
  const Half fold = _mm256_set1_epi64x(static_cast<long long>(0xC200000000000000ull));
  lo = _mm256_xor_si256(lo, _mm256_bslli_epi128(mid, 8));
  hi = _mm256_xor_si256(hi, _mm256_bsrli_epi128(mid, 8));
  const Half once = _mm256_xor_si256(swap_halves(lo), _mm256_clmulepi64_epi128(lo, fold, 0x00));
  return _mm256_xor_si256(_mm256_xor_si256(hi, swap_halves(once)), _mm256_clmulepi64_epi128(once, fold, 0x00));
}
SEALCAST_INLINE V reduce(const Product& p) {
  return {reduce_half(p.lo.a, p.mid.a, p.hi.a), reduce_half(p.lo.b, p.mid.b, p.hi.b)};
}

// Lane q: the sum of the lanes of xq.
SEALCAST_INLINE Half sum_two(Half x0, Half x1) {
  return _mm256_xor_si256(_mm256_permute2x128_si256(x0, x1, 0x20), _mm256_permute2x128_si256(x0, x1, 0x31));
}
SEALCAST_INLINE Product sum_lanes(const Sum* s) {
  return {{sum_two(s[0].lo, s[1].lo), sum_two(s[2].lo, s[3].lo)},
          {sum_two(s[0].mid, s[1].mid), sum_two(s[2].mid, s[3].mid)},
          {sum_two(s[0].hi, s[1].hi), sum_two(s[2].hi, s[3].hi)}};
}
// The reduced sum of both lanes, in lane 0.
SEALCAST_INLINE __m128i reduce_to_block(const Sum& s) {
  return _mm256_castsi256_si128(reduce_half(sum_two(s.lo, s.lo), sum_two(s.mid, s.mid), sum_two(s.hi, s.hi)));
}

// How much of a chunk exists: here the number of its bytes. AVX2 loads and stores parts of a register by words of four
// bytes, and touches nothing that its mask leaves out. ESP's padding makes every packet a multiple of that. Other
// packets' last one to three bytes are moved together with those before them; one to three alone through a buffer.
inline constexpr uint64_t whole_extent = 64;

struct Words {
  Half a, b;  // all ones where a whole word exists
  Half at_a, at_b, count;
  explicit SEALCAST_INLINE Words(uint64_t bytes) {
    at_a = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    at_b = _mm256_set_epi32(15, 14, 13, 12, 11, 10, 9, 8);
    count = _mm256_set1_epi32(static_cast<int>(bytes / 4));
    a = _mm256_cmpgt_epi32(count, at_a);
    b = _mm256_cmpgt_epi32(count, at_b);
  }
};

__attribute__((noinline, cold)) void load_few(V& x, const uint8_t* data, uint64_t bytes) {
  uint32_t word = 0;
  for (uint64_t i = bytes; i > 0; i--)
    word = word << 8 | data[i - 1];
  x = {_mm256_zextsi128_si256(_mm_cvtsi32_si128(static_cast<int>(word))), _mm256_setzero_si256()};
}
__attribute__((noinline, cold)) void store_few(uint8_t* data, const V& x, uint64_t bytes) {
  auto word = static_cast<uint32_t>(_mm_cvtsi128_si32(_mm256_castsi256_si128(x.a)));
  for (uint64_t i = 0; i < bytes; i++, word >>= 8)
    data[i] = static_cast<uint8_t>(word);
}

SEALCAST_INLINE const int* words_at(const uint8_t* p) {
  return reinterpret_cast<const int*>(p);
}
SEALCAST_INLINE V load_some(uint64_t extent, const uint8_t* data) {
  if (extent - 1 < 3) [[unlikely]] {
    V x;
    load_few(x, data, extent);
    return x;
  }
  const Words words(extent);
  V x = {_mm256_maskload_epi32(words_at(data), words.a), _mm256_maskload_epi32(words_at(data + 32), words.b)};
  if (const int over = static_cast<int>(extent % 4); over != 0) {
    int last;  // four bytes, of which `over` are new
    __builtin_memcpy(&last, data + extent - 4, 4);
    const Half rest = _mm256_broadcastd_epi32(_mm_srl_epi32(_mm_cvtsi32_si128(last), _mm_cvtsi32_si128(32 - 8 * over)));
    x.a = _mm256_or_si256(x.a, _mm256_and_si256(rest, _mm256_cmpeq_epi32(words.count, words.at_a)));
    x.b = _mm256_or_si256(x.b, _mm256_and_si256(rest, _mm256_cmpeq_epi32(words.count, words.at_b)));
  }
  return x;
}
SEALCAST_INLINE void store_some(uint64_t extent, uint8_t* data, V x) {
  if (extent - 1 < 3) [[unlikely]] {
    store_few(data, x, extent);
    return;
  }
  const Words words(extent);
  _mm256_maskstore_epi32(reinterpret_cast<int*>(data), words.a, x.a);
  _mm256_maskstore_epi32(reinterpret_cast<int*>(data + 32), words.b, x.b);
  if (const int over = static_cast<int>(extent % 4); over != 0) {
    // The last whole word and the one that is not, then four bytes across both.
    const Half two = _mm256_add_epi32(words.count, _mm256_set_epi32(0, 0, 0, 0, 0, 0, 0, -1));
    const Half picked = _mm256_blendv_epi8(_mm256_permutevar8x32_epi32(x.a, two), _mm256_permutevar8x32_epi32(x.b, two),
                                           _mm256_cmpgt_epi32(two, _mm256_set1_epi32(7)));
    const int last = _mm_cvtsi128_si32(_mm_srl_epi64(_mm256_castsi256_si128(picked), _mm_cvtsi32_si128(8 * over)));
    __builtin_memcpy(data + extent - 4, &last, 4);
  }
}
// Zeros where nothing exists.
alignas(64) constexpr uint8_t ones_then_zeros[128] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
SEALCAST_INLINE V keep_some(uint64_t extent, V x) {
  const V mask = load64(ones_then_zeros + (64 - extent));
  return {_mm256_and_si256(x.a, mask.a), _mm256_and_si256(x.b, mask.b)};
}

SEALCAST_INLINE void find_last_extents(Group& g) {
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++)
    g.last_extent[q] = g.length[q] == 0 ? 0 : (g.length[q] - 1) % 64 + 1;
}

// See vaes512_math.h.
struct Place {
  uint64_t extent[4];
  const uint8_t* power[4];

  SEALCAST_INLINE void set(const Group& g, int j) {
#pragma GCC unroll 4
    for (int q = 0; q < 4; q++) {
      const int64_t left = int64_t{g.length[q]} - 64 * j;
      extent[q] = static_cast<uint64_t>(left < 0 ? 0 : left > 64 ? 64 : left);
      const uint8_t* const at = g.power[q] + 64 * j;
      const uint8_t* const end = reinterpret_cast<const uint8_t*>(g.key[q]) + sizeof(KeyContext) - 64;
      power[q] = at < end ? at : end;
    }
  }
};

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
