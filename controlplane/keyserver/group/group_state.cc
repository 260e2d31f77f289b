#include "controlplane/keyserver/group/group_state.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::EpochState;
using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

constexpr std::size_t max_floors = 256;                // floors told to a member; 10 bytes each on the wire
constexpr std::chrono::seconds least_rekey_pause{10};  // between rekeys that slots or counters ask for

}  // namespace

GroupState::GroupState(config::KeyserverGroup config, GroupContext& context)
    : config_(std::move(config)),
      context_(context),
      admission_(config_, context),
      announcer_(config_, context, admission_),
      resumption_(config_, context, admission_) {}

GroupState::~GroupState() = default;

std::string GroupState::prefix() const {
  return audit_prefix(config_.id);
}

Epoch* GroupState::find(std::uint64_t epoch) {
  const auto found = std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.number == epoch; });
  return found == epochs_.end() ? nullptr : &*found;
}

Member* GroupState::member_of(const MemberLink& link) {
  const auto found = by_link_.find(&link);
  return found == by_link_.end() ? nullptr : found->second;
}

void GroupState::remove(const std::string& member_id) {
  const auto found = members_.find(member_id);
  if (found == members_.end()) return;
  announcer_.release_leaf(found->second);
  by_link_.erase(found->second.link);
  exclusion_.sender_gone(member_id);
  members_.erase(found);
}

void GroupState::send_all(const ControlMessage& message) {
  for (auto& [id, member] : members_)
    member.link->deliver(message);
}

void GroupState::warn_of_member(const std::string& line, Moment now) {
  std::uint64_t held_back = 0;
  if (member_lines_.pass(now.steady, &held_back))
    audit_warning(line + (held_back ? " not_logged_before=" + std::to_string(held_back) : ""));
}

// ---------------------------------------------------------------- giving an epoch to a member

// The handshake may have begun before the trust store was read again, so the certificate is looked at once more.
Result<GroupKeying> GroupState::issue(const PeerIdentity& member, const std::string& address, Moment now) {
  if (auto good = may_join(member, now); !good) return tl::unexpected(good.error());
  on_time(now);
  auto epoch = is_newcomer(member, now) ? next_for_newcomer(member, now) : current(now);
  if (!epoch) return tl::unexpected(epoch.error());
  auto keying = give(**epoch, member, address, 1, now);
  if (!keying) return keying;
  note_holder(member, keying->epoch);
  note_joining(address, *keying, now);
  newcomers_.admitted(principal_of(member));
  rekey_when_nearly_used(**epoch, now);
  return keying;
}

// Whether the active epoch must not go to it: it was not a member while that was in use.
bool GroupState::is_newcomer(const PeerIdentity& member, Moment now) {
  const Epoch* active = in_phase(epochs_, Phase::active);
  if (!config_.rekey_on_join || !active) return false;
  if (newcomers_.is_expected(principal_of(member), active->number, now.steady)) return false;
  const auto holder = holders_.find(principal_of(member));
  // A later epoch does not show that it had this one: it may have been given the pending one, as a newcomer, before.
  return holder == holders_.end() || holder->second.epoch != active->number;
}

// An epoch under which nothing was sent yet; everybody else is handed over to it.
Result<Epoch*> GroupState::next_for_newcomer(const PeerIdentity& member, Moment now) {
  if (Epoch* pending = in_phase(epochs_, Phase::pending)) return pending;
  // Old epochs live for deactivation_delay, and a group has room for four. Where many come one after another, those of
  // half that time share an epoch.
  const bool at_once = epochs_.size() == 1;
  if (auto begun = rekey("a member joins", now); !begun) return tl::unexpected(begun.error());
  if (context_.maker) {
    // It comes again; the epoch that it then finds is new enough.
    newcomers_.told_to_come_again(principal_of(member), in_phase(epochs_, Phase::active)->number, now.steady);
    return fail(prefix() + "the epoch for a newcomer is not there yet; the key servers are asked for it");
  }
  if (!hand_over_) return current(now);  // nobody was there to be handed over
  if (!at_once) hand_over_->not_before = now.steady + config_.deactivation_delay / 2;
  return in_phase(epochs_, Phase::pending);
}

// The epoch that whoever may have the present one gets: the active one, the pending one while there is no active one,
// or a new one.
Result<Epoch*> GroupState::current(Moment now) {
  if (Epoch* active = in_phase(epochs_, Phase::active)) return active;
  if (Epoch* pending = in_phase(epochs_, Phase::pending)) return pending;
  if (context_.maker) {
    context_.maker->want_epoch(config_.id, 0, "no epoch left");
    return fail(prefix() + "no epoch is there yet; the key servers are asked for one");
  }
  if (!members_.empty()) {
    // The last epoch expired because no newer one could be begun. All must get the next one, not the newcomer alone.
    if (auto begun = rekey("no epoch left", now); !begun) return tl::unexpected(begun.error());
    if (Epoch* pending = in_phase(epochs_, Phase::pending)) return pending;
  }
  store::EpochRecord noted;
  auto begun = begin(now, &noted);
  if (!begun) return begun;
  const std::vector<std::string>& earlier = noted.earlier_holders;
  if (earlier.empty()) {
    (*begun)->phase = Phase::active;
    keep(**begun, now);
    audit("epoch_active " + prefix() + "epoch=" + std::to_string((*begun)->number) + " why=\"first of the group\"");
    return begun;
  }
  // Somebody may still send under an epoch that this process never knew (it restarted): senders go on until those
  // members are back, or have had their time; less where no sender goes on (hurry_restart()).
  const std::chrono::seconds left(noted.earlier_end - now.unix_seconds - 1);
  const milliseconds patience(std::min<std::chrono::seconds>(restart_patience, left));
  const SteadyTime until = now.steady + std::max(patience, config_.activation_delay);
  hand_over_ = HandOver{(*begun)->number, until, {earlier.begin(), earlier.end()}};
  hand_over_->patience = until;
  last_rekey_record_ =
      RekeyRecord{.epoch = (*begun)->number, .why = "restart", .begun = now.steady, .told = earlier.size()};
  audit("epoch_pending " + prefix() + "epoch=" + std::to_string((*begun)->number) +
        " why=restart awaited=" + std::to_string(earlier.size()));
  return begun;
}

Result<Epoch*> GroupState::begin(Moment now, store::EpochRecord* noted) {
  if (epochs_.size() >= max_live_epochs)
    return fail(prefix() + "too many epochs are alive; wait for the oldest to retire");
  auto premaster = context_.vault->take();
  if (!premaster) return tl::unexpected(premaster.error());
  const auto lifetime_s = std::chrono::ceil<std::chrono::seconds>(config_.epoch_lifetime).count();
  auto record = context_.store->begin_epoch({config_.id, context_.spi_range.first, context_.spi_range.last,
                                             context_.slot_bits, now.unix_seconds, now.unix_seconds + lifetime_s});
  if (!record) return tl::unexpected(record.error());
  if (noted) *noted = *record;

  Epoch epoch;
  epoch.number = record->epoch;
  epoch.premaster = std::move(*premaster);
  do {
    context_.random->fill(epoch.premaster->span());
  } while (epoch.premaster->is_zero());  // a member refuses an all-zero one
  epoch.id = handshake::derive_epoch_id(config_.flow.suite,
                                        handshake::derive_group_master(config_.flow.suite, *epoch.premaster));
  epoch.begun = now.steady;
  epoch.expires = now.steady + config_.epoch_lifetime;
  auto& policy = epoch.policy;
  policy = policy_of(config_);
  policy.spi_prefix = record->block.prefix;
  policy.spi_slot_bits = record->block.slot_bits;
  policy.slots_used = 0;
  rekey_at_ = now.steady + config_.epoch_lifetime - config_.activation_delay - config_.deactivation_delay;
  last_rekey_ = now.steady;
  audit("epoch_begun " + prefix() + "epoch=" + std::to_string(epoch.number) + " epoch_id=" + to_hex(epoch.id) +
        " spi_prefix=" + std::to_string(policy.spi_prefix) + " slot_bits=" + std::to_string(policy.spi_slot_bits));
  epochs_.push_back(std::move(epoch));
  return &epochs_.back();
}

// Burns slots and notes the holder on disk, then makes the content of SMKE or GroupUpdate. A sender beyond its quota,
// or beyond the end of the block, still receives.
Result<GroupKeying> GroupState::give(Epoch& epoch, const PeerIdentity& identity, const std::string& address,
                                     std::uint32_t slots_wanted, Moment now) {
  const bool resumed = resumption_.is_resumed(epoch.number);
  std::uint32_t slots = admission_.may_send(identity) && !resumed ? slots_wanted : 0;
  std::uint32_t& granted = epoch.granted[identity.name];
  if (slots && (granted + slots > config_.slots_per_member || epoch.slots_used() + slots > epoch.capacity())) {
    warn_of_member("slots_refused " + prefix() + "member=" + escaped(identity.name) +
                       " epoch=" + std::to_string(epoch.number) + " wanted=" + std::to_string(slots) +
                       " granted=" + std::to_string(granted) + " quota=" + std::to_string(config_.slots_per_member) +
                       " used=" + std::to_string(epoch.slots_used()) +
                       " why=\"its quota or the block is used up; it only receives\"",
                   now);
    // Used up by earlier registrations: in a new epoch there are slots for it again.
    if (epoch.phase == Phase::active && granted > 0 && slots <= config_.slots_per_member) rekey_soon(now);
    slots = 0;
  }
  // A resumed epoch has no slots to give, but members that have some go on.
  const bool sends = slots != 0 || (resumed && admission_.may_send(identity));
  const handshake::Role roles = sends ? handshake::sender_and_receiver : handshake::receiver;
  const auto given = context_.store->issue({config_.id, epoch.number, identity.name, identity.serial_hex, address,
                                            roles, static_cast<std::uint16_t>(slots), now.unix_seconds,
                                            context_.keeper ? EpochKeeper::bytes_of(identity) : std::string()});
  if (!given) return tl::unexpected(given.error());
  granted += slots;
  epoch.policy.slots_used = given->slots_used;

  GroupKeying keying;
  keying.key_server_id = context_.key_server_id;
  keying.group_id = config_.id;
  keying.epoch = epoch.number;
  keying.state = epoch.phase == Phase::pending ? EpochState::pending : EpochState::active;
  const auto remaining = std::chrono::duration_cast<milliseconds>(epoch.expires - now.steady);
  keying.remaining_ms = static_cast<std::uint64_t>(std::max<milliseconds::rep>(remaining.count(), 0));
  keying.policy = epoch.policy;
  keying.assignment.member_id = identity.name;
  keying.assignment.roles = roles;
  keying.assignment.first_slot = slots ? given->first_slot : std::uint16_t{0};
  keying.assignment.slot_count = static_cast<std::uint16_t>(slots);
  for (const auto& [slot, next] : epoch.floors) {
    if (keying.assignment.floors.size() == max_floors) break;
    keying.assignment.floors.push_back({slot, next});
  }
  keying.premaster = epoch.premaster->clone();
  return keying;
}

void GroupState::note_holder(const PeerIdentity& identity, std::uint64_t epoch) {
  Holder& holder = holders_[principal_of(identity)];
  holder.identity = identity;
  holder.epoch = std::max(holder.epoch, epoch);
}

// For a GroupUpdate, with as many slots as the member was last given at once: one for each of its sending cores.
Result<GroupKeying> GroupState::keying_for(const Member& member, Epoch& epoch, Moment now) {
  const std::uint32_t slots = member.slots.empty() ? 1 : member.slots.back().count;
  auto keying = give(epoch, member.identity, member.address, slots, now);
  if (!keying)
    audit_error("update_failed " + prefix() + "member=" + escaped(member.identity.name) +
                " epoch=" + std::to_string(epoch.number) + " why=" + escaped(keying.error().message));
  return keying;
}

// Receivers are told of every slot that this hand-over gives out: a key that they began to derive only with its first
// packet would be too late for a fast stream.
GroupState::Updates GroupState::keyings_for_all(Epoch& epoch, Moment now) {
  Updates updates;
  for (auto& [id, member] : members_)
    if (auto keying = keying_for(member, epoch, now)) updates.emplace_back(&member, std::move(*keying));
  for (auto& [member, keying] : updates)
    keying.policy.slots_used = epoch.policy.slots_used;
  return updates;
}

// What keying_for() made, once it is on disk.
void GroupState::tell(Member& member, GroupKeying keying) {
  const auto& assignment = keying.assignment;
  member.roles = assignment.roles;
  if (assignment.slot_count) member.slots.push_back({keying.epoch, assignment.first_slot, assignment.slot_count});
  note_holder(member.identity, keying.epoch);
  // Whatever its phase, Activate follows on its own: only Activate switches a sender.
  keying.state = EpochState::pending;
  member.link->deliver(handshake::GroupUpdate{std::move(keying)});
}

bool GroupState::update(Member& member, Epoch& epoch, Moment now) {
  auto keying = keying_for(member, epoch, now);
  if (!keying) return false;
  tell(member, std::move(*keying));
  return true;
}

// A nearly used block asks for a new epoch.
void GroupState::rekey_when_nearly_used(const Epoch& epoch, Moment now) {
  if (epoch.phase == Phase::active && epoch.slots_used() * 4 >= epoch.capacity() * 3) rekey_soon(now);
}

// Not more often than the pause: many senders in a small block, or one that lies, must not make it go round.
void GroupState::rekey_soon(Moment now) {
  if (hand_over_) return;
  const SteadyTime soonest = std::max(now.steady, last_rekey_ + least_rekey_pause);
  if (!rekey_at_ || *rekey_at_ > soonest) rekey_at_ = soonest;
}

// At once, but where members leave one after the other those of half of deactivation_delay share an epoch: old epochs
// live for that long, and there must be room for the one that a revocation asks for.
void GroupState::rekey_for_leave(Moment now) {
  const SteadyTime soonest =
      epochs_.size() == 1 ? now.steady : std::max(now.steady, last_rekey_ + config_.deactivation_delay / 2);
  if (!rekey_at_ || *rekey_at_ > soonest) rekey_at_ = soonest;
}

}  // namespace sealcast::keyserver
