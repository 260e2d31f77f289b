// What a worker keeps between the stages of one burst. Inside the worker's own files only.
#pragma once

#include <algorithm>
#include <array>

#include "dataplane/path/worker.h"

namespace sealcast::dataplane {

template <typename Item, typename Sa>
struct StageItems {
  std::array<Item, max_burst> items;
  std::array<Sa*, max_burst> sas{};
  std::array<std::uint8_t, max_burst> frames{};  // which frame of the burst
  std::uint32_t size = 0;
  bool several_keys = false;

  void clear() {
    size = 0;
    several_keys = false;
  }
  // Room for the next item of the frame that is being looked at; its key is that of sa.
  Item& push(Sa& sa) {
    const std::uint32_t i = size++;
    sas[i] = &sa;
    items[i].key = &sa.key;
    several_keys |= items[i].key != items[0].key;
    return items[i];
  }
};

// What an ESP packet on black looked like, for when it is open.
struct Worker::Opened {
  std::uint64_t number = 0;          // its IV
  std::uint16_t header_bytes = 0;    // of the outer IP header
  std::uint16_t protocol_field = 0;  // where it names ESP
  std::uint8_t ip_offset = 0;        // of the outer IP header
  std::uint8_t family = 0;           // ...
  bool lean = false;                 // lean_ipv4.h, in a tunnel that keeps the addresses
};

struct alignas(cache_line) Worker::Scratch {
  StageItems<aead::SealItem, SealingSa> seal;
  StageItems<aead::OpenItem, OpeningSa> open;
  std::uint64_t open_tsc = 0;            // of the burst
  std::array<Opened, max_burst> opened;  // of the items of open
  // Copies in key order for bursts of several keys.
  std::array<aead::SealItem, max_burst> seal_sorted;
  std::array<aead::OpenItem, max_burst> open_sorted;
};

// Copies the items so that those of one key stand together, in their order within a key; order[i]: which item of items
// the i-th copy is. One look at each: a small table leads from a key to its items.
template <typename Item>
[[gnu::noinline]] void sort_by_key(std::span<const Item> items, std::array<Item, max_burst>& sorted,
                                   std::array<std::uint8_t, max_burst>& order) {
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
      sorted[at++] = items[i];
    }
}

// Calls process on the items, unless they are in_order so that items of one key stand together, and brings ok back.
template <typename Item, typename Process>
inline void by_key(std::span<Item> items, bool in_order, std::array<Item, max_burst>& sorted, Process process) {
  if (in_order) [[likely]] {
    process(items);
    return;
  }
  std::array<std::uint8_t, max_burst> order;
  sort_by_key<Item>(items, sorted, order);
  process(std::span<Item>(sorted.data(), items.size()));
  for (std::size_t i = 0; i < items.size(); ++i)
    items[order[i]].ok = sorted[i].ok;
}

}  // namespace sealcast::dataplane
