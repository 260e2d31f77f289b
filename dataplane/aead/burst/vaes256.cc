// The 256-bit kernel: long packets' leading segments, and the entry points. Compiled with its own -m flags; packet.h
// says why it must include no C++ library header.
#include "dataplane/aead/burst/vaes256_math.h"
// Must follow the arithmetic that it uses.
#include "dataplane/aead/burst/group.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// One packet's segment in two steps of four chunks: eight registers keep the AES units busy, and there are no more.
// Sealing hashes what the step before encrypted; opening hashes and decrypts the same chunks.
template <int round_count, bool sealing>
class Segments {
 public:
  static void run(Group* groups, size_t packets) {
    for (size_t i = 0; i < packets; i++) {
      if (groups[i / 4].segments[i % 4] != 0) packet(groups[i / 4], i % 4);
    }
  }

 private:
  static constexpr int step_chunks = part_chunks / 2;
  static constexpr int step_bytes = part_bytes / 2;

  static SEALCAST_INLINE void packet(Group& g, size_t q) {
    Segments now(*g.key[q], broadcast16(g.counter[q]), load16(g.state[q]));
    uint8_t* data = g.data[q];
    if constexpr (sealing) now.template step<true, false, 0>(data, nullptr);
    for (uint32_t left = g.segments[q]; left != 0; left--, data += part_bytes) {
      if constexpr (sealing) {
        now.template step<true, true, 0>(data + step_bytes, data);
        if (left != 1)
          now.template step<true, true, 1>(data + part_bytes, data + step_bytes);
        else
          now.template step<false, true, 1>(nullptr, data + step_bytes);
      } else {
        now.template step<true, true, 0>(data, data);
        now.template step<true, true, 1>(data + step_bytes, data + step_bytes);
      }
    }
    g.data[q] = data;
    store16(g.counter[q], _mm256_castsi256_si128(now.counter_.a));
    store16(g.state[q], now.state_);
  }

  SEALCAST_INLINE Segments(const KeyContext& key, V counter, __m128i state)
      : key_(key), counter_(counter), state_(state) {}

  // En- or decrypts a half segment at `data` and hashes one at `hashed`, the segment's first (half_index 0) or second.
  template <bool crypting, bool hashing, int half_index>
  SEALCAST_INLINE void step(uint8_t* data, const uint8_t* hashed) {
    constexpr int rounds_per_chunk = (round_count - 1) / step_chunks;
    V x[step_chunks];
    if constexpr (crypting) {
      const Row first = broadcast_row(key_.round_key[0]);
#pragma GCC unroll 4
      for (int i = 0; i < step_chunks; i++)
        x[i] = add_key(swap_counter(add_numbers(counter_, little_endian_numbers(i))), first);
      const Half more = two_times(_mm_set_epi32(4 * step_chunks, 0, 0, 0));
      counter_ = add_numbers(counter_, {more, more});
    }
#pragma GCC unroll 16
    for (int r = 1; r < round_count; r++) {
      if constexpr (crypting) {
        const Row round_key = broadcast_row(key_.round_key[r]);
#pragma GCC unroll 4
        for (int i = 0; i < step_chunks; i++)
          x[i] = aesenc(x[i], round_key);
      }
      // The first chunk waits for the state of the segment before, so it comes last.
      if (hashing && r % rounds_per_chunk == 0 && r / rounds_per_chunk <= step_chunks)
        hash<half_index>(hashed, r / rounds_per_chunk % step_chunks);
    }
    if constexpr (crypting) {
      const Row last = broadcast_row(key_.round_key[round_count]);
#pragma GCC unroll 4
      for (int i = 0; i < step_chunks; i++)
        store64(data + 64 * i, aesenclast(x[i], add_key(load64(data + 64 * i), last)));
    }
    if constexpr (hashing && half_index == 1) {
      state_ = reduce_to_block(sum_);
      clear(sum_);
    }
  }

  template <int half_index>
  SEALCAST_INLINE void hash(const uint8_t* hashed, int i) {
    V x = reverse_bytes(load64(hashed + 64 * i));
    if (half_index == 0 && i == 0) x.a = _mm256_xor_si256(x.a, _mm256_zextsi128_si256(state_));
    multiply_add(sum_, x, load64(power_at(key_, part_blocks - 4 * (step_chunks * half_index + i))));
  }

  const KeyContext& key_;
  V counter_;      // of the block before the next chunk, in all lanes
  __m128i state_;  // GHASH of the segments before
  Sum sum_{_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
};

template <bool sealing>
void any_segments(Group* groups, size_t packets, int rounds) {
  if (rounds == 10)
    Segments<10, sealing>::run(groups, packets);
  else
    Segments<14, sealing>::run(groups, packets);
  scrub_stack<spilled_bytes>();
}

}  // namespace

extern const Kernel vaes256_kernel = {"vaes256",           expand_key,       absorb_aad,       any_segments<true>,
                                      any_segments<false>, any_groups<true>, any_groups<false>};

}  // namespace sealcast::dataplane::aead::burst
