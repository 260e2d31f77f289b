#include "dataplane/snapshot.h"

#include <algorithm>
#include <bit>

namespace sealcast::dataplane {

void SpiTable::build(const std::vector<Entry>& entries) {
  const std::size_t size = std::bit_ceil(2 * entries.size() + 2);
  slots_.assign(size, Entry{});
  mask_ = static_cast<std::uint32_t>(size - 1);
  shift_ = static_cast<std::uint32_t>(32 - std::countr_zero(size));
  for (const Entry& entry : entries) {
    std::uint32_t i = index(entry.spi);
    while (slots_[i].spi != 0)
      i = (i + 1) & mask_;
    slots_[i] = entry;
  }
}

const SpiRange* Snapshot::range_of(std::uint32_t spi) const noexcept {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), spi,
                                      [](std::uint32_t value, const SpiRange& range) { return value < range.first; });
  if (after == ranges.begin()) return nullptr;
  const SpiRange& candidate = *(after - 1);
  return spi <= candidate.last ? &candidate : nullptr;
}

}  // namespace sealcast::dataplane
