#include "dataplane/sa/snapshot.h"

#include <algorithm>
#include <bit>

namespace sealcast::dataplane {

void SpiTable::insert(const Entry& entry) {
  if (2 * (size_ + 1) > slots_.size()) {
    std::vector<Entry> former(slots_.size() * 2);
    former.swap(slots_);
    mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
    shift_ = static_cast<std::uint32_t>(32 - std::countr_zero(slots_.size()));
    size_ = 0;
    for (const Entry& one : former)
      if (one.spi != 0) insert(one);
  }
  std::uint32_t i = index(entry.spi);
  while (slots_[i].spi != 0 && slots_[i].spi != entry.spi)
    i = (i + 1) & mask_;
  if (slots_[i].spi == 0) ++size_;
  slots_[i] = entry;
}

void SpiTable::erase(std::uint32_t spi) {
  std::uint32_t hole = index(spi);
  while (slots_[hole].spi != spi) {
    if (slots_[hole].spi == 0) return;
    hole = (hole + 1) & mask_;
  }
  --size_;
  // The following entries of the same run move up, except in front of their own place.
  for (std::uint32_t i = (hole + 1) & mask_; slots_[i].spi != 0; i = (i + 1) & mask_) {
    const std::uint32_t from_its_place = (i - index(slots_[i].spi)) & mask_;
    if (from_its_place < ((i - hole) & mask_)) continue;
    slots_[hole] = slots_[i];
    hole = i;
  }
  slots_[hole] = Entry{};
}

const SpiRange* Snapshot::range_of(std::uint32_t spi) const noexcept {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), spi,
                                      [](std::uint32_t value, const SpiRange& range) { return value < range.first; });
  if (after == ranges.begin()) return nullptr;
  const SpiRange& candidate = *(after - 1);
  return spi <= candidate.last ? &candidate : nullptr;
}

}  // namespace sealcast::dataplane
