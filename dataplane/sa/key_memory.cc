#include "dataplane/sa/key_memory.h"

#include <algorithm>
#include <cstdint>

namespace sealcast::dataplane {

Result<void*> KeyMemory::allocate() {
  if (free_.empty()) {
    const std::size_t small = std::max(arena_bytes, slot_bytes_);
    auto arena = LockedArena::create(arenas_.size() < small_arenas ? small : std::max(large_arena_bytes, slot_bytes_));
    if (!arena && arenas_.size() >= small_arenas) arena = LockedArena::create(small);
    if (!arena) return tl::unexpected<Error>(arena.error());
    auto* base = static_cast<std::uint8_t*>(arena->data());
    const std::size_t slots = arena->size() / slot_bytes_;
    free_.reserve(in_use_ + slots);  // room for every slot: release() allocates nothing
    // Backwards, so that slots are handed out in ascending order.
    for (std::size_t n = slots; n > 0; --n)
      free_.push_back(base + (n - 1) * slot_bytes_);
    arenas_.push_back(std::move(*arena));
  }
  void* slot = free_.back();
  free_.pop_back();
  ++in_use_;
  return slot;
}

void KeyMemory::release(void* slot) noexcept {
  wipe(slot, slot_bytes_);
  free_.push_back(slot);
  --in_use_;
}

}  // namespace sealcast::dataplane
