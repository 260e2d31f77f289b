// Byte strings and network byte order. Every multi-byte integer on any Sealcast wire is big-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sealcast {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;
using ByteSpan = std::span<std::uint8_t>;

// Reads a big-endian integer of type T from p; p has sizeof(T) readable bytes and any alignment.
template <typename T>
constexpr T load_be(const std::uint8_t* p) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>((value << 8) | p[i]);
  return value;
}
template <>
constexpr std::uint8_t load_be<std::uint8_t>(const std::uint8_t* p) {
  return *p;
}

// Stores value at p as big-endian; p has sizeof(T) writable bytes and any alignment.
template <typename T>
constexpr void store_be(std::uint8_t* p, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i)
    p[i] = static_cast<std::uint8_t>(value >> (8 * (sizeof(T) - 1 - i)));
}

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Lower-case hexadecimal, for logs and tests; never call it on a secret.
std::string to_hex(ByteView bytes);

// Decodes hexadecimal digits of either case. Nothing for an odd number of characters or another character.
std::optional<Bytes> from_hex(std::string_view text);

}  // namespace sealcast
