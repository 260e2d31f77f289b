// The 512-bit kernel: long packets' leading segments, and the entry points. Compiled with its own -m flags; packet.h
// says why it must include no C++ library header.
#include "dataplane/aead/burst/vaes512_math.h"
// Must follow the arithmetic that it uses.
#include "dataplane/aead/burst/group.h"

namespace sealcast::dataplane::aead::burst {
namespace {

// GHASH in a step of a long packet. In every segment but the last, each lane is hashed by itself with powers of H^4,
// which needs no sum over lanes; the last one adds up the lanes.
enum class Hash { none, lanes, last };

// One packet's segment at a time: its eight chunks keep the AES units busy. Sealing hashes a segment while the next one
// is encrypted, even if that is the next packet's; opening hashes and decrypts the same one.
template <int round_count, bool sealing>
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
    if constexpr (sealing) {
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

  // Switches to the next packet to hash.
  SEALCAST_INLINE void enter(Group& g, size_t q) {
    hash_key_ = g.key[q];
    state_ = _mm512_zextsi128_si512(load16(g.state[q]));
    state_at_ = g.state[q];
  }
  SEALCAST_INLINE void leave() {
    if (state_at_ != nullptr) store16(state_at_, _mm512_castsi512_si128(state_));
  }

  // En- or decrypts the segment at `data` and hashes the ciphertext of unhashed_, which may be the same.
  template <bool crypting, Hash hashing>
  SEALCAST_INLINE void step(uint8_t* data) {
    V x[part_chunks];
    Product sum = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    if constexpr (crypting) {
      const V first = broadcast16(crypt_key_->round_key[0]);
#pragma GCC unroll 8
      for (int i = 0; i < part_chunks; i++)
        x[i] = _mm512_xor_si512(swap_counter(_mm512_add_epi32(counter_, little_endian_numbers(i))), first);
      counter_ = _mm512_add_epi32(counter_, four_times(_mm_set_epi32(part_blocks, 0, 0, 0)));
    }
#pragma GCC unroll 16
    for (int r = 1; r < round_count; r++) {
      if constexpr (crypting) {
        const V round_key = broadcast16(crypt_key_->round_key[r]);
#pragma GCC unroll 8
        for (int i = 0; i < part_chunks; i++)
          x[i] = _mm512_aesenc_epi128(x[i], round_key);
      }
      // The first chunk waits for the state of the segment before, so it comes last.
      if (hashing != Hash::none && r <= part_chunks) hash<hashing>(sum, r % part_chunks);
    }
    if constexpr (crypting) {
      const V last = broadcast16(crypt_key_->round_key[round_count]);
#pragma GCC unroll 8
      for (int i = 0; i < part_chunks; i++) {
        // aesenclast(x, k) ^ data = aesenclast(x, k ^ data): one operation less on the way to memory.
        const V mixed = _mm512_xor_si512(last, _mm512_loadu_si512(data + 64 * i));
        _mm512_storeu_si512(data + 64 * i, _mm512_aesenclast_epi128(x[i], mixed));
      }
    }
    if constexpr (hashing == Hash::lanes) state_ = reduce(from_karatsuba(sum));
    if constexpr (hashing == Hash::last)
      state_ = reduce({sum_lanes_to_first(sum.lo), sum_lanes_to_first(sum.mid), sum_lanes_to_first(sum.hi)});
  }

  template <Hash hashing>
  SEALCAST_INLINE void hash(Product& sum, int i) {
    const int k = part_blocks - 4 * i;
    V x = reverse_bytes(_mm512_loadu_si512(unhashed_ + 64 * i));
    if (i == 0) x = _mm512_xor_si512(x, state_);
    if constexpr (hashing == Hash::lanes)
      karatsuba_add(sum, x, broadcast16(power_at(*hash_key_, k)),
                    _mm512_set1_epi64(static_cast<long long>(hash_key_->folded_power[k / 4 - 1])));
    else
      multiply_add_lanes(sum, x, load64(power_at(*hash_key_, k)), load64(power_at(*hash_key_, k)));
  }

  const KeyContext* crypt_key_ = nullptr;
  V counter_{};  // of the block before the next chunk, in all lanes
  const KeyContext* hash_key_ = nullptr;
  const uint8_t* unhashed_ = nullptr;  // segment to be hashed
  V state_{};                          // GHASH so far: lanes apart until the last segment, then in lane 0
  uint64_t* state_at_ = nullptr;       // the packet's place for it
};

template <bool sealing>
void any_segments(Group* groups, size_t packets, int rounds) {
  if (rounds == 10)
    Segments<10, sealing>::run(groups, packets);
  else
    Segments<14, sealing>::run(groups, packets);
  scrub_stack<segments_spilled_bytes>();
}

}  // namespace

extern const Kernel vaes512_kernel = {"vaes512",           expand_key,       absorb_aad,       any_segments<true>,
                                      any_segments<false>, any_groups<true>, any_groups<false>};

}  // namespace sealcast::dataplane::aead::burst
