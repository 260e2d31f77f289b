#include "controlplane/cluster/slot_book.h"

namespace sealcast::cluster {

void SlotBook::add(const Epoch& epoch, std::uint32_t first, std::uint32_t end) {
  Page& page = pages_[epoch];
  page.used_to = std::max(page.used_to, end);
  if (!page.runs.empty() && page.runs.back().end == first)
    page.runs.back().end = end;
  else
    page.runs.push_back({first, end});
}

void SlotBook::claimed_to(const Epoch& epoch, std::uint32_t end) {
  std::uint32_t& used_to = pages_[epoch].used_to;
  used_to = std::max(used_to, end);
}

std::optional<SlotBook::Taken> SlotBook::take(const Epoch& epoch, std::uint32_t count) {
  const auto page = pages_.find(epoch);
  if (page == pages_.end()) return std::nullopt;
  const auto used_to = static_cast<std::uint16_t>(page->second.used_to);
  if (count == 0) return Taken{0, used_to};
  for (Run& run : page->second.runs) {
    if (run.end - run.next < count) continue;
    run.next += count;
    return Taken{static_cast<std::uint16_t>(run.next - count), used_to};
  }
  return std::nullopt;
}

std::uint32_t SlotBook::left(const Epoch& epoch) const {
  const auto page = pages_.find(epoch);
  std::uint32_t left = 0;
  if (page != pages_.end())
    for (const Run& run : page->second.runs)
      left += run.end - run.next;
  return left;
}

std::uint32_t SlotBook::used_to(const Epoch& epoch) const {
  const auto page = pages_.find(epoch);
  return page == pages_.end() ? 0 : page->second.used_to;
}

}  // namespace sealcast::cluster
