// Shared by the fuzz targets: reading an input as a list of choices, and invariants that end the process.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/bytes.h"

namespace sealcast::fuzz {

// An invariant of the target. A broken one is a finding, like a read beyond a buffer. (clang 14 has no
// std::source_location.)
inline void require(bool holds, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%d: the invariant does not hold\n", file, line);
  std::abort();
}

// Takes choices off the front of an input. An input that is too short yields zeros, so that every input has a meaning.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}
  explicit Input(ByteView bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t u8() { return integer<std::uint8_t>(); }
  std::uint16_t u16() { return integer<std::uint16_t>(); }
  std::uint32_t u32() { return integer<std::uint32_t>(); }
  std::uint64_t u64() { return integer<std::uint64_t>(); }
  bool flag() { return (u8() & 1) != 0; }
  // One of n choices, 1 <= n <= 256.
  std::size_t pick(std::size_t n) { return u8() % n; }
  // size bytes, or as many as are left.
  ByteView bytes(std::size_t size) {
    const ByteView taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // A length of one or two bytes, then that many bytes.
  ByteView short_block() { return bytes(u8()); }
  ByteView block() { return bytes(u16()); }
  ByteView rest() { return bytes(rest_.size()); }

 private:
  template <typename T>
  T integer() {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      const ByteView one = bytes(1);
      value = static_cast<T>((static_cast<std::uint64_t>(value) << 8) | (one.empty() ? 0u : one[0]));
    }
    return value;
  }

  ByteView rest_;
};

inline Bytes copy(ByteView view) {
  return {view.begin(), view.end()};
}
inline std::string text(ByteView view) {
  return {view.begin(), view.end()};
}

}  // namespace sealcast::fuzz
