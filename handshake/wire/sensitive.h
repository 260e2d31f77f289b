// Byte strings that may hold secrets (SMKE carries the group's premaster): wiped whenever their storage is released,
// even when a vector grows (H14).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/secret.h"

namespace sealcast::handshake {

template <typename T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return std::allocator<T>().allocate(n); }
  void deallocate(T* p, std::size_t n) noexcept {
    wipe(p, n * sizeof(T));
    std::allocator<T>().deallocate(p, n);
  }
  bool operator==(const WipingAllocator&) const = default;
};

using SensitiveBytes = std::vector<std::uint8_t, WipingAllocator<std::uint8_t>>;

}  // namespace sealcast::handshake
