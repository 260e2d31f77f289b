// The interface between the burst engine's front (burst_engine.cc) and its kernels: the key context and the descriptor
// of one packet. Plain structures and no C++ library header: kernel files are compiled for instruction sets this CPU
// may not have, and the linker could choose a library function compiled there for the whole program.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace sealcast::dataplane::aead::burst {

inline constexpr int part_chunks = 8;                // largest last part of a packet, in chunks of 64 bytes
inline constexpr int part_blocks = 4 * part_chunks;  // the same in AES blocks
inline constexpr int part_bytes = 64 * part_chunks;  // the same in bytes
inline constexpr int power_count = part_blocks + 2;  // blocks of a part, one before it (AAD or state), one after it
inline constexpr int esp_aad_bytes = 8;              // SPI ‖ sequence number (RFC 4106 §5)
inline constexpr int packets_per_group = 4;          // packets a kernel works on in lockstep
inline constexpr int packets_per_run = 64;           // packets sorted and processed together at most

// Everything derived from one key. Short packets touch the middle only: low powers and round keys are neighbours.
struct alignas(64) KeyContext {
  uint64_t folded_power[part_chunks];  // halves of H^4, H^8 … H^32 added up: for the segments of long packets
  uint8_t power[power_count][16];      // H^34 … H^1, each ·x and byte-reversed (the multiplier's input form)
  uint8_t aad_length_term[16];         // constant of every ESP tag, reduced: "64 bits of AAD" in the length block
  uint8_t round_key[15][16];           // AES-128 uses 11, AES-256 all
  uint8_t reserved[32];
};
static_assert(sizeof(KeyContext) == 896, "14 cache lines; see README.md before growing it");

// Four packets for a kernel to work on in lockstep, ordered so that one load reads a field of all four. A packet's
// *part* is the whole packet if that is short, else the rest after the 512-byte segments before it.
struct alignas(64) Group {
  uint8_t first_counter[4][16];  // nonce ‖ 1, big-endian: the block behind the tag
  uint64_t state[4][2];          // ESP: {bits of data, AAD byte-reversed}; else the GHASH state before the part
  // Not read for ESP:
  uint8_t counter[4][16];       // nonce ‖ counter of the block before the part's first, little-endian
  uint64_t length_block[4][2];  // {bits of data, bits of AAD}

  uint8_t* data[4];  // first byte of the part
  const KeyContext* key[4];
  union Tag {
    uint8_t* out;       // seal: 16 bytes
    const uint8_t* in;  // open: 16 bytes
  } tag[4];
  uint32_t length[4];    // bytes of the part: 0..512
  uint8_t ok[4];         // open: 1 if the tag is right
  uint32_t segments[4];  // before the part; not read for ESP

  // Filled by the kernel:
  const uint8_t* power[4];  // the power of H that the part's first block is multiplied with
  uint64_t last_extent[4];  // how much of the last chunk exists, in the kernel's own form
};
static_assert(sizeof(Group) == 512);

// One compiled kernel. All keys of a call are of one size: rounds is 10 (AES-128) or 14 (AES-256).
struct Kernel {
  const char* name;
  void (*expand_key)(KeyContext& context, const uint8_t* key, int rounds);
  // Hashes length bytes of AAD into state[q].
  void (*absorb_aad)(Group& group, unsigned q, const uint8_t* aad, size_t length);
  // Encrypts or decrypts and hashes the segments of so many packets; moves data, counter and state past them.
  void (*seal_segments)(Group* groups, size_t packets, int rounds);
  void (*open_segments)(Group* groups, size_t packets, int rounds);
  // esp: every packet has 8 bytes of AAD and no segments before its part. open: decrypts in the same pass and sets ok;
  // the engine wipes forged packets before its caller sees them.
  void (*seal_groups)(Group* groups, size_t count, int rounds, bool esp);
  void (*open_groups)(Group* groups, size_t count, int rounds, bool esp);
};

// AVX-512 F/BW/VL/DQ, VAES and VPCLMULQDQ on 512-bit registers.
extern const Kernel vaes512_kernel;
// AVX2, VAES and VPCLMULQDQ on 256-bit registers; no AVX-512.
extern const Kernel vaes256_kernel;

}  // namespace sealcast::dataplane::aead::burst
