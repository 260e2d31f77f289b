#include "dataplane/sa/snapshot_pair.h"

#include <algorithm>

namespace sealcast::dataplane {
namespace {

auto place_of(std::vector<SpiRange>& ranges, std::uint32_t first) {
  return std::lower_bound(ranges.begin(), ranges.end(), first,
                          [](const SpiRange& range, std::uint32_t value) { return range.first < value; });
}

}  // namespace

SnapshotPair::SnapshotPair(std::uint32_t workers) {
  for (Side& side : sides_) {
    side.policy = std::make_shared<Policy>();
    side.snapshot.policy = side.policy;
    side.snapshot.workers = workers;
  }
}

void SnapshotPair::apply(Change change) {
  change(sides_[1 - current_]);
  pending_.push_back(std::move(change));
}

void SnapshotPair::catch_up() {
  for (const Change& change : pending_)
    change(sides_[1 - current_]);
  pending_.clear();
}

void SnapshotPair::set(GroupPicture picture) {
  const auto shared = std::make_shared<const GroupPicture>(std::move(picture));
  apply([shared](Side& side) { put(side, shared); });
}

void SnapshotPair::protect(const std::vector<Selector>& selectors, std::uint32_t group) {
  apply([selectors, group](Side& side) {
    for (const Selector& selector : selectors)
      side.policy->add(selector, group);
    put(side, std::make_shared<const GroupPicture>(GroupPicture{group, {}, {}, {}}));
  });
}

void SnapshotPair::unprotect(std::vector<std::uint32_t> groups, std::vector<std::pair<Selector, std::uint32_t>> left) {
  const auto shared = std::make_shared<const std::vector<std::pair<Selector, std::uint32_t>>>(std::move(left));
  apply([shared, groups = std::move(groups)](Side& side) {
    side.policy = std::make_shared<Policy>();
    for (const auto& [selector, index] : *shared)
      side.policy->add(selector, index);
    side.snapshot.policy = side.policy;
    for (const std::uint32_t group : groups)
      put(side, std::make_shared<const GroupPicture>(GroupPicture{group, {}, {}, {}}));
  });
}

void SnapshotPair::change(std::function<void(Snapshot&)> how) {
  apply([how = std::move(how)](Side& side) { how(side.snapshot); });
}

void SnapshotPair::put(Side& side, const std::shared_ptr<const GroupPicture>& picture) {
  Snapshot& snapshot = side.snapshot;
  if (side.applied.size() <= picture->group) {
    side.applied.resize(picture->group + 1);
    snapshot.outbound.resize(side.applied.size() * snapshot.workers, nullptr);
  }
  auto& applied = side.applied[picture->group];
  if (applied != nullptr) {
    for (const SpiTable::Entry& entry : applied->spis)
      snapshot.spis.erase(entry.spi);
    for (const SpiRange& range : applied->ranges)
      snapshot.ranges.erase(place_of(snapshot.ranges, range.first));
  }
  for (const SpiTable::Entry& entry : picture->spis)
    snapshot.spis.insert(entry);
  for (const SpiRange& range : picture->ranges)
    snapshot.ranges.insert(place_of(snapshot.ranges, range.first), range);
  for (std::uint32_t w = 0; w < snapshot.workers; ++w)
    snapshot.outbound[picture->group * snapshot.workers + w] =
        w < picture->outbound.size() ? picture->outbound[w] : nullptr;
  applied = picture;
}

}  // namespace sealcast::dataplane
