// A quick hash of two words. With a secret in it, an attacker cannot choose what falls into one place of a table.
#pragma once

#include <cstdint>

namespace sealcast::dataplane {

// Both halves of the product, folded: every bit of a and b reaches the low bits.
inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace sealcast::dataplane
