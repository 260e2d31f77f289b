// The slots of this key server: claimed in etcd before they are used, in blocks, and never given back (H9).
#include <algorithm>

#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Range;
using etcd::Transaction;

namespace {

constexpr std::uint32_t most_blocks = 32;  // claimed at once for one epoch

}  // namespace

Result<store::Issue> Node::issue(const store::Holder& holder) {
  const Moment now = host_.now();
  if (!fresh(now.steady)) return fail("cut off from etcd: nothing is handed out until it answers");
  const SlotBook::Epoch which{holder.group_id, holder.epoch};
  const auto group = groups_.find(holder.group_id);
  const auto epoch =
      group == groups_.end() ? decltype(group->second.epochs.begin()){} : group->second.epochs.find(holder.epoch);
  if (group == groups_.end() || epoch == group->second.epochs.end() || !usable(epoch->second, now))
    return fail("group \"" + holder.group_id + "\", epoch " + std::to_string(holder.epoch) + ": no such epoch");
  const auto taken = slots_.take(which, holder.slot_count);
  if (!taken || slots_.left(which) < low_water) {
    want_slots(holder.group_id, holder.epoch, std::max<std::uint32_t>(holder.slot_count, 1));
    claim();
  }
  if (!taken)
    return fail("group \"" + holder.group_id + "\": expected " + std::to_string(holder.slot_count) +
                " slots in a row, got " + std::to_string(slots_.left(which)) + " claimed; more are on their way");
  return store::Issue{taken->first, taken->used_to};
}

bool Node::has_slots(const std::string& group_id, std::uint64_t epoch, std::uint32_t waiting) {
  if (slots_.left({group_id, epoch}) > 0) return true;
  want_slots(group_id, epoch, waiting + 1);
  claim();
  return !wanted_slots_.count({group_id, epoch});
}

void Node::want_slots(const std::string& id, std::uint64_t number, std::uint32_t slots) {
  std::uint32_t& wanted = wanted_slots_[{id, number}];
  wanted = std::max(wanted, slots);
}

// Several epochs' blocks in one transaction: each must not exist, and each epoch be as it was read.
void Node::claim() {
  if (!session_ || session_->claiming || wanted_slots_.empty()) return;
  const Moment now = host_.now();
  Transaction ask;
  ask.compares = {still_here(), same_generation()};
  claims_.clear();
  for (auto it = wanted_slots_.begin(); it != wanted_slots_.end() && ask.compares.size() < max_operations / 2;) {
    const auto here = it++;
    const auto& [id, number] = here->first;
    Group& group = groups_[id];
    const auto found = group.epochs.find(number);
    const std::uint32_t size = found == group.epochs.end() ? 1 : block_slots(found->second.value.slot_bits);
    if (found == group.epochs.end() || !usable(found->second, now) ||
        found->second.next_block * size >= epoch_slots(found->second.value.slot_bits)) {
      wanted_slots_.erase(here);
      continue;
    }
    Epoch& epoch = found->second;
    const std::uint32_t there_are = (epoch_slots(epoch.value.slot_bits) + size - 1) / size - epoch.next_block;
    // Twice as many as the last time: a crowd that comes all at once is not kept waiting for each.
    const std::uint32_t grown = std::min(std::max(2U, 2 * epoch.claimed), std::max(1U, there_are / 8));
    const std::uint32_t blocks =
        std::min({std::max({(here->second + size - 1) / size, grown, 1U}), most_blocks, there_are});
    ask.compares.push_back({Compare::What::modified, keys_.epoch(id, number), epoch.modified});
    for (std::uint32_t block = epoch.next_block; block < epoch.next_block + blocks; ++block) {
      ask.compares.push_back({Compare::What::created, keys_.slot(id, number, block), 0});
      ask.success.push_back(Put{keys_.slot(id, number, block), session_->incarnation});
    }
    const std::string all = keys_.slots(id, number);
    ask.failure.push_back(Range{all, etcd::end_of(all), 0, 0, true});
    claims_.push_back({here->first, epoch.next_block, blocks});
  }
  if (claims_.empty()) return;
  session_->claiming = true;
  etcd_.transact(std::move(ask), mine(&Node::on_claimed, now.steady));
}

// An answer that never came may have been a yes: then those blocks are burnt, and found taken the next time.
void Node::on_claimed(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->claiming = false;
  const auto claims = std::exchange(claims_, {});
  if (!reply) {
    for (const Claim& claim : claims) {
      auto& epochs = groups_[claim.epoch.first].epochs;
      if (const auto epoch = epochs.find(claim.epoch.second); epoch != epochs.end())
        epoch->second.next_block += claim.blocks;
    }
    return;
  }
  if (!check_revision(*reply)) return;
  if (reply->succeeded) {
    save_memory();  // before any of them is used
    for (const Claim& claim : claims) {
      Group& group = groups_[claim.epoch.first];
      const auto found = group.epochs.find(claim.epoch.second);
      wanted_slots_.erase(claim.epoch);
      if (found == group.epochs.end()) continue;
      Epoch& epoch = found->second;
      const std::uint32_t size = block_slots(epoch.value.slot_bits);
      epoch.claimed = claim.blocks;
      epoch.next_block = claim.first + claim.blocks;
      slots_.add(claim.epoch, claim.first * size,
                 std::min((claim.first + claim.blocks) * size, epoch_slots(epoch.value.slot_bits)));
      touched_.insert(claim.epoch.first);
    }
    return settle();
  }
  for (std::size_t i = 0; i < claims.size() && i < reply->ranges.size(); ++i) {
    if (reply->ranges[i].entries.empty()) continue;
    const auto block = parse_block(reply->ranges[i].entries.front().key);
    Group& group = groups_[claims[i].epoch.first];
    const auto found = group.epochs.find(claims[i].epoch.second);
    if (!block || found == group.epochs.end()) continue;
    found->second.next_block = std::max(found->second.next_block, *block + 1);
    slots_.claimed_to(claims[i].epoch, std::min((*block + 1) * block_slots(found->second.value.slot_bits),
                                                epoch_slots(found->second.value.slot_bits)));
  }
}

}  // namespace sealcast::cluster
