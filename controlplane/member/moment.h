// The clock and the randomness of a member: one place to ask.
#pragma once

#include <array>
#include <chrono>

#include "base/bytes.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

inline std::chrono::steady_clock::time_point now() {
  return std::chrono::steady_clock::now();
}

// For back-off alone: how long to wait is no secret, but it must differ between members.
inline std::uint64_t random_bits() {
  std::array<std::uint8_t, 8> bytes{};
  handshake::system_random().fill(bytes);
  return load_be<std::uint64_t>(bytes.data());
}

}  // namespace sealcast::member
