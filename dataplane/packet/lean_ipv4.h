// Nearly all multicast packets are IPv4 without options, no fragments, and carry UDP or ESP. These are read here in a
// few wide loads. A packet that differs is no error: the general way of the path reads it again and decides.
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

// True: version 4, 20 bytes of header, no fragment, that protocol, a TTL above 0, a source that a host can have, least
// to most bytes in total, and a right header checksum. At least 20 bytes are readable at ip.
inline bool lean_header(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t least, std::uint32_t most,
                        std::uint32_t& total_bytes) noexcept {
  // Flags and offset 16 bits, TTL 8, protocol 8, checksum 16, the source's first half.
  const std::uint64_t middle = load64(ip + ipv4::fragment);
  total_bytes = load16(ip + ipv4::total_length);
  return ip[ipv4::version] == ipv4::version_plain && (middle & 0x3fff00ff00000000) == std::uint64_t{protocol} << 32 &&
         (middle & 0x0000ff0000000000) != 0 && (middle & 0xe000) != 0xe000 && total_bytes - least <= most - least &&
         most >= least && fold16(lean_sum(ip)) == 0xffff;
}

// By bytes of padding: padding and ESP's two trailer bytes (next header 4), as a word to be stored at the payload's
// end. Its top byte is the first on the wire. The bytes behind the trailer may hold anything: the tag is written there.
inline constexpr std::uint64_t lean_trailer[4] = {0x0004000000000000, 0x0101040000000000, 0x0102020400000000,
                                                  0x0102030304000000};

}  // namespace sealcast::dataplane
