// What the burst engine's front (burst_engine.cc) and its kernels agree on: the key context and the descriptor of one
// packet. Plain structures and no C++ library header: kernel files are compiled for instruction sets this CPU may not
// have, and an inline library function compiled there could be the copy the linker keeps for everybody.
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
  uint8_t power[power_count][16];  // H^34 … H^1, each ·x and byte-reversed (the form the multiplier wants)
  uint8_t aad_length_term[16];     // what "64 bits of AAD" in the length block adds to every ESP tag, reduced
  uint8_t round_key[15][16];       // AES-128 uses 11, AES-256 all
  uint8_t reserved[32];
};
static_assert(sizeof(KeyContext) == 832, "13 cache lines; see README.md before growing it");

// A part of n bytes is ceil(n/16) blocks; its first block meets H^(blocks+1), its last H^2, the length block H^1.
inline const uint8_t* first_power(const KeyContext& key, uint32_t length) {
  return key.power[power_count - 1 - (length + 15) / 16];
}

// One packet's *part*: the whole packet if it is short, else what is left after the 512-byte segments before it.
// Sorted by kind and number of chunks, four neighbours make a group.
struct alignas(32) Packet {
  uint8_t counter[16];       // nonce ‖ counter of the part's first block (big-endian for ESP, else little-endian)
  uint64_t state[2];         // ESP: {bits of data, AAD byte-reversed}; else the GHASH state before the part
  uint64_t length_block[2];  // {bits of data, bits of AAD}; not read for ESP
  uint8_t* data;             // first byte of the part
  union {
    uint8_t* tag_out;       // seal: 16 bytes
    const uint8_t* tag_in;  // open: 16 bytes
  };
  const KeyContext* key;
  const uint8_t* power;  // the power of H that the part's first block is multiplied with
  uint32_t length;       // bytes of the part: 0..512
  uint8_t slot;          // index in the caller's items
  uint8_t ok;            // open: 1 if the tag is right
  uint8_t unused[2];
};
static_assert(sizeof(Packet) == 96);

// One compiled kernel. All functions take keys of one size: rounds is 10 (AES-128) or 14 (AES-256).
struct Kernel {
  const char* name;
  void (*expand_key)(KeyContext& context, const uint8_t* key, int rounds);
  // Hashes length bytes of AAD into packet.state.
  void (*absorb_aad)(Packet& packet, const uint8_t* aad, size_t length);
  // Encrypts or decrypts and hashes `segments` × 512 bytes at packet.data, and moves counter, state and data behind
  // them.
  void (*seal_segments)(Packet& packet, size_t segments, int rounds);
  void (*open_segments)(Packet& packet, size_t segments, int rounds);
  // groups × 4 packets. esp: every packet has 8 bytes of AAD and no segments before its part.
  // open: decrypts in the same pass and sets ok; the caller wipes what was forged before anyone sees it.
  void (*seal_groups)(Packet* packets, size_t groups, int rounds, bool esp);
  void (*open_groups)(Packet* packets, size_t groups, int rounds, bool esp);
};

// AVX-512 F/BW/VL/DQ, VAES and VPCLMULQDQ on 512-bit registers.
extern const Kernel vaes512_kernel;

}  // namespace sealcast::dataplane::aead::burst
