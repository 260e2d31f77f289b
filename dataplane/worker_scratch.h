// What a worker keeps between the stages of one burst. Inside the worker's own files only.
#pragma once

#include <algorithm>
#include <array>

#include "dataplane/worker.h"

namespace sealcast::dataplane {

template <typename Item, typename Sa>
struct StageItems {
  std::array<Item, max_burst> items;
  std::array<Sa*, max_burst> sas{};
  std::array<std::uint8_t, max_burst> frames{};  // which frame of the burst
  std::uint32_t size = 0;

  void clear() { size = 0; }
};

struct alignas(cache_line) Worker::Scratch {
  StageItems<aead::SealItem, SealingSa> seal;
  StageItems<aead::OpenItem, OpeningSa> open;
  std::uint64_t open_tsc = 0;                                  // of the burst
  std::array<std::uint64_t, max_burst> open_number{};          // the IV as number
  std::array<std::uint32_t, max_burst> open_ip_offset{};       // of the outer IP header
  std::array<std::uint32_t, max_burst> open_header_bytes{};    // of the outer IP header
  std::array<std::uint16_t, max_burst> open_protocol_field{};  // where it names ESP
  std::array<std::uint8_t, max_burst> open_family{};           // of the outer IP header
  // Copies in key order for bursts of several keys.
  std::array<aead::SealItem, max_burst> seal_sorted;
  std::array<aead::OpenItem, max_burst> open_sorted;
};

// Calls process on the items so that items of one key stand together, in their order within a key, and brings ok back.
template <typename Item, typename Process>
void by_key(std::span<Item> items, std::array<Item, max_burst>& sorted, Process process) {
  const bool one_key =
      std::all_of(items.begin(), items.end(), [&](const Item& item) { return item.key == items[0].key; });
  if (one_key) {
    process(items);
    return;
  }
  std::array<std::uint8_t, max_burst> order;
  for (std::size_t i = 0; i < items.size(); ++i)
    order[i] = static_cast<std::uint8_t>(i);
  std::sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(items.size()),
            [&](std::uint8_t a, std::uint8_t b) {
              return items[a].key != items[b].key ? std::less<>{}(items[a].key, items[b].key) : a < b;
            });
  for (std::size_t i = 0; i < items.size(); ++i)
    sorted[i] = items[order[i]];
  process(std::span<Item>(sorted.data(), items.size()));
  for (std::size_t i = 0; i < items.size(); ++i)
    items[order[i]].ok = sorted[i].ok;
}

}  // namespace sealcast::dataplane
