// The packets of one burst that the AEAD engine seals or opens in one call.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <type_traits>

#include "dataplane/aead/engine.h"
#include "dataplane/packet/frame.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// The most frames that are processed together. Longer bursts are cut.
inline constexpr std::size_t max_burst = 64;

// Calls chunk with at most max_burst frames at a time, in order.
template <typename Chunk>
inline void in_chunks(std::span<Frame> frames, Chunk chunk) {
  for (; frames.size() > max_burst; frames = frames.subspan(max_burst))
    chunk(frames.first(max_burst));
  chunk(frames);
}

// Item: aead::SealItem or aead::OpenItem. Sa: what holds its key.
template <typename Item, typename Sa>
class alignas(cache_line) AeadBatch {
 public:
  // engine outlives the batch.
  explicit AeadBatch(const aead::Engine& engine) : engine_(engine), keys_together_(engine.wants_keys_together()) {}

  // Begins a burst.
  void clear() noexcept {
    size_ = 0;
    several_keys_ = false;
  }
  // Room for the next item, whose key is that of sa; the caller fills in the rest. At most max_burst items.
  Item& push(Sa& sa) noexcept {
    const std::uint32_t i = size_++;
    sas_[i] = &sa;
    items_[i].key = &sa.key;
    several_keys_ |= items_[i].key != items_[0].key;
    return items_[i];
  }
  // The frame of the burst that item i was made of.
  void set_frame(std::uint32_t i, std::size_t frame) noexcept { frames_[i] = static_cast<std::uint8_t>(frame); }

  // Seals or opens all items. An engine for which that is faster gets the items of one key together, in their order.
  void run() noexcept {
    const std::span<Item> all = items();
    if (!several_keys_ || !keys_together_) [[likely]] {
      process(all);
      return;
    }
    std::array<std::uint8_t, max_burst> order;
    sort_by_key(all, order);
    process(std::span<Item>(sorted_.data(), all.size()));
    for (std::size_t i = 0; i < all.size(); ++i)
      items_[order[i]].ok = sorted_[i].ok;
  }

  std::uint32_t size() const noexcept { return size_; }
  std::span<Item> items() noexcept { return {items_.data(), size_}; }
  const Item& item(std::uint32_t i) const noexcept { return items_[i]; }
  Sa& sa(std::uint32_t i) const noexcept { return *sas_[i]; }
  std::size_t frame(std::uint32_t i) const noexcept { return frames_[i]; }
  const aead::Engine& engine() const noexcept { return engine_; }

 private:
  void process(std::span<Item> items) const {
    if constexpr (std::is_same_v<Item, aead::SealItem>) {
      engine_.seal(items);
    } else {
      engine_.open(items);
    }
  }

  // Copies the items to sorted_ so that those of one key stand together, in their order within a key; order[i]: which
  // item the i-th copy is. Each item is looked at once: a small table leads from a key to its items.
  [[gnu::noinline]] void sort_by_key(std::span<const Item> items, std::array<std::uint8_t, max_burst>& order) noexcept {
    constexpr std::uint8_t none = 0xff;
    constexpr std::size_t places = 4 * max_burst;
    std::array<std::uint8_t, places> first_of_place;
    first_of_place.fill(none);
    std::array<std::uint8_t, max_burst> firsts, last, next;
    std::size_t keys = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const aead::Key* const key = items[i].key;
      const auto self = static_cast<std::uint8_t>(i);
      next[i] = none;
      std::size_t place = (reinterpret_cast<std::uintptr_t>(key) / cache_line * 0x9e3779b97f4a7c15) >> 56;
      while (first_of_place[place] != none && items[first_of_place[place]].key != key)
        place = (place + 1) % places;
      std::uint8_t& first = first_of_place[place];
      if (first == none) {
        first = firsts[keys++] = self;
      } else {
        next[last[first]] = self;
      }
      last[first] = self;
    }
    std::size_t at = 0;
    for (std::size_t k = 0; k < keys; ++k)
      for (std::uint8_t i = firsts[k]; i != none; i = next[i]) {
        order[at] = i;
        sorted_[at++] = items[i];
      }
  }

  std::array<Item, max_burst> items_;
  std::array<Sa*, max_burst> sas_{};
  std::array<std::uint8_t, max_burst> frames_{};
  std::uint32_t size_ = 0;
  bool several_keys_ = false;
  const aead::Engine& engine_;
  const bool keys_together_;
  std::array<Item, max_burst> sorted_;
};

}  // namespace sealcast::dataplane
