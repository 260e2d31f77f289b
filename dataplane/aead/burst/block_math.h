// AES key expansion and GHASH of single blocks, on 128-bit registers: work done once per key, or for AAD of unusual
// lengths. Only the kernel files include it.
#pragma once

#include <immintrin.h>

#include "dataplane/aead/burst/packet.h"

namespace sealcast::dataplane::aead::burst {
namespace {

#define SEALCAST_INLINE __attribute__((always_inline)) inline

SEALCAST_INLINE __m128i load16(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
SEALCAST_INLINE __m256i load32(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
SEALCAST_INLINE void store16(void* p, __m128i x) {
  _mm_storeu_si128(static_cast<__m128i*>(p), x);
}

// Address of H^k; a 64-byte load from it gives H^k … H^(k-3), of which a part's last chunk uses only powers above H^1.
SEALCAST_INLINE const uint8_t* power_at(const KeyContext& key, int k) {
  return key.power[power_count - k];
}

// GHASH counts bits from the other end: every block is byte-reversed before it is multiplied (SP 800-38D §6.3).
SEALCAST_INLINE __m128i reverse_block(__m128i x) {
  return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

// Modulo x^128 + x^127 + x^126 + x^121 + 1 (the GCM polynomial seen from the other end), two folds of 64 bits.
SEALCAST_INLINE __m128i multiply_block(__m128i a, __m128i b) {
  const __m128i mid = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x01), _mm_clmulepi64_si128(a, b, 0x10));
  const __m128i lo = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x00), _mm_slli_si128(mid, 8));
  const __m128i hi = _mm_xor_si128(_mm_clmulepi64_si128(a, b, 0x11), _mm_srli_si128(mid, 8));
  const __m128i fold = _mm_set1_epi64x(static_cast<long long>(0xC200000000000000ull));
  const __m128i once = _mm_xor_si128(_mm_shuffle_epi32(lo, 0x4e), _mm_clmulepi64_si128(lo, fold, 0x00));
  const __m128i twice = _mm_xor_si128(_mm_shuffle_epi32(once, 0x4e), _mm_clmulepi64_si128(once, fold, 0x00));
  return _mm_xor_si128(hi, twice);
}

SEALCAST_INLINE __m128i expand_xor(__m128i key, __m128i word) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, word);
}
template <int rcon>
SEALCAST_INLINE __m128i next_even(__m128i previous, __m128i source) {
  return expand_xor(previous, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(source, rcon), 0xff));
}
SEALCAST_INLINE __m128i next_odd(__m128i previous, __m128i source) {
  return expand_xor(previous, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(source, 0), 0xaa));
}

// FIPS 197 §5.2.
inline void expand_round_keys(KeyContext& c, const uint8_t* key, int rounds) {
  __m128i k = load16(key);
  store16(c.round_key[0], k);
  if (rounds == 10) {
    store16(c.round_key[1], k = next_even<0x01>(k, k));
    store16(c.round_key[2], k = next_even<0x02>(k, k));
    store16(c.round_key[3], k = next_even<0x04>(k, k));
    store16(c.round_key[4], k = next_even<0x08>(k, k));
    store16(c.round_key[5], k = next_even<0x10>(k, k));
    store16(c.round_key[6], k = next_even<0x20>(k, k));
    store16(c.round_key[7], k = next_even<0x40>(k, k));
    store16(c.round_key[8], k = next_even<0x80>(k, k));
    store16(c.round_key[9], k = next_even<0x1b>(k, k));
    store16(c.round_key[10], next_even<0x36>(k, k));
    return;
  }
  __m128i j = load16(key + 16);
  store16(c.round_key[1], j);
  store16(c.round_key[2], k = next_even<0x01>(k, j));
  store16(c.round_key[3], j = next_odd(j, k));
  store16(c.round_key[4], k = next_even<0x02>(k, j));
  store16(c.round_key[5], j = next_odd(j, k));
  store16(c.round_key[6], k = next_even<0x04>(k, j));
  store16(c.round_key[7], j = next_odd(j, k));
  store16(c.round_key[8], k = next_even<0x08>(k, j));
  store16(c.round_key[9], j = next_odd(j, k));
  store16(c.round_key[10], k = next_even<0x10>(k, j));
  store16(c.round_key[11], j = next_odd(j, k));
  store16(c.round_key[12], k = next_even<0x20>(k, j));
  store16(c.round_key[13], j = next_odd(j, k));
  store16(c.round_key[14], next_even<0x40>(k, j));
}

inline void expand_key(KeyContext& c, const uint8_t* key, int rounds) {
  __builtin_memset(&c, 0, sizeof(c));
  expand_round_keys(c, key, rounds);
  __m128i h = load16(c.round_key[0]);
  for (int r = 1; r < rounds; r++)
    h = _mm_aesenc_si128(h, load16(c.round_key[r]));
  h = reverse_block(_mm_aesenclast_si128(h, load16(c.round_key[rounds])));
  // Times x, so that products need no shift: one bit to the left, and the polynomial if a bit falls out.
  const __m128i carries = _mm_srli_epi64(h, 63);
  const __m128i fell_out = _mm_sub_epi64(_mm_setzero_si128(), _mm_unpackhi_epi64(carries, carries));
  h = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carries, 8));
  h = _mm_xor_si128(h, _mm_and_si128(fell_out, _mm_set_epi64x(static_cast<long long>(0xC200000000000000ull), 1)));

  __m128i power = h;
  for (int k = 1; k <= power_count; k++) {
    store16(c.power[power_count - k], power);
    if (k % 4 == 0 && k <= part_blocks) {
      const auto folded =
          static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_xor_si128(power, _mm_unpackhi_epi64(power, power))));
      c.folded_power[k / 4 - 1] = folded;
    }
    power = multiply_block(power, h);
  }
  store16(c.aad_length_term, multiply_block(_mm_set_epi64x(8 * esp_aad_bytes, 0), h));
}

inline void absorb_aad(Group& g, unsigned q, const uint8_t* aad, size_t length) {
  const __m128i h1 = load16(power_at(*g.key[q], 1));
  __m128i state = load16(g.state[q]);
  for (; length >= 16; aad += 16, length -= 16)
    state = multiply_block(_mm_xor_si128(state, reverse_block(load16(aad))), h1);
  if (length != 0) {
    uint64_t low = 0, high = 0;
    for (size_t i = length; i > 8; i--)
      high = high << 8 | aad[i - 1];
    if (length >= 8) {
      __builtin_memcpy(&low, aad, 8);
    } else {
      for (size_t i = length; i > 0; i--)
        low = low << 8 | aad[i - 1];
    }
    const __m128i block = _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
    state = multiply_block(_mm_xor_si128(state, reverse_block(block)), h1);
  }
  store16(g.state[q], state);
}

}  // namespace
}  // namespace sealcast::dataplane::aead::burst
