// How often a test repeats the same thing. Sanitizers make a round cost several times as much, so there it does a part
// of the rounds; all of them run without sanitizers every time.
#pragma once

#include <cstddef>

namespace sealcast {

constexpr std::size_t rounds(std::size_t all) {
#ifdef SEALCAST_SANITIZED
  return all / 4;
#else
  return all;
#endif
}

}  // namespace sealcast
