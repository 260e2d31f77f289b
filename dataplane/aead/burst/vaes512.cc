// The 512-bit kernel: key expansion, long packets' leading segments, and the dispatch to groups. Compiled with its own
// -m flags; see packet.h for why no C++ library header may be included here.
#include "dataplane/aead/burst/vaes512_group.h"
#include "dataplane/aead/burst/vaes512_math.h"

namespace sealcast::dataplane::aead::burst {
namespace {

V multiply_reduced(V a, V b) {
  return reduce(multiply(a, b));
}

SEALCAST_INLINE __m128i expand_xor(__m128i key, __m128i word) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, word);
}
template <int kRcon>
SEALCAST_INLINE __m128i next_even(__m128i previous, __m128i source) {
  return expand_xor(previous, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(source, kRcon), 0xff));
}
SEALCAST_INLINE __m128i next_odd(__m128i previous, __m128i source) {
  return expand_xor(previous, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(source, 0), 0xaa));
}

// FIPS 197 §5.2.
void expand_round_keys(KeyContext& c, const uint8_t* key, int rounds) {
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

void expand_key(KeyContext& c, const uint8_t* key, int rounds) {
  __builtin_memset(&c, 0, sizeof(c));
  expand_round_keys(c, key, rounds);
  __m128i h = load16(c.round_key[0]);
  for (int r = 1; r < rounds; r++)
    h = _mm_aesenc_si128(h, load16(c.round_key[r]));
  h = _mm512_castsi512_si128(
      reverse_bytes(_mm512_zextsi128_si512(_mm_aesenclast_si128(h, load16(c.round_key[rounds])))));
  // Times x, so that products need no shift: one bit to the left, and the polynomial if a bit falls out.
  const __m128i carries = _mm_srli_epi64(h, 63);
  const __m128i fell_out = _mm_sub_epi64(_mm_setzero_si128(), _mm_unpackhi_epi64(carries, carries));
  h = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carries, 8));
  h = _mm_xor_si128(h, _mm_and_si128(fell_out, _mm_set_epi64x(static_cast<long long>(0xC200000000000000ull), 1)));

  const V h1 = _mm512_zextsi128_si512(h);
  V power = h1;
  for (int k = 1; k <= power_count; k++) {
    store16(c.power[power_count - k], _mm512_castsi512_si128(power));
    power = multiply_reduced(power, h1);
  }
  for (int m = 1; m <= part_chunks; m++) {
    const __m128i p = load16(power_at(c, 4 * m));
    c.folded_power[m - 1] = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_xor_si128(p, _mm_unpackhi_epi64(p, p))));
  }
  const V aad_bits = _mm512_zextsi128_si512(_mm_set_epi64x(8 * esp_aad_bytes, 0));
  store16(c.aad_length_term, _mm512_castsi512_si128(multiply_reduced(aad_bits, h1)));
}

void absorb_aad(Group& g, unsigned q, const uint8_t* aad, size_t length) {
  const V h1 = _mm512_zextsi128_si512(load16(power_at(*g.key[q], 1)));
  V state = _mm512_zextsi128_si512(load16(g.state[q]));
  for (size_t i = 0; i < length; i += 16) {
    const unsigned bytes = length - i < 16 ? static_cast<unsigned>(length - i) : 16;
    const __m128i block = _mm_maskz_loadu_epi8(static_cast<__mmask16>(_bzhi_u32(0xffff, bytes)), aad + i);
    state = multiply_reduced(_mm512_xor_si512(state, reverse_bytes(_mm512_zextsi128_si512(block))), h1);
  }
  store16(g.state[q], _mm512_castsi512_si128(state));
}

// What a step of a long packet does with GHASH. In every segment but the last, each lane is hashed by itself with
// powers of H^4, which needs no sum over lanes; the last brings the lanes together.
enum class Hash { none, lanes, last };

// One packet's segment at a time: its eight chunks are chains enough to fill the AES units. Sealing hashes a segment
// while the next one is encrypted, be it the next packet's; opening hashes and decrypts the same one.
template <int kRounds, bool kSeal>
class Segments {
 public:
  static void run(Group* groups, size_t packets) {
    Segments now;
    for (size_t i = 0; i < packets; i++) {
      if (groups[i / 4].segments[i % 4] != 0) now.packet(groups[i / 4], i % 4);
    }
    if (now.unhashed_ != nullptr) now.template step<false, Hash::last>(nullptr);
    now.leave();
  }

 private:
  void packet(Group& g, size_t q) {
    uint8_t* data = g.data[q];
    uint8_t* const last = data + (g.segments[q] - 1) * part_bytes;
    crypt_key_ = g.key[q];
    counter_ = broadcast16(g.counter[q]);
    if constexpr (kSeal) {
      if (unhashed_ != nullptr)
        step<true, Hash::last>(data);
      else
        step<true, Hash::none>(data);
      leave();
      enter(g, q);
      for (; data != last; data += part_bytes) {
        unhashed_ = data;
        step<true, Hash::lanes>(data + part_bytes);
      }
      unhashed_ = last;
    } else {
      leave();
      enter(g, q);
      for (; data != last; data += part_bytes) {
        unhashed_ = data;
        step<true, Hash::lanes>(data);
      }
      unhashed_ = last;
      step<true, Hash::last>(last);
      unhashed_ = nullptr;
    }
    g.data[q] = last + part_bytes;
    store16(g.counter[q], _mm512_castsi512_si128(counter_));
  }

  // The packet that is hashed changes.
  SEALCAST_INLINE void enter(Group& g, size_t q) {
    hash_key_ = g.key[q];
    state_ = _mm512_zextsi128_si512(load16(g.state[q]));
    state_at_ = g.state[q];
  }
  SEALCAST_INLINE void leave() {
    if (state_at_ != nullptr) store16(state_at_, _mm512_castsi512_si128(state_));
  }

  // En- or decrypts the segment at `data` and hashes the ciphertext of unhashed_, which may be the same.
  template <bool kCrypt, Hash kHash>
  SEALCAST_INLINE void step(uint8_t* data) {
    V x[part_chunks];
    Product sum = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    if constexpr (kCrypt) {
      const V first = broadcast16(crypt_key_->round_key[0]);
#pragma GCC unroll 8
      for (int i = 0; i < part_chunks; i++)
        x[i] = _mm512_xor_si512(swap_counter(_mm512_add_epi32(counter_, little_endian_numbers(i))), first);
      counter_ = _mm512_add_epi32(counter_, four_times(_mm_set_epi32(part_blocks, 0, 0, 0)));
    }
#pragma GCC unroll 16
    for (int r = 1; r < kRounds; r++) {
      if constexpr (kCrypt) {
        const V round_key = broadcast16(crypt_key_->round_key[r]);
#pragma GCC unroll 8
        for (int i = 0; i < part_chunks; i++)
          x[i] = _mm512_aesenc_epi128(x[i], round_key);
      }
      // The first chunk waits for the state of the segment before, so it comes last.
      if (kHash != Hash::none && r <= part_chunks) hash<kHash>(sum, r % part_chunks);
    }
    if constexpr (kCrypt) {
      const V last = broadcast16(crypt_key_->round_key[kRounds]);
#pragma GCC unroll 8
      for (int i = 0; i < part_chunks; i++) {
        // aesenclast(x, k) ^ data = aesenclast(x, k ^ data): one operation less on the way to memory.
        const V mixed = _mm512_xor_si512(last, _mm512_loadu_si512(data + 64 * i));
        _mm512_storeu_si512(data + 64 * i, _mm512_aesenclast_epi128(x[i], mixed));
      }
    }
    if constexpr (kHash == Hash::lanes) state_ = reduce(from_karatsuba(sum));
    if constexpr (kHash == Hash::last)
      state_ = reduce({sum_lanes_to_first(sum.lo), sum_lanes_to_first(sum.mid), sum_lanes_to_first(sum.hi)});
  }

  template <Hash kHash>
  SEALCAST_INLINE void hash(Product& sum, int i) {
    const int k = part_blocks - 4 * i;
    V x = reverse_bytes(_mm512_loadu_si512(unhashed_ + 64 * i));
    if (i == 0) x = _mm512_xor_si512(x, state_);
    if constexpr (kHash == Hash::lanes)
      karatsuba_add(sum, x, broadcast16(power_at(*hash_key_, k)),
                    _mm512_set1_epi64(static_cast<long long>(hash_key_->folded_power[k / 4 - 1])));
    else
      multiply_add(sum, x, _mm512_loadu_si512(power_at(*hash_key_, k)));
  }

  const KeyContext* crypt_key_ = nullptr;
  V counter_{};  // of the block before the next chunk, in all lanes
  const KeyContext* hash_key_ = nullptr;
  const uint8_t* unhashed_ = nullptr;  // segment to be hashed
  V state_{};                          // GHASH so far: lanes apart until the last segment, then in lane 0
  uint64_t* state_at_ = nullptr;       // where it belongs
};

template <bool kSeal>
void any_segments(Group* groups, size_t packets, int rounds) {
  if (rounds == 10)
    Segments<10, kSeal>::run(groups, packets);
  else
    Segments<14, kSeal>::run(groups, packets);
}

// A part of n bytes is ceil(n/16) blocks; its first block meets H^(blocks+1), its last H^2, the length block H^1.
template <bool kEsp>
SEALCAST_INLINE void locate(Group& g) {
  const __m256i length = _mm256_cvtepu32_epi64(load16(g.length));
  const __m256i blocks = _mm256_srli_epi64(_mm256_add_epi64(length, _mm256_set1_epi64x(15)), 4);
  const __m256i key = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(g.key));
  const __m256i power =
      _mm256_add_epi64(key, _mm256_sub_epi64(_mm256_set1_epi64x(offsetof(KeyContext, power) + 16 * (power_count - 1)),
                                             _mm256_slli_epi64(blocks, 4)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(g.power), power);
  const __m256i unused = _mm256_and_si256(_mm256_sub_epi64(_mm256_setzero_si256(), length), _mm256_set1_epi64x(63));
  const __mmask8 any = _mm256_test_epi64_mask(length, length);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(g.last_mask),
                      _mm256_maskz_srlv_epi64(any, _mm256_set1_epi64x(-1), unused));
  // ESP: the AAD is the block before the part's first; else the state belongs to the part's first block.
#pragma GCC unroll 4
  for (int q = 0; q < 4; q++)
    store16(g.state_power[q], load16(g.power[q] - (kEsp ? 16 : 0)));
}

inline bool one_key(const Group& g) {
  return g.key[0] == g.key[1] && g.key[0] == g.key[2] && g.key[0] == g.key[3];
}

// Cuts the groups into stretches with one key per group and stretches with several.
template <int kRounds, bool kSeal, bool kEsp>
void groups(Group* g, size_t count) {
  for (size_t i = 0; i < count; i++)
    locate<kEsp>(g[i]);
  while (count != 0) {
    const bool one = one_key(*g);
    size_t same = 1;
    while (same < count && one_key(g[same]) == one)
      same++;
    if (one)
      Pipeline<kRounds, true, kSeal, kEsp>::run(g, same);
    else
      Pipeline<kRounds, false, kSeal, kEsp>::run(g, same);
    g += same;
    count -= same;
  }
}

template <bool kSeal>
void any_groups(Group* g, size_t count, int rounds, bool esp) {
  if (rounds == 10)
    esp ? groups<10, kSeal, true>(g, count) : groups<10, kSeal, false>(g, count);
  else
    esp ? groups<14, kSeal, true>(g, count) : groups<14, kSeal, false>(g, count);
}

}  // namespace

extern const Kernel vaes512_kernel = {"vaes512",           expand_key,       absorb_aad,       any_segments<true>,
                                      any_segments<false>, any_groups<true>, any_groups<false>};

}  // namespace sealcast::dataplane::aead::burst
