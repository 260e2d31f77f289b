// The IPv4 packet that nearly all multicast is, read in a few wide loads: no options, no fragment, UDP or ESP. Whatever
// differs is no error here: the worker's general path looks again and decides.
#pragma once

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {

// Eight bytes as they lie in memory.
inline std::uint64_t words_of(const std::uint8_t* p) noexcept {
  std::uint64_t words;
  std::memcpy(&words, p, sizeof words);
  return words;
}

// Sum of a 20-byte header with end-around carry, to be folded; words in memory order.
inline std::uint64_t lean_sum(const std::uint8_t* ip) noexcept {
  std::uint64_t first, second;
  std::uint32_t third;
  std::memcpy(&first, ip, 8);
  std::memcpy(&second, ip + ipv4::ttl, 8);
  std::memcpy(&third, ip + ipv4::destination, 4);
  std::uint64_t sum;
  const bool carry = __builtin_add_overflow(first, second, &sum);
  std::uint64_t all;
  const bool more = __builtin_add_overflow(sum, third + std::uint64_t{carry}, &all);
  return all + more;
}

// True: version 4, 20 bytes of header, no fragment, that protocol, a living TTL, total bytes from least to most, and
// the header checksum is right. At least 20 bytes are readable at ip.
inline bool lean_header(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t least, std::uint32_t most,
                        std::uint32_t& total_bytes) noexcept {
  // Flags and offset 16 bits, TTL 8, protocol 8, checksum 16, the source's first half.
  const std::uint64_t middle = load64(ip + ipv4::fragment);
  total_bytes = load16(ip + ipv4::total_length);
  return ip[ipv4::version] == ipv4::version_plain && (middle & 0x3fff00ff00000000) == std::uint64_t{protocol} << 32 &&
         (middle & 0x0000ff0000000000) != 0 && total_bytes - least <= most - least && most >= least &&
         fold16(lean_sum(ip)) == 0xffff;
}

// The padding behind a payload and ESP's two trailer bytes, as eight bytes to be stored at the payload's end; what
// follows the trailer is the tag's place.
// [padding bytes], next header 4; the first byte on the wire is the word's top one.
inline constexpr std::uint64_t lean_trailer[4] = {0x0004000000000000, 0x0101040000000000, 0x0102020400000000,
                                                  0x0102030304000000};

}  // namespace sealcast::dataplane
