// GroupState where several key servers share their epochs (docs/cluster.md): another makes them, all give them out, and
// they become active for all at once.
#include <algorithm>

#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using std::chrono::milliseconds;

// So far the key servers' clocks may be apart, and so long a key server that vanished may be waited for.
constexpr std::chrono::seconds rekey_earlier{20};
constexpr std::chrono::seconds ask_again_after{5};

}  // namespace

std::uint32_t GroupState::slots_needed() const {
  std::uint32_t needed = 0;
  for (const auto& [id, member] : members_) {
    if (!admission_.may_send(member.identity)) continue;
    needed += member.slots.empty() ? 1 : member.slots.back().count;
  }
  return needed;
}

Result<void> GroupState::adopt(SharedEpoch&& shared, Moment now) {
  if (!epochs_.empty() && epochs_.back().number >= shared.number) return {};
  auto premaster = context_.vault->take();
  if (!premaster) return tl::unexpected(premaster.error());
  recheck_members(now);
  // As many as a member keeps; the oldest of all others was missed by nobody who is still here.
  while (epochs_.size() >= max_live_epochs) {
    const auto oldest =
        std::find_if(epochs_.begin(), epochs_.end(), [](const Epoch& e) { return e.phase != Phase::active; });
    forget(oldest->number);
  }
  Epoch epoch;
  epoch.number = shared.number;
  epoch.policy = std::move(shared.policy);
  epoch.premaster = std::move(*premaster);
  std::copy(shared.premaster.span().begin(), shared.premaster.span().end(), epoch.premaster->span().begin());
  epoch.id = handshake::derive_epoch_id(epoch.policy.cipher_suite,
                                        handshake::derive_group_master(epoch.policy.cipher_suite, *epoch.premaster));
  epoch.begun = now.steady - shared.age;
  epoch.expires = now.steady + shared.remaining;
  const milliseconds delays(epoch.policy.activation_delay_ms + epoch.policy.deactivation_delay_ms);
  rekey_at_ =
      std::max(now.steady, epoch.expires - delays -
                               std::min<SteadyTime::duration>(rekey_earlier, (shared.age + shared.remaining) / 8));
  // Those who were shut out may hold it: another is asked for already, and again until it is there.
  if (exclusion_.needs_later_than(epoch.number)) rekey_at_ = now.steady + ask_again_after;
  last_rekey_ = now.steady;
  epochs_.push_back(std::move(epoch));
  Epoch& adopted = epochs_.back();
  audit("epoch_adopted " + prefix() + "epoch=" + std::to_string(adopted.number) + " epoch_id=" + to_hex(adopted.id) +
        " spi_prefix=" + std::to_string(adopted.policy.spi_prefix));
  hand_over_ = HandOver{adopted.number, now.steady + milliseconds(adopted.policy.activation_delay_ms), {}};
  for (auto& [member, keying] : keyings_for_all(adopted, now)) {
    tell(*member, std::move(keying));
    hand_over_->awaited.insert(member->identity.name);
  }
  last_rekey_record_ = RekeyRecord{
      .epoch = adopted.number, .why = "made for the cluster", .begun = now.steady, .told = hand_over_->awaited.size()};
  activate_if_all_acknowledged(now);
  return {};
}

void GroupState::activated(std::uint64_t epoch, Moment now) {
  const Epoch* known = find(epoch);
  if (!known || known->phase != Phase::pending) return;
  for (Epoch& older : epochs_) {
    if (older.number >= epoch || older.phase != Phase::pending) continue;
    older.phase = Phase::old;
    older.retire_at = now.steady + milliseconds(older.policy.deactivation_delay_ms);
  }
  const bool handed_over = hand_over_ && hand_over_->epoch == epoch;
  auto later = hand_over_ && !handed_over ? std::move(hand_over_) : std::nullopt;
  activate(epoch, handed_over ? hand_over_->awaited.size() : 0, now);
  hand_over_ = std::move(later);
}

std::uint64_t GroupState::switched(Moment now) const {
  const Epoch* const active = in_phase(epochs_, Phase::active);
  if (!active) return 0;
  std::uint64_t least = active->number;
  for (const Exclusion::Sender& sender : senders())
    least = std::min(least, sender.activated);
  return exclusion_.earliest_in_use(least, now.steady);
}

}  // namespace sealcast::keyserver
