// Fixed-size slots in locked memory (H14), for key contexts and for the SA objects that hold salts. Ordinary pages of
// this process: never DPDK memory, which a virtio peer may map. Control thread only.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/secret.h"

namespace sealcast::dataplane {

class KeyMemory {
 public:
  // slot_bytes is rounded up to a multiple of 64; slots are 64-byte aligned.
  explicit KeyMemory(std::size_t slot_bytes) : slot_bytes_((slot_bytes + 63) / 64 * 64) {}

  // Zeroed. Fails when no more memory may be locked (RLIMIT_MEMLOCK).
  Result<void*> allocate();
  // Wipes the slot.
  void release(void* slot) noexcept;
  std::size_t in_use() const { return in_use_; }

 private:
  // The first ones are small: most gateways need no more.
  static constexpr std::size_t arena_bytes = 64 * 1024;
  static constexpr std::size_t small_arenas = 8;
  static constexpr std::size_t large_arena_bytes = std::size_t{2} << 20;

  std::size_t slot_bytes_;
  std::vector<LockedArena> arenas_;
  std::vector<void*> free_;
  std::size_t in_use_ = 0;
};

// An object in a KeyMemory slot; ended and wiped with this owner. The memory outlives it.
template <typename T>
class Locked {
 public:
  Locked() = default;
  template <typename... Args>
  static Result<Locked> make(KeyMemory& memory, Args&&... args) {
    SEALCAST_TRY_ASSIGN(auto slot, memory.allocate());
    Locked owner;
    owner.memory_ = &memory;
    owner.object_ = new (slot) T(std::forward<Args>(args)...);
    return owner;
  }
  ~Locked() { reset(); }
  Locked(const Locked&) = delete;
  Locked& operator=(const Locked&) = delete;
  Locked(Locked&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), object_(std::exchange(other.object_, nullptr)) {}
  Locked& operator=(Locked&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(object_, other.object_);
    return *this;
  }

  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  void reset() noexcept {
    if (object_ == nullptr) return;
    object_->~T();
    memory_->release(object_);
    object_ = nullptr;
  }

  KeyMemory* memory_ = nullptr;
  T* object_ = nullptr;
};

}  // namespace sealcast::dataplane
