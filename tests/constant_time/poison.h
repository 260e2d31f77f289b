// Secrets that valgrind watches: poisoned bytes count as uninitialised memory, so memcheck reports every branch on them
// and every address made of them. Data that is public by nature (a verdict, a message that is sent) is declassified,
// always at a place named in README.md.
#pragma once

#include <cstddef>
#include <cstdint>

#if __has_include(<valgrind/memcheck.h>)
#define SEALCAST_HAVE_MEMCHECK 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#include <valgrind/memcheck.h>
#pragma GCC diagnostic pop
#else
#define SEALCAST_HAVE_MEMCHECK 0
#endif

namespace sealcast::constant_time {

inline bool watched() {
#if SEALCAST_HAVE_MEMCHECK
  return RUNNING_ON_VALGRIND != 0;
#else
  return false;
#endif
}

inline void poison([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t size) {
#if SEALCAST_HAVE_MEMCHECK
  (void)VALGRIND_MAKE_MEM_UNDEFINED(data, size);
#endif
}

inline void declassify([[maybe_unused]] const void* data, [[maybe_unused]] std::size_t size) {
#if SEALCAST_HAVE_MEMCHECK
  (void)VALGRIND_MAKE_MEM_DEFINED(data, size);
#endif
}

// Whether the byte is poisoned, as far as is known: outside of valgrind every byte might be.
inline bool poisoned([[maybe_unused]] const std::uint8_t* byte) {
#if SEALCAST_HAVE_MEMCHECK
  std::uint8_t bits = 0;
  return !watched() || (VALGRIND_GET_VBITS(byte, &bits, 1) == 1 && bits != 0);
#else
  return true;
#endif
}

template <typename T>
T declassified(T value) {
  declassify(&value, sizeof value);
  return value;
}

}  // namespace sealcast::constant_time
