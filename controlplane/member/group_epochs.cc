#include "controlplane/member/group_epochs.h"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

namespace sealcast::member {

using namespace std::chrono_literals;
using handshake::GroupKeying;

namespace {

constexpr std::uint64_t few_untimely = 3;  // stale or early packets within a second: fewer say nothing about the clock

}  // namespace

GroupEpochs::GroupEpochs(const config::MemberGroup& group, DataPlaneControl& data_plane)
    : group_(group), plane_(data_plane) {}

SaKey GroupEpochs::derive(const Epoch& epoch, std::uint32_t slot) const {
  return handshake::derive_sa_key(epoch.policy.cipher_suite, *epoch.master, group_.id, epoch.number,
                                  epoch.policy.spi_prefix | slot);
}

// The first slots of the run, one a worker; none where they are too few, since the data plane takes one for every
// worker or none at all: what is in use stays, and these are left for good. One that was ours before was handed out
// twice: sealing under it would repeat nonces (H9). They need not ascend: each key server of a cluster has its own.
Result<std::vector<OutboundSa>> GroupEpochs::take_own(Epoch& epoch, std::uint32_t first, std::uint32_t count) const {
  std::vector<OutboundSa> out;
  if (!group_.sends() || count == 0) return out;
  if (first + count > epoch.capacity())
    return fail(
        fmt::format("slots {}-{} do not fit into {} slot bits", first, first + count - 1, epoch.policy.spi_slot_bits));
  for (std::uint32_t slot = first; slot < first + count; ++slot)
    if (epoch.once_own[slot])
      return fail(fmt::format("slot {} of epoch {} came a second time: expected slots never handed out before (H9)",
                              slot, epoch.number));
  if (count >= plane_.workers()) {
    epoch.own.clear();
    for (std::uint32_t slot = first; slot < first + plane_.workers(); ++slot) {
      epoch.own.push_back(slot);
      out.push_back({derive(epoch, slot)});
    }
  }
  for (std::uint32_t slot = first; slot < first + count; ++slot) {
    take(epoch, slot);
    epoch.once_own[slot] = true;
  }
  epoch.real_end = std::max(epoch.real_end, first + count);
  return out;
}

// Keys of slots below end that are not taken yet, the lowest first. A pure sender opens nothing.
std::vector<InboundSa> GroupEpochs::take_inbound(Epoch& epoch, std::uint32_t end, std::uint32_t most) const {
  std::vector<InboundSa> in;
  if (group_.role == config::MemberRole::sender) return in;
  end = std::min(end, epoch.capacity());
  for (std::uint32_t& slot = epoch.derived_end; slot < end; ++slot) {
    if (epoch.taken[slot]) continue;
    if (in.size() == most) break;
    take(epoch, slot);
    in.push_back({derive(epoch, slot)});
  }
  return in;
}

// given: slots that came with the keying; 0 where the key server lets this member only receive.
// may_send: it lets it send, but in an epoch of which it gives out no more slots: a restarted sender has none then.
GroupEpochs::Own GroupEpochs::own_of(const Epoch& epoch, std::uint32_t given, bool may_send) const {
  Own own;
  own.slots = static_cast<std::uint32_t>(epoch.own.size());
  // All of them new: handing an SA in use to the data plane again could restart its counter (H9).
  if (group_.sends() && given > 0 && given < plane_.workers()) own.wanted = plane_.workers();
  if (group_.sends() && given == 0 && may_send && epoch.own.empty()) own.wanted = plane_.workers();
  return own;
}

Result<GroupEpochs::Own> GroupEpochs::apply(const GroupKeying& keying, const handshake::GroupMaster& master,
                                            const handshake::EpochId& epoch_id, SteadyTime now) {
  lease_ = std::chrono::seconds(keying.policy.authority_lease_s);
  lease_until_ = proven_ + lease_;
  const auto held = epochs_.find(keying.epoch);
  auto own = held == epochs_.end() ? install(keying, master, epoch_id, now) : refresh(held->second, keying, now);
  // The lease counts for every epoch of the group.
  if (own) static_cast<void>(plane_.extend_lease(group_.id, lease_until_));
  return own;
}

Result<GroupEpochs::Own> GroupEpochs::install(const GroupKeying& keying, const handshake::GroupMaster& master,
                                              const handshake::EpochId& epoch_id, SteadyTime now) {
  Epoch epoch;
  epoch.number = keying.epoch;
  epoch.id = epoch_id;
  SEALCAST_TRY_ASSIGN(epoch.vault, LockedArena::create(sizeof(handshake::GroupMaster)));
  // Never destroyed by name: the arena wipes what it holds.
  epoch.master = new (epoch.vault.data()) handshake::GroupMaster(master.clone());
  epoch.policy = keying.policy;
  epoch.zero = keying.zero;
  epoch.expires = now + std::chrono::milliseconds(keying.remaining_ms);
  epoch.taken.assign(epoch.capacity(), false);
  epoch.once_own.assign(epoch.capacity(), false);
  epoch.real_end = keying.policy.slots_used;

  // The oldest were never activated, or are on their way out. The active one stays.
  while (epochs_.size() >= max_held_epochs)
    drop(std::find_if(epochs_.begin(), epochs_.end(), [](const auto& held) { return !held.second.active; }));

  GroupEpoch value;
  SEALCAST_TRY_ASSIGN(value.outbound, take_own(epoch, keying.assignment.first_slot, keying.assignment.slot_count));
  // Every slot that may be in use, before the epoch is acknowledged; the window above them follows in the background.
  value.inbound = take_inbound(epoch, epoch.real_end, epoch.real_end);
  value.group_id = group_.id;
  value.epoch = epoch.number;
  value.selectors = epoch.policy.selectors;
  value.mode = epoch.policy.esp_mode;
  value.numbers = epoch.policy.numbers;
  value.freshness = group_.freshness;
  value.replay_window = epoch.policy.replay_window;
  value.spi_prefix = epoch.policy.spi_prefix;
  value.spi_slot_bits = epoch.policy.spi_slot_bits;
  value.active = false;  // activate() below tells old from new
  value.expires = epoch.expires;
  value.lease_until = lease_until_;
  value.in_use = keying.state == handshake::EpochState::active;
  value.clock = clocks_.of(epoch.zero, now, lease_);
  SEALCAST_TRY(plane_.install(std::move(value)));
  Epoch& kept = epochs_.emplace(keying.epoch, std::move(epoch)).first->second;
  if (keying.state == handshake::EpochState::active) {
    SEALCAST_TRY(activate(keying.epoch, now));
  }
  return own_of(kept, keying.assignment.slot_count, (keying.assignment.roles & handshake::sender) != 0);
}

Result<GroupEpochs::Own> GroupEpochs::refresh(Epoch& epoch, const GroupKeying& keying, SteadyTime now) {
  epoch.real_end = std::max<std::uint32_t>(epoch.real_end, keying.policy.slots_used);
  SEALCAST_TRY_ASSIGN(auto own, take_own(epoch, keying.assignment.first_slot, keying.assignment.slot_count));
  if (!own.empty()) {
    SEALCAST_TRY(plane_.replace_outbound(group_.id, epoch.number, std::move(own)));
  }
  auto in = take_inbound(epoch, epoch.real_end, epoch.real_end);
  if (!in.empty()) {
    SEALCAST_TRY(plane_.add_inbound(group_.id, epoch.number, std::move(in)));
  }
  if (keying.state == handshake::EpochState::active && !epoch.active) {
    SEALCAST_TRY(activate(epoch.number, now));
  }
  return own_of(epoch, keying.assignment.slot_count, (keying.assignment.roles & handshake::sender) != 0);
}

clock::ClockEstimates::Outcome GroupEpochs::clock_measured(const handshake::ClockReading& reading, SteadyTime asked,
                                                           SteadyTime now) {
  const auto outcome = clocks_.measured(reading, asked, now);
  if (outcome == clock::ClockEstimates::Outcome::taken || outcome == clock::ClockEstimates::Outcome::begun_anew)
    for (const auto& [number, epoch] : epochs_)
      if (const auto clock = clocks_.of(epoch.zero, now, lease_))
        static_cast<void>(plane_.set_clock(group_.id, number, *clock));
  return outcome;
}

std::optional<EpochClock> GroupEpochs::clock(std::uint64_t epoch, SteadyTime now) const {
  const auto found = epochs_.find(epoch);
  return found == epochs_.end() ? std::nullopt : clocks_.of(found->second.zero, now, lease_);
}

Result<GroupEpochs::Own> GroupEpochs::grant(std::uint64_t number, std::uint32_t first_slot, std::uint32_t count,
                                            SteadyTime) {
  const auto found = epochs_.find(number);
  if (found == epochs_.end()) return fail(fmt::format("SlotGrant: epoch {} is not held", number));
  Epoch& epoch = found->second;
  if (count < plane_.workers()) {  // fewer than asked for: keep the slots there are
    epoch.refused = true;
    return Own{static_cast<std::uint32_t>(epoch.own.size()), 0};
  }
  SEALCAST_TRY_ASSIGN(auto own, take_own(epoch, first_slot, count));
  SEALCAST_TRY(plane_.replace_outbound(group_.id, number, std::move(own)));
  return own_of(epoch, count);
}

std::vector<std::uint64_t> GroupEpochs::refused_slots() {
  std::vector<std::uint64_t> out;
  for (auto& [number, epoch] : epochs_)
    if (std::exchange(epoch.refused, false) && epoch.own.empty() && !epoch.retire_at) out.push_back(number);
  return out;
}

Result<bool> GroupEpochs::activate(std::uint64_t number, SteadyTime now) {
  const auto found = epochs_.find(number);
  if (found == epochs_.end()) return fail(fmt::format("Activate: epoch {} is not held", number));
  if (found->second.active) return false;
  for (const auto& [other, epoch] : epochs_)
    if (epoch.active && other > number)
      return fail(fmt::format("Activate: expected an epoch above the active {}, got {} (H5)", other, number));
  SEALCAST_TRY(plane_.activate(group_.id, number));
  become_active(found->second, now);
  return true;
}

void GroupEpochs::become_active(Epoch& epoch, SteadyTime now) {
  const auto leave_at = now + std::chrono::milliseconds(epoch.policy.deactivation_delay_ms);
  for (auto& [number, other] : epochs_) {
    if (number >= epoch.number) continue;
    other.active = false;
    other.own.clear();
    if (!other.retire_at) other.retire_at = leave_at;
  }
  epoch.active = true;
  epoch.retire_at.reset();
}

void GroupEpochs::drop(std::map<std::uint64_t, Epoch>::iterator epoch) {
  static_cast<void>(plane_.retire(group_.id, epoch->first));
  epochs_.erase(epoch);
}

Result<void> GroupEpochs::retire(std::uint64_t number) {
  const auto found = epochs_.find(number);
  if (found == epochs_.end()) return {};  // gone by itself
  drop(found);
  return {};
}

void GroupEpochs::retire_all() {
  while (!epochs_.empty())
    drop(epochs_.begin());
}

void GroupEpochs::proven(SteadyTime asked) {
  proven_ = std::max(proven_, asked);
  const auto until = proven_ + lease_;
  // The data plane need not hear of every answer of a burst.
  if (epochs_.empty() || until < lease_until_ + 100ms) return;
  lease_until_ = until;
  static_cast<void>(plane_.extend_lease(group_.id, until));
}

void GroupEpochs::joined_anew(SteadyTime now) {
  if (now < lease_until_) return;
  for (auto& [number, epoch] : epochs_) {
    if (epoch.own.empty()) continue;
    epoch.own.clear();
    static_cast<void>(plane_.replace_outbound(group_.id, number, {}));
  }
}

bool GroupEpochs::expire(SteadyTime now) {
  bool active_expired = false;
  for (auto it = epochs_.begin(); it != epochs_.end();) {
    const auto here = it++;
    const bool expired = here->second.expires <= now;
    if (!expired && !(here->second.retire_at && *here->second.retire_at <= now)) continue;
    active_expired = active_expired || (expired && here->second.active);
    drop(here);
  }
  return active_expired;
}

// A slot under which something was opened is real. Only that moves the window: what can be forged does not.
void GroupEpochs::learn_real_slots(Epoch& epoch, SteadyTime now) {
  if (now < epoch.next_look) return;
  epoch.next_look = now + 1s;
  std::uint64_t untimely = 0;
  for (const SaStatistics& sa : plane_.statistics_of_group(group_.id)) {
    if (sa.outbound || sa.epoch != epoch.number) continue;
    for (const DropCount& drop : sa.drops)
      if (drop.reason == "stale" || drop.reason == "early") untimely += drop.packets;
    if (sa.packets == 0) continue;
    epoch.real_end = std::max(epoch.real_end, (sa.spi & (epoch.capacity() - 1)) + 1);
  }
  clock_doubted_ |= untimely >= epoch.untimely + few_untimely;
  epoch.untimely = untimely;
}

std::uint32_t GroupEpochs::look_ahead(SteadyTime now, std::uint32_t budget) {
  std::uint32_t derived = 0;
  // The newest first: it is the one that senders are about to use.
  for (auto it = epochs_.rbegin(); it != epochs_.rend() && derived < budget; ++it) {
    Epoch& epoch = it->second;
    learn_real_slots(epoch, now);
    auto in = take_inbound(epoch, epoch.real_end + look_ahead_slots, std::min(look_ahead_step, budget - derived));
    if (in.empty()) continue;
    derived += static_cast<std::uint32_t>(in.size());
    static_cast<void>(plane_.add_inbound(group_.id, epoch.number, std::move(in)));
  }
  return derived;
}

void GroupEpochs::slots_wanted(const std::vector<SlotWanted>& wanted, SteadyTime now) {
  std::uint32_t budget = derivations_per_poll;
  std::map<std::uint64_t, std::vector<InboundSa>> found;
  for (const SlotWanted& want : wanted) {
    if (want.group_id != group_.id || group_.role == config::MemberRole::sender) continue;
    const auto held = epochs_.find(want.epoch);
    if (held == epochs_.end()) continue;
    Epoch& epoch = held->second;
    if (want.slot >= epoch.capacity() || epoch.taken[want.slot]) continue;
    if (want.slot >= epoch.real_end + wanted_window) learn_real_slots(epoch, now);
    if (want.slot >= epoch.real_end + wanted_window || budget == 0) continue;
    --budget;
    take(epoch, want.slot);
    found[want.epoch].push_back({derive(epoch, want.slot)});
  }
  for (auto& [number, slots] : found)
    static_cast<void>(plane_.add_inbound(group_.id, number, std::move(slots)));
}

void GroupEpochs::forget_own_slots() {
  for (auto& [number, epoch] : epochs_)
    epoch.own.clear();
}

GroupEpochs::View GroupEpochs::view_of(const Epoch& epoch) {
  View view;
  view.epoch = epoch.number;
  view.epoch_id = epoch.id;
  view.active = epoch.active;
  view.expires = epoch.expires;
  for (const std::uint32_t slot : epoch.own)
    view.own_spis.push_back(epoch.policy.spi_prefix | slot);
  view.derived = epoch.taken_count;
  view.slots_known = epoch.real_end;
  return view;
}

std::vector<GroupEpochs::View> GroupEpochs::views() const {
  std::vector<View> out;
  for (auto it = epochs_.rbegin(); it != epochs_.rend(); ++it)
    out.push_back(view_of(it->second));
  return out;
}

std::optional<GroupEpochs::View> GroupEpochs::active() const {
  for (auto it = epochs_.rbegin(); it != epochs_.rend(); ++it)
    if (it->second.active) return view_of(it->second);
  return std::nullopt;
}

std::optional<handshake::GroupPolicy> GroupEpochs::policy(std::uint64_t number) const {
  const auto found = epochs_.find(number);
  if (found == epochs_.end()) return std::nullopt;
  handshake::GroupPolicy policy = found->second.policy;
  policy.slots_used = static_cast<std::uint16_t>(std::min<std::uint32_t>(found->second.real_end, 65535));
  return policy;
}

std::vector<LiveEpoch> GroupEpochs::live() const {
  std::vector<LiveEpoch> out;
  live_within(0, ~std::uint32_t{0}, out);
  return out;
}

void GroupEpochs::live_within(std::uint32_t first_spi, std::uint32_t last_spi, std::vector<LiveEpoch>& out) const {
  for (const auto& [number, epoch] : epochs_) {
    const std::uint32_t first = epoch.policy.spi_prefix;
    const std::uint32_t last = first | (epoch.capacity() - 1);
    if (first > last_spi || first_spi > last) continue;
    out.push_back({group_.id, number, epoch.id, epoch.active, first, last});
  }
}

}  // namespace sealcast::member
