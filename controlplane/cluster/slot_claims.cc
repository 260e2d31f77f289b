#include "controlplane/cluster/slot_claims.h"

#include <algorithm>
#include <utility>

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Range;
using etcd::Transaction;

namespace {

constexpr std::uint32_t most_claimed = 32;  // claimed at once for one epoch
constexpr std::uint32_t low_water = 8;      // fewer slots left of an epoch: the next block is claimed

// How an epoch's slots are cut into blocks.
struct Cut {
  explicit Cut(std::uint8_t slot_bits) : size(block_slots(slot_bits)), slots(epoch_slots(slot_bits)) {}
  std::uint32_t blocks() const { return (slots + size - 1) / size; }
  std::uint32_t first_of(std::uint32_t block) const { return std::min(block * size, slots); }

  std::uint32_t size;   // slots of a block; the last one may have fewer
  std::uint32_t slots;  // of the epoch
};

}  // namespace

SlotClaims::Progress& SlotClaims::progress(const Epoch& which, const ClusterView::Epoch& epoch) {
  Progress& progress = progress_[which];
  progress.next_block = std::max(progress.next_block, static_cast<std::uint32_t>(epoch.value.assigned.size()));
  return progress;
}

void SlotClaims::take_assigned(const Epoch& which, const ClusterView::Epoch& epoch) {
  const Cut cut(epoch.value.slot_bits);
  const auto& list = epoch.value.assigned;
  const auto own = std::find(list.begin(), list.end(), view_.self().incarnation);
  const auto block = static_cast<std::uint32_t>(own - list.begin());
  if (own != list.end() && block < cut.blocks()) book_.add(which, cut.first_of(block), cut.first_of(block + 1));
  book_.claimed_to(which, cut.first_of(static_cast<std::uint32_t>(list.size())));
}

bool SlotClaims::ready(const Epoch& which, std::uint32_t needed) {
  const ClusterView::Epoch* epoch = view_.epoch(which.first, which.second);
  if (!epoch) return false;
  Progress& so_far = progress(which, *epoch);
  if (!std::exchange(so_far.assigned, true)) take_assigned(which, *epoch);
  const Cut cut(epoch->value.slot_bits);
  needed = std::min(needed, cut.slots / 2);
  if (book_.left(which) >= needed || so_far.next_block >= cut.blocks()) return true;
  want(which, needed);
  return false;
}

Result<store::Issue> SlotClaims::issue(const store::Holder& holder) {
  const Epoch which{holder.group_id, holder.epoch};
  const auto taken = book_.take(which, holder.slot_count);
  if (!taken || low(which)) want(which, std::max<std::uint32_t>(holder.slot_count, 1));
  if (!taken)
    return fail("group \"" + holder.group_id + "\": expected " + std::to_string(holder.slot_count) +
                " slots in a row, got " + std::to_string(book_.left(which)) + " claimed; more are on their way");
  return store::Issue{taken->first, taken->used_to};
}

void SlotClaims::want(const Epoch& epoch, std::uint32_t slots) {
  std::uint32_t& wanted = wanted_[epoch];
  wanted = std::max(wanted, slots);
}

void SlotClaims::refill(const Epoch& which) {
  const ClusterView::Epoch* epoch = view_.epoch(which.first, which.second);
  if (epoch && low(which)) want(which, block_slots(epoch->value.slot_bits));
}

bool SlotClaims::low(const Epoch& epoch) const {
  return book_.left(epoch) < low_water;
}

std::optional<Transaction> SlotClaims::next(std::int64_t unix_ms) {
  if (!under_way_.empty() || wanted_.empty()) return std::nullopt;
  Transaction ask;
  ask.compares = {view_.still_here(), view_.same_generation()};
  for (auto it = wanted_.begin(); it != wanted_.end() && ask.compares.size() < max_operations / 2;) {
    const auto here = it++;
    const auto& [which, slots] = *here;
    const auto& [id, number] = which;
    const ClusterView::Epoch* epoch = view_.epoch(id, number);
    const Cut cut(epoch ? epoch->value.slot_bits : 16);
    if (!epoch || !view_.usable(*epoch, unix_ms) || progress(which, *epoch).next_block >= cut.blocks()) {
      wanted_.erase(here);
      continue;
    }
    const Progress& so_far = progress(which, *epoch);
    const std::uint32_t there_are = cut.blocks() - so_far.next_block;
    // Twice as many as the last time: a crowd that comes all at once is not kept waiting for each.
    const std::uint32_t grown = std::min(std::max(2U, 2 * so_far.claimed), std::max(1U, there_are / 8));
    const std::uint32_t blocks =
        std::min({std::max({(slots + cut.size - 1) / cut.size, grown, 1U}), most_claimed, there_are});
    const Keys& keys = view_.keys();
    ask.compares.push_back({Compare::What::modified, keys.epoch(id, number), epoch->modified});
    for (std::uint32_t block = so_far.next_block; block < so_far.next_block + blocks; ++block) {
      ask.compares.push_back({Compare::What::created, keys.slot(id, number, block), 0});
      ask.success.push_back(Put{keys.slot(id, number, block), view_.self().incarnation});
    }
    const std::string all = keys.slots(id, number);
    ask.failure.push_back(Range{all, etcd::end_of(all), 0, 0, true});
    under_way_.push_back({which, so_far.next_block, blocks});
  }
  if (under_way_.empty()) return std::nullopt;
  return ask;
}

std::vector<std::string> SlotClaims::answered(const etcd::Reply* reply) {
  std::vector<std::string> groups;
  const auto claims = std::exchange(under_way_, {});
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Claim& claim = claims[i];
    if (reply && reply->succeeded) wanted_.erase(claim.epoch);
    const ClusterView::Epoch* epoch = view_.epoch(claim.epoch.first, claim.epoch.second);
    if (!epoch) continue;
    Progress& so_far = progress(claim.epoch, *epoch);
    const Cut cut(epoch->value.slot_bits);
    if (!reply) {
      // It may have been done: then those blocks are burnt, and found taken the next time.
      so_far.next_block += claim.blocks;
    } else if (reply->succeeded) {
      so_far.claimed = claim.blocks;
      so_far.next_block = claim.first + claim.blocks;
      book_.add(claim.epoch, cut.first_of(claim.first), cut.first_of(claim.first + claim.blocks));
      groups.push_back(claim.epoch.first);
    } else if (i < reply->ranges.size() && !reply->ranges[i].entries.empty()) {
      const auto block = parse_block(reply->ranges[i].entries.front().key);
      if (!block) continue;
      so_far.next_block = std::max(so_far.next_block, *block + 1);
      book_.claimed_to(claim.epoch, cut.first_of(*block + 1));
    }
  }
  return groups;
}

void SlotClaims::forget(const Epoch& epoch) {
  book_.forget(epoch);
  progress_.erase(epoch);
}

void SlotClaims::clear() {
  book_.clear();
  progress_.clear();
  wanted_.clear();
  under_way_.clear();
}

}  // namespace sealcast::cluster
