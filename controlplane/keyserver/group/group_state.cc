// GroupState's epochs: which one a member is given, how the next one comes about, takes over and retires.
#include "controlplane/keyserver/group/group_state.h"

#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

constexpr unsigned most_missed = 3;  // datagrams; then a member is told over its own connection for good

std::vector<Member*> all_of(Roster& roster) {
  std::vector<Member*> out;
  for (auto& [name, member] : roster.members())
    out.push_back(&member);
  return out;
}

Epoch epoch_of(MadeEpoch& made, SteadyTime now) {
  Epoch epoch;
  epoch.number = made.number;
  epoch.policy = std::move(made.policy);
  epoch.policy.slots_used = 0;
  epoch.zero = made.zero;
  epoch.premaster = std::move(made.premaster);
  epoch.id = id_of(epoch);
  epoch.begun = now - made.age;
  epoch.expires = now + made.remaining;
  return epoch;
}

milliseconds delays_of(const Epoch& epoch) {
  return milliseconds(epoch.policy.activation_delay_ms + epoch.policy.deactivation_delay_ms);
}

void add(Event& event, const RekeyRecord& done) {
  event.add({"why", done.why}).add({"after_ms", done.active_after->count()});
  if (!done.slowest.empty()) event.add({"slowest", done.slowest}).add({"slowest_ms", done.slowest_after.count()});
}

}  // namespace

// ---------------------------------------------------------------- giving an epoch to a member

// The handshake may have begun before the trust store was read again, so the certificate is looked at once more.
Result<GroupKeying> GroupState::issue(const PeerIdentity& member, const std::string& address, Moment now) {
  if (auto verdict = may_join(member, now); !verdict.good()) return fail(std::move(verdict.why));
  SEALCAST_TRY(admission_.clock_serves(member, now));
  SEALCAST_TRY(newcomers_.may_join(principal_of(member), config_.joins_per_minute, now.steady));
  if (!holdings_have_room())
    return fail(prefix() + "the audit trail can't be written, and who is given keys must be known");
  on_time(now);
  SEALCAST_TRY_ASSIGN(auto epoch, is_newcomer(member, now) ? next_for_newcomer(member, now) : current(now));
  SEALCAST_TRY_ASSIGN(auto keying, issuer_.give(*epoch, member, address, now));
  roster_.note_holder(member, keying.epoch);
  audit_holding({config_.id, keying.epoch, member.name, member.serial_hex, address});
  senders_.given(address, keying, now.steady);
  newcomers_.admitted(principal_of(member), config_.joins_per_minute, now.steady);
  issuer_.rekey_when_nearly_used(*epoch, now);
  return keying;
}

// Whether the active epoch must not go to it: it was not a member while that was in use.
bool GroupState::is_newcomer(const PeerIdentity& member, Moment now) {
  const Epoch* active = epochs_.active();
  if (!config_.rekey_on_join || !active) return false;
  if (newcomers_.is_expected(principal_of(member), active->number, now.steady)) return false;
  const auto holder = roster_.holders().find(principal_of(member));
  // A later epoch does not show that it had this one: it may have been given the pending one, as a newcomer, before.
  return holder == roster_.holders().end() || holder->second.epoch != active->number;
}

// An epoch under which nothing was sent yet; all others are handed over to it.
Result<Epoch*> GroupState::next_for_newcomer(const PeerIdentity& member, Moment now) {
  if (Epoch* pending = epochs_.pending()) return pending;
  // Old epochs live for deactivation_delay, and a group has room for four. Where many come one after another, those of
  // half that time share an epoch.
  const bool at_once = epochs_.all().size() == 1;
  SEALCAST_TRY(rekey("a member joins", now));
  if (Epoch* pending = epochs_.pending()) {
    if (!at_once) hand_over_.not_before(now.steady + config_.deactivation_delay / 2);
    return pending;
  }
  if (!maker().has_peers()) return current(now);  // there was no member to be handed over
  // It comes again; the epoch that it then finds is new enough.
  newcomers_.told_to_come_again(principal_of(member), epochs_.active()->number, now.steady);
  return fail(prefix() + "the epoch for a newcomer is not there yet; the key servers are asked for it");
}

// The epoch for a member that may have the present one: the active one, the pending one while there is no active one,
// or a new one.
Result<Epoch*> GroupState::current(Moment now) {
  const auto present = [&] {
    Epoch* const active = epochs_.active();
    return active ? active : epochs_.pending();
  };
  if (Epoch* epoch = present()) return epoch;
  if (!roster_.empty()) {
    // The last epoch expired because no newer one could be begun. All must get the next one, not this member alone.
    SEALCAST_TRY(rekey("no epoch left", now));
    if (Epoch* epoch = present()) return epoch;
  }
  SEALCAST_TRY(ask_for_epoch("first of the group", now));
  if (Epoch* epoch = present()) return epoch;
  return fail(prefix() + "no epoch is there yet; the key servers are asked for one");
}

// ---------------------------------------------------------------- the next epoch

Result<void> GroupState::rekey(const std::string& why, Moment now) {
  on_time(now);
  if (hand_over_.under_way())
    return fail(prefix() + "expected no hand-over under way, got one to epoch " + std::to_string(hand_over_.epoch()));
  recheck_members(now);
  if (!roster_.empty() || maker().has_peers()) return ask_for_epoch(why, now);
  // There is no member to hand over to. The next one to come begins a new epoch.
  announcer_.drop_tree(roster_.members());
  while (!epochs_.empty())
    forget(epochs_.oldest());
  schedule_.clear();
  audit(Event("epochs_dropped", {{"group", config_.id}, {"why", why + ", no members"}}));
  return {};
}

// Other key servers are asked again while there is none: those that were asked may be gone.
Result<void> GroupState::ask_for_epoch(const std::string& why, Moment now) {
  const bool shutting_out = exclusion_.needs_later_than(epochs_.newest());
  SEALCAST_TRY_ASSIGN(auto made, maker().want_epoch({.group_id = config_.id,
                                                     .seen = shutting_out ? exclusion_.last_known() : epochs_.newest(),
                                                     .why = shutting_out ? "revocation" : why,
                                                     .policy = policy_of(config_),
                                                     .lifetime = config_.epoch_lifetime,
                                                     .live = epochs_.all().size(),
                                                     .now = now}));
  if (made) return take_over(std::move(*made), now);
  schedule_.again(now.steady + retry_after);
  return {};
}

Result<void> GroupState::adopt(MadeEpoch&& made, Moment now) {
  if (!epochs_.empty() && epochs_.newest() >= made.number) return {};
  recheck_members(now);
  // As many as a member keeps; the oldest of all others was missed by no member that is still here.
  while (epochs_.full())
    forget(epochs_.oldest_inactive());
  return take_over(std::move(made), now);
}

// Make-before-break: all members are given the epoch; it becomes active when all have it, or have had their time.
Result<void> GroupState::take_over(MadeEpoch&& made, Moment now) {
  const bool first = epochs_.empty() && roster_.empty();
  Epoch& epoch = epochs_.add(epoch_of(made, now.steady));
  audit(Event(maker().has_peers() ? "epoch_adopted" : "epoch_begun", {{"group", config_.id},
                                                                      {"epoch", epoch.number},
                                                                      {"epoch_id", Word{to_hex(epoch.id)}},
                                                                      {"spi_prefix", epoch.policy.spi_prefix},
                                                                      {"slot_bits", epoch.policy.spi_slot_bits}}));
  auto updates = issuer_.updates(epoch, all_of(roster_), now);
  if (!updates) {
    forget(epoch.number);
    return tl::unexpected(updates.error());
  }
  schedule_.begun(now.steady, std::max(now.steady, epoch.expires - delays_of(epoch) - made.rekey_earlier));
  // Members that were shut out may hold it: another is asked for already, and again until it is there.
  if (exclusion_.needs_later_than(epoch.number)) schedule_.again(now.steady + retry_after);

  hand_over_.begin(epoch.number, now.steady + milliseconds(epoch.policy.activation_delay_ms));
  const auto telling = announcer_.announce(roster_.members(), epochs_.active(), epoch, now);
  for (auto& [member, keying] : *updates) {
    hand_over_.await(member->identity.name);
    const bool in_tree = member->leaf && !admission_.may_send(member->identity);
    if (in_tree && telling == Announcer::Telling::announced) {
      member->roles = keying.assignment.roles;
      issuer_.note_holder(*member, epoch.number);
      continue;
    }
    issuer_.tell(*member, std::move(keying));
    if (in_tree && telling == Announcer::Telling::each_with_path) announcer_.send_path(*member);
  }
  const bool restarted = first && !made.earlier_holders.empty();
  if (restarted) {
    // Members may still send under an epoch that this process never knew. They go on until those that held it are back,
    // or have had their time; less where no sender goes on (shorten_restart_wait()).
    for (const std::string& member : made.earlier_holders)
      hand_over_.await(member);
    hand_over_.wait_for_return(now.steady + std::min(restart_patience, made.earlier_lasts - std::chrono::seconds(1)));
  }
  await_holders(now);
  const std::size_t told = hand_over_.awaited().size();
  if (!first || told != 0) hand_over_.record(epoch.number, restarted ? "restart" : made.why, now.steady, told);
  if (restarted)
    audit(Event("epoch_pending",
                {{"group", config_.id}, {"epoch", epoch.number}, {"why", Word{"restart"}}, {"awaited", told}}));
  else if (told != 0)
    audit(Event("rekey_begun", {{"group", config_.id}, {"epoch", epoch.number}, {"why", made.why}, {"members", told}}));
  go_on_announcing(now);  // now that senders have been told
  end_hand_over_if_complete(now);
  return {};
}

// ---------------------------------------------------------------- the hand-over

// Receivers of a resumed epoch come back by their own back-off: one that is not back would lose what is sent under the
// next epoch. Those shut out must not be waited for.
void GroupState::await_holders(Moment now) {
  const auto back_by = resumption_.back_by();
  if (!back_by || *back_by <= now.steady) return;
  if (exclusion_.needs_later_than(resumption_.epoch())) return;
  for (const auto& [principal, holder] : roster_.holders())
    if (!roster_.find(principal.first)) hand_over_.await(principal.first);
  hand_over_.wait_for_return(*back_by);
  shorten_restart_wait(now);
}

// No sender is away and none that is back speaks of an earlier epoch: none sends meanwhile, and those that can should
// not wait for long.
void GroupState::shorten_restart_wait(Moment now) {
  if (!hand_over_.may_shorten() || resumption_.anybody_sends(roster_.members())) return;
  const auto& awaited = hand_over_.awaited();
  const bool away = std::any_of(awaited.begin(), awaited.end(), [&](const std::string& name) {
    return !roster_.find(name) && config_.may_send({name});
  });
  if (!away) hand_over_.shorten(now.steady + config_.activation_delay);
}

void GroupState::go_on_announcing(Moment now) {
  announcer_.send_copies(roster_.members(), now.steady);
  if (announcer_.is_given_up(now.steady)) give_up_announcing(now);
}

// Members that it did not reach get GroupUpdate, and their path anew, since they cannot have followed the tree.
void GroupState::give_up_announcing(Moment now) {
  announcer_.stop();
  Epoch* const epoch = epochs_.find(hand_over_.epoch());
  if (!epoch) return;
  std::vector<Member*> missed;
  for (const std::string& name : hand_over_.awaited())
    if (Member* member = roster_.find(name); member && member->leaf && member->acknowledged < epoch->number)
      missed.push_back(member);
  auto updates = issuer_.updates(*epoch, missed, now);
  if (!updates) {
    audit_error(Event("rekey_failed", {{"group", config_.id}, {"why", updates.error().message}}));
    return;
  }
  for (auto& [member, keying] : *updates) {
    issuer_.tell(*member, std::move(keying));
    if (++member->missed >= most_missed)
      announcer_.release_leaf(*member);
    else
      announcer_.send_path(*member);
  }
  if (!updates->empty())
    audit(Event("rekey_completed_by_unicast",
                {{"group", config_.id}, {"epoch", epoch->number}, {"members", updates->size()}}));
}

void GroupState::end_hand_over_if_complete(Moment now) {
  if (hand_over_.is_complete(now.steady)) end_hand_over(now);
}

// All members here have it, or had their time.
void GroupState::end_hand_over(Moment now) {
  if (hand_over_.report() && maker().installed_here(config_.id, hand_over_.epoch()))
    activate(hand_over_.epoch(), hand_over_.awaited().size(), now);
}

void GroupState::activated(std::uint64_t number, Moment now) {
  const Epoch* known = epochs_.find(number);
  if (!known || known->phase != Phase::pending) return;
  epochs_.skip_pending_before(number, now.steady);
  activate(number, hand_over_.epoch() == number ? hand_over_.awaited().size() : 0, now);
}

void GroupState::activate(std::uint64_t number, std::size_t missing, Moment now) {
  if (hand_over_.end(number)) announcer_.stop();
  epochs_.activate(number, now.steady);
  // What an exclusion still waits for a restart would forget; the epoch is kept when that is done.
  if (const Epoch* active = epochs_.active(); active && !exclusion_.under_way()) resumption_.keep(*active, now);
  exclusion_.activated(number, senders_.connected(), senders_.lease_from(now.steady));
  const RekeyRecord* const done = hand_over_.record_active(number, missing, now.steady);
  Event event("epoch_active", {{"group", config_.id}, {"epoch", number}, {"unacknowledged", missing}});
  if (done)
    add(event, *done);
  else if (epochs_.all().size() == 1)
    event.add({"why", "first of the group"});
  audit(event);
  send_all(handshake::Activate{config_.id, number});
  note_exclusion_complete(now);
}

void GroupState::forget(std::uint64_t epoch) {
  if (auto retired = context_.store->retire(config_.id, epoch); !retired)
    audit_error(Event("retire_failed", {{"group", config_.id}, {"epoch", epoch}, {"why", retired.error().message}}));
  roster_.forget_epoch(epoch);
  resumption_.retired(epoch);
  epochs_.remove(epoch);
}

void GroupState::send_all(const handshake::ControlMessage& message) {
  for (auto& [name, member] : roster_.members())
    member.link->deliver(message);
}

// ---------------------------------------------------------------- restarts

void GroupState::resume(Moment now) {
  auto resumed = resumption_.resume(now);
  if (!resumed) return;
  const Epoch& epoch = epochs_.add(std::move(resumed->epoch));
  for (const PeerIdentity& holder : resumed->holders)
    roster_.note_holder(holder, epoch.number);
  schedule_.begun(now.steady, std::max(*resumption_.back_by(), epoch.expires - delays_of(epoch)));
}

void GroupState::begin_anew(const std::string& why, Moment now) {
  if (!epochs_.empty()) senders_.unknown_away(now.steady, now.steady);
  const Members leaving = roster_.clear();
  exclusion_.forget_connections();  // they are in the lease above
  announcer_.forget();
  hand_over_.drop();
  schedule_.clear();
  resumption_.drop();
  resumption_.forget();
  epochs_.clear();  // not retired in the store: members go on under them until they are back
  audit_warning(Event("epochs_dropped", {{"group", config_.id}, {"why", why}}));
  for (const auto& [name, member] : leaving)
    member.link->dismiss(why);
}

// ---------------------------------------------------------------- time

void GroupState::on_time(Moment now) {
  dismiss_who_does_not_switch(now);
  note_exclusion_complete(now);
  exclusion_.on_time(now.steady);
  go_on_announcing(now);
  if (const auto due = hand_over_.due(); due && *due <= now.steady) end_hand_over(now);
  retire_what_is_over(now);
  if (!schedule_.is_due(now.steady)) return;
  schedule_.clear();
  if (epochs_.empty() && roster_.empty() && !maker().has_peers()) return;
  if (auto begun = rekey(schedule_.why(), now); !begun) {
    audit_error(Event("rekey_failed", {{"group", config_.id}, {"why", begun.error().message}}));
    schedule_.again(now.steady + retry_after);
  }
}

void GroupState::retire_what_is_over(Moment now) {
  for (const std::uint64_t epoch : epochs_.over(now.steady)) {
    audit(Event("epoch_retired", {{"group", config_.id}, {"epoch", epoch}}));
    if (epochs_.find(epoch)->phase == Phase::active)
      audit_error(Event("epoch_expired",
                        {{"group", config_.id}, {"epoch", epoch}, {"why", "no newer epoch took over in time"}}));
    send_all(handshake::Retire{config_.id, epoch});
    if (hand_over_.end(epoch)) announcer_.stop();
    forget(epoch);
  }
}

std::optional<SteadyTime> GroupState::next_deadline() const {
  std::optional<SteadyTime> next;
  for (const auto& at : {hand_over_.due(), announcer_.next_deadline(), schedule_.next(), epochs_.next_deadline(),
                         exclusion_.next_deadline()})
    if (at && (!next || *at < *next)) next = at;
  return next;
}

}  // namespace sealcast::keyserver
