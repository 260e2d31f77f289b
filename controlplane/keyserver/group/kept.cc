// GroupState over a restart, where there is a wrapping key: the running epoch is kept and taken up again. Who held it
// goes on; who only receives is given it; but no slot of it is ever given out again (H9), since the state file may be
// an older copy that does not know of all that were.
#include <algorithm>

#include "controlplane/keyserver/group/epoch_keeper.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using std::chrono::milliseconds;

}  // namespace

// Before anybody is told that it is active. Where that fails there is nothing to be taken up: the epoch before it was
// dropped when this one was begun.
void GroupState::keep(const Epoch& epoch, Moment now) {
  if (!context_.keeper) return;
  // What it still waits for a restart would forget; kept when that is done.
  if (exclusion_.under_way()) return;
  const auto seconds = [](SteadyTime::duration time) {
    return std::chrono::duration_cast<std::chrono::seconds>(time).count();
  };
  const EpochKeeper::Times times{now.unix_seconds - seconds(now.steady - epoch.begun),
                                 now.unix_seconds + seconds(epoch.expires - now.steady)};
  if (auto kept = context_.keeper->keep(config_.id, epoch.number, times, epoch.policy, *epoch.premaster); !kept)
    audit_error("epoch_not_kept " + prefix() + "epoch=" + std::to_string(epoch.number) +
                " why=" + escaped(kept.error().message));
}

void GroupState::drop_kept() {
  if (!context_.keeper) return;
  if (auto dropped = context_.store->drop_kept(config_.id); !dropped)
    audit_error("kept_epoch_not_dropped " + prefix() + "why=" + escaped(dropped.error().message));
}

void GroupState::take_up(Moment now) {
  if (!context_.keeper) return;
  auto found = context_.keeper->take_up(config_.id, now.unix_seconds);
  if (found && !*found) {
    if (context_.started)
      audit("epoch_not_taken_up " + prefix() + "why=\"none is kept: none was active, or a hand-over was under way\"");
    return;
  }
  const auto why_not = found ? take_up(std::move(**found), now) : found.error().message;
  if (why_not.empty()) return;
  audit_warning("epoch_not_taken_up " + prefix() + "why=" + escaped(why_not));
  holders_.clear();
  drop_kept();
}

// What speaks against it; nothing: it is the active epoch.
std::string GroupState::take_up(EpochKeeper::Found&& found, Moment now) {
  handshake::GroupPolicy& policy = found.content.policy;
  const std::uint64_t last_spi = policy.spi_prefix + (std::uint64_t{1} << policy.spi_slot_bits) - 1;
  if (!same_but_place(policy, policy_of(config_)) || policy.spi_slot_bits != context_.slot_bits ||
      policy.spi_prefix < context_.spi_range.first || last_spi > context_.spi_range.last)
    return "the configuration has changed";
  const milliseconds delays(policy.activation_delay_ms + policy.deactivation_delay_ms);
  const std::chrono::seconds left(found.times.expires - now.unix_seconds);
  if (left < restart_patience + delays || left > config_.epoch_lifetime + restart_patience)
    return "expected one that lasts for some time yet, got one with " + std::to_string(left.count()) + " s left";
  if (found.holders.empty()) return "nobody was given it";
  TakenUp taken{found.number, now.steady + restart_patience, {}, {}};
  for (const EpochKeeper::Holder& holder : found.holders) {
    if (auto good = stands(holder.identity, now); !good) return "somebody holds it: " + good.error().message;
    if (!holder.runs.empty() && !may_send(holder.identity))
      return "somebody has slots who may not send any more: " + holder.identity.name;
    note_holder(holder.identity, found.number);
    for (const auto& [first, count] : holder.runs)
      taken.slots[holder.identity.name].push_back({found.number, first, count});
  }
  auto premaster = context_.vault->take();
  if (!premaster) return premaster.error().message;
  Epoch epoch;
  epoch.number = found.number;
  epoch.phase = Phase::active;
  epoch.policy = std::move(policy);
  epoch.premaster = std::move(*premaster);
  std::copy(found.content.premaster.span().begin(), found.content.premaster.span().end(),
            epoch.premaster->span().begin());
  epoch.id = handshake::derive_epoch_id(epoch.policy.cipher_suite,
                                        handshake::derive_group_master(epoch.policy.cipher_suite, *epoch.premaster));
  epoch.begun = now.steady - std::chrono::seconds(std::max<std::int64_t>(now.unix_seconds - found.times.begun, 0));
  epoch.expires = now.steady + left;
  rekey_at_ = std::max(taken.back_by, epoch.expires - delays);
  last_rekey_ = now.steady;
  audit("epoch_taken_up " + prefix() + "epoch=" + std::to_string(epoch.number) + " epoch_id=" + to_hex(epoch.id) +
        " spi_prefix=" + std::to_string(epoch.policy.spi_prefix) + " holders=" + std::to_string(found.holders.size()));
  epochs_.push_back(std::move(epoch));
  taken_up_ = std::move(taken);
  return {};
}

// Whether it is from before the restart.
bool GroupState::is_taken_up(const Epoch& epoch) const {
  return taken_up_ && taken_up_->epoch == epoch.number;
}

// Whether somebody may hold the newest epoch of whom nobody here knows: the file may be an older copy.
bool GroupState::in_doubt() const {
  return taken_up_ && !epochs_.empty() && epochs_.back().number == taken_up_->epoch;
}

// A member that comes back to an epoch that was taken up. The slots that its machine was given before are its own to
// report on; one that was given none needs the next epoch.
void GroupState::remember_slots(Member& member, Moment now) {
  const Epoch* active = in_phase(Phase::active);
  if (!active || !is_taken_up(*active)) return;
  const auto known = taken_up_->slots.find(member.identity.name);
  if (known == taken_up_->slots.end()) {
    if (may_send(member.identity)) lacks_slots(member, now);
    return;
  }
  member.slots.insert(member.slots.begin(), known->second.begin(), known->second.end());
}

// Nothing is given out in an epoch that was taken up; the next one has slots for all.
void GroupState::lacks_slots(const Member& member, Moment now) {
  taken_up_->without_slots.insert(member.identity.name);
  hurry_restart(now);
  if (!hand_over_ && (!rekey_at_ || *rekey_at_ > now.steady)) rekey_at_ = now.steady;
}

// Receivers of an epoch that was taken up come back by their own back-off: one that is not back would lose what is sent
// under the next epoch. Those shut out must not be waited for.
void GroupState::await_holders(Moment now) {
  if (!taken_up_ || !hand_over_ || taken_up_->back_by <= now.steady) return;
  if (exclusion_.needs_later_than(taken_up_->epoch)) return;
  for (const auto& [key, holder] : holders_)
    if (members_.count(key.first) == 0) hand_over_->awaited.insert(key.first);
  hand_over_->deadline = std::max(hand_over_->deadline, taken_up_->back_by);
  hand_over_->patience = hand_over_->deadline;
  hurry_restart(now);
}

// Whether a sender that is back may send under the epoch that was taken up.
bool GroupState::somebody_goes_on() const {
  return taken_up_ && std::any_of(members_.begin(), members_.end(), [&](const auto& entry) {
           return taken_up_->slots.count(entry.first) != 0 && taken_up_->without_slots.count(entry.first) == 0;
         });
}

}  // namespace sealcast::keyserver
