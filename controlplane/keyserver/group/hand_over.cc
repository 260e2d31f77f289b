// GroupState's hand-overs and its time: who may stay, make-before-break, retirement (docs/key-server.md).
#include <algorithm>

#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

constexpr unsigned most_missed = 3;  // datagrams; then a member is told over its own connection for good

}  // namespace

// ---------------------------------------------------------------- who may stay

void GroupState::recheck_members(Moment now) {
  std::vector<std::pair<MemberLink*, std::string>> out;
  for (const auto& [id, member] : members_)
    if (auto good = may_join(member.identity, now); !good) out.emplace_back(member.link, good.error().message);
  for (const auto& [link, why] : out) {
    const PeerIdentity identity = member_of(*link)->identity;
    note_shut_out(*member_of(*link), now);
    remove(identity.name);
    if (hand_over_) hand_over_->awaited.erase(identity.name);
    turn_out(*link, identity, why);
  }
}

// link is no member's (any more).
void GroupState::turn_out(MemberLink& link, const PeerIdentity& member, const std::string& why) {
  audit_warning("member_revoked " + prefix() + "member=" + escaped(member.name) + " why=" + escaped(why));
  link.deliver(handshake::Revoked{config_.id, std::string(admission_.told_to(member))});
  link.dismiss("revoked");
}

// True if somebody who holds a live epoch, but is not connected, may no longer be a member.
bool GroupState::shut_out_holders(Moment now) {
  bool any = false;
  for (auto holder = holders_.begin(); holder != holders_.end();) {
    const PeerIdentity& identity = holder->second.identity;
    const auto connected = members_.find(identity.name);
    const bool checked = connected != members_.end() && connected->second.identity.serial_hex == identity.serial_hex;
    const auto good = checked ? Result<void>() : may_join(identity, now);
    if (!good) {
      any = true;
      exclusion_.shut_out(identity.name);
      audit_warning("holder_shut_out " + prefix() + "member=" + escaped(identity.name) +
                    " epoch=" + std::to_string(holder->second.epoch) + " why=" + escaped(good.error().message));
    }
    holder = good ? std::next(holder) : holders_.erase(holder);
  }
  return any;
}

std::chrono::seconds GroupState::longest_lease() const {
  auto longest = config_.authority_lease;
  for (const Epoch& epoch : epochs_)
    longest = std::max(longest, std::chrono::seconds(epoch.policy.authority_lease_s));
  return longest;
}

std::chrono::seconds GroupState::shortest_lease() const {
  auto shortest = config_.authority_lease;
  for (const Epoch& epoch : epochs_)
    shortest = std::min(shortest, std::chrono::seconds(epoch.policy.authority_lease_s));
  return shortest;
}

void GroupState::reconfigure(config::KeyserverGroup config, Moment now) {
  config_ = std::move(config);
  if (!announcer_.enabled()) announcer_.drop_tree(members_);
  shut_out(now);
}

bool GroupState::shut_out(Moment now, std::optional<std::uint64_t> held, bool one) {
  const std::size_t before = members_.size();
  const bool under_way = exclusion_.under_way();
  exclusion_.collect();
  if (context_.maker && (under_way || !one)) exclusion_.shut_out_unknown();  // this key server may not know them
  recheck_members(now);
  const bool holders_left = shut_out_holders(now);
  if (context_.started) exclusion_.sender_left(0, *context_.started + longest_lease(), now.steady);
  // Of several key servers none knows all holders: somebody shut out may have got the present epoch elsewhere.
  // Nor may the file from which an epoch was taken up.
  const bool any = members_.size() != before || holders_left || context_.maker || in_doubt();
  if (!any && !exclusion_.unknown_senders_away()) return false;
  std::uint64_t last_known = epochs_.empty() ? 0 : epochs_.back().number;
  if (context_.maker)
    last_known = std::max(last_known, held.value_or(context_.maker->highest(config_.id)));
  else if (!any && !epochs_.empty())  // this process gave them nothing, but one before it may have
    last_known = resumption_.epoch() != 0 ? resumption_.epoch() : epochs_.front().number - 1;
  exclusion_.begin(last_known, now.steady);
  if (any) resumption_.drop();
  if (hand_over_ && hand_over_->patience) {  // a restart's: those who are not back must not hold this up for long
    hand_over_->deadline = std::min(hand_over_->deadline, now.steady + config_.activation_delay);
    hand_over_->patience.reset();
  }
  // Who was shut out holds the present epoch. During a hand-over it may hold the next one too: rekey once that is done.
  if (context_.maker)
    ask_for_epoch("revocation", now);
  else if (any)
    if (auto begun = rekey("revocation", now); !begun) rekey_at_ = now.steady;
  note_exclusion_complete(now);
  return any;
}

// A sender that is connected keeps its lease. One that does not do as Activate says would go on for those shut out, so
// it loses its connection, and with it, a lease later, the right to send.
void GroupState::dismiss_who_does_not_switch(Moment now) {
  if (!exclusion_.is_switch_due(now.steady)) return;
  for (const std::string& id : exclusion_.overdue(seen_by_exclusion(), now.steady)) {
    MemberLink* const link = members_.at(id).link;
    audit_warning("member_dismissed " + prefix() + "member=" + escaped(id) +
                  " why=\"it did not switch to the epoch after a revocation\"");
    leave(*link, now);
    link->dismiss("it did not switch to the new epoch in time");
  }
}

// A sender that is not heard any more goes on until its lease ends.
void GroupState::note_departure(const Member& member, Moment now) {
  if (may_go_on(member)) exclusion_.sender_left(member.activated, now.steady + longest_lease(), now.steady);
}

// Whether Revoked reaches it nobody knows.
void GroupState::note_shut_out(const Member& member, Moment now) {
  const std::string& id = member.identity.name;
  exclusion_.shut_out(id);
  if (may_go_on(member)) exclusion_.sender_shut_out(id, member.activated, now.steady + longest_lease(), now.steady);
}

void GroupState::note_joining(const std::string& address, const GroupKeying& keying, Moment now) {
  if ((keying.assignment.roles & handshake::sender) == 0) return;
  // With a pending one it goes on under whatever it had.
  const std::uint64_t epoch = keying.state == handshake::EpochState::active ? keying.epoch : 0;
  exclusion_.sender_joining(address, keying.assignment.member_id, epoch, now.steady + longest_lease(), now.steady);
}

std::vector<Exclusion::Sender> GroupState::senders() const {
  std::vector<Exclusion::Sender> out;
  for (const auto& [id, member] : members_)
    if (may_go_on(member)) out.push_back({id, member.activated});
  return out;
}

Exclusion::Group GroupState::seen_by_exclusion() const {
  if (!exclusion_.under_way()) return {};
  const Epoch* const active = in_phase(epochs_, Phase::active);
  const bool elsewhere = context_.maker != nullptr;
  return {.senders = senders(),
          .active = active ? active->number : 0,
          // In a cluster others may send, and those who are back here soon.
          .nobody_sends = epochs_.empty() && !elsewhere,
          .switched_elsewhere = !elsewhere || context_.maker->switched_elsewhere(config_.id, exclusion_.last_known())};
}

void GroupState::note_exclusion_complete(Moment now) {
  const auto took = exclusion_.completed(seen_by_exclusion(), now.steady);
  if (!took) return;
  if (const Epoch* active = in_phase(epochs_, Phase::active); active && !resumption_.is_resumed(active->number))
    keep(*active, now);
  audit("revocation_complete " + prefix() + "after_ms=" +
        std::to_string(static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(*took).count())));
}

// It is asked again while there is none: whom it was asked of may be gone.
void GroupState::ask_for_epoch(const std::string& why, Moment now) {
  std::uint64_t seen = epochs_.empty() ? 0 : epochs_.back().number;
  const bool shutting_out = exclusion_.needs_later_than(seen);
  if (shutting_out) seen = exclusion_.last_known();
  context_.maker->want_epoch(config_.id, seen, shutting_out ? "revocation" : why);
  rekey_at_ = now.steady + retry_after;
}

Result<void> GroupState::rekey(const std::string& why, Moment now) {
  on_time(now);
  if (hand_over_)
    return fail(prefix() + "expected no hand-over under way, got one to epoch " + std::to_string(hand_over_->epoch));
  recheck_members(now);
  if (context_.maker) {
    ask_for_epoch(why, now);
    return {};
  }
  if (members_.empty()) {
    announcer_.drop_tree(members_);
    // Nobody to hand over to. The next member to come begins a new epoch.
    while (!epochs_.empty())
      forget(epochs_.front().number);
    rekey_at_.reset();
    audit("epochs_dropped " + prefix() + "why=" + escaped(why + ", no members"));
    return {};
  }
  const auto due = rekey_at_;
  auto begun = begin(now, nullptr);
  if (!begun) return tl::unexpected(begun.error());
  const std::uint64_t epoch = (*begun)->number;
  // One commit for all, not one each: this thread serves everybody else, too (H13). Nobody is told before it is done.
  Updates updates;
  auto noted = context_.store->begin_batch();
  if (noted) {
    updates = keyings_for_all(**begun, now);
    noted = context_.store->end_batch();
  }
  if (!noted) {
    forget(epoch);
    rekey_at_ = due;
    return noted;
  }
  hand_over_ = HandOver{epoch, now.steady + config_.activation_delay, {}};
  const auto telling =
      announcer_.announce(members_, in_phase(epochs_, Phase::active), **begun, hand_over_->announcement, now);
  for (auto& [member, keying] : updates) {
    hand_over_->awaited.insert(member->identity.name);
    const bool in_tree = member->leaf && !admission_.may_send(member->identity);
    if (in_tree && telling == Announcer::Telling::announced) {
      member->roles = keying.assignment.roles;
      note_holder(member->identity, epoch);
      continue;
    }
    tell(*member, std::move(keying));
    if (in_tree && telling == Announcer::Telling::each_with_path) announcer_.send_path(*member);
  }
  await_holders(now);
  last_rekey_record_ = RekeyRecord{.epoch = epoch, .why = why, .begun = now.steady, .told = hand_over_->awaited.size()};
  audit("rekey_begun " + prefix() + "epoch=" + std::to_string(epoch) + " why=" + escaped(why) +
        " members=" + std::to_string(hand_over_->awaited.size()));
  go_on_announcing(now);  // now that senders have been told
  return {};
}

// Receivers of a resumed epoch come back by their own back-off: one that is not back would lose what is sent under the
// next epoch. Those shut out must not be waited for.
void GroupState::await_holders(Moment now) {
  const auto back_by = resumption_.back_by();
  if (!back_by || !hand_over_ || *back_by <= now.steady) return;
  if (exclusion_.needs_later_than(resumption_.epoch())) return;
  for (const auto& [key, holder] : holders_)
    if (members_.count(key.first) == 0) hand_over_->awaited.insert(key.first);
  hand_over_->deadline = std::max(hand_over_->deadline, *back_by);
  hand_over_->patience = hand_over_->deadline;
  shorten_restart_wait(now);
}

void GroupState::go_on_announcing(Moment now) {
  if (!hand_over_ || !hand_over_->announcement) return;
  announcer_.send_copies(members_, *hand_over_->announcement, now);
  if (hand_over_->announcement->give_up <= now.steady) give_up_announcing(now);
}

// Members that it did not reach get GroupUpdate, and their path anew, since they cannot have followed the tree.
void GroupState::give_up_announcing(Moment now) {
  hand_over_->announcement.reset();
  Epoch* const epoch = find(hand_over_->epoch);
  Updates updates;
  auto noted = epoch ? context_.store->begin_batch() : Result<void>();
  if (!epoch) return;
  if (noted) {
    for (const std::string& id : hand_over_->awaited) {
      const auto found = members_.find(id);
      if (found == members_.end() || !found->second.leaf || found->second.acknowledged >= epoch->number) continue;
      if (auto keying = keying_for(found->second, *epoch, now))
        updates.emplace_back(&found->second, std::move(*keying));
    }
    noted = context_.store->end_batch();
  }
  if (!noted) {
    audit_error("rekey_failed " + prefix() + "why=" + escaped(noted.error().message));
    return;
  }
  for (auto& [member, keying] : updates) {
    tell(*member, std::move(keying));
    if (++member->missed >= most_missed)
      announcer_.release_leaf(*member);
    else
      announcer_.send_path(*member);
  }
  if (!updates.empty())
    audit("rekey_completed_by_unicast " + prefix() + "epoch=" + std::to_string(epoch->number) +
          " members=" + std::to_string(updates.size()));
}

// What it still waits for a restart would forget; kept when that is done.
void GroupState::keep(const Epoch& epoch, Moment now) {
  if (!exclusion_.under_way()) resumption_.keep(epoch, now);
}

bool GroupState::any_holder_invalid(Moment now) const {
  const auto invalid = [&](const auto& entry) { return !may_join(entry.second.identity, now); };
  return std::any_of(members_.begin(), members_.end(), invalid) ||
         std::any_of(holders_.begin(), holders_.end(), invalid);
}

void GroupState::activate_if_all_acknowledged(Moment now) {
  if (hand_over_ && hand_over_->awaited.empty() && hand_over_->not_before <= now.steady) activate(now);
}

// A sender that came back after a restart goes on under an epoch that this process never knew. Its receivers come back
// by their own back-off; who is left behind then loses what is sent until it is back.
void GroupState::on_report_of_older_epoch(const Member& member, std::uint64_t epoch) {
  if (!hand_over_ || !hand_over_->patience || !member.sends() || epoch >= hand_over_->epoch) return;
  hand_over_->deadline = *hand_over_->patience;
  hand_over_->going_on = true;
}

// No sender is away and none that is back speaks of an earlier epoch: nobody sends meanwhile, and those who can should
// not wait for long.
void GroupState::shorten_restart_wait(Moment now) {
  if (!hand_over_ || !hand_over_->patience || hand_over_->going_on || resumption_.anybody_sends(members_)) return;
  const bool away = std::any_of(hand_over_->awaited.begin(), hand_over_->awaited.end(), [&](const std::string& id) {
    return members_.count(id) == 0 && config_.may_send({id});
  });
  if (!away) hand_over_->deadline = std::min(hand_over_->deadline, now.steady + config_.activation_delay);
}

// All members here have it, or had their time.
void GroupState::activate(Moment now) {
  if (!context_.maker) return activate(hand_over_->epoch, hand_over_->awaited.size(), now);
  if (!std::exchange(hand_over_->told, true)) context_.maker->installed_here(config_.id, hand_over_->epoch);
}

void GroupState::activate(std::uint64_t number_now, std::size_t missing, Moment now) {
  hand_over_.reset();
  for (Epoch& epoch : epochs_) {
    if (epoch.phase == Phase::active) {
      epoch.phase = Phase::old;
      epoch.retire_at = now.steady + milliseconds(epoch.policy.deactivation_delay_ms);
    } else if (epoch.number == number_now) {
      epoch.phase = Phase::active;
    }
  }
  if (const Epoch* active = in_phase(epochs_, Phase::active)) keep(*active, now);
  exclusion_.activated(number_now, senders(), now.steady + longest_lease());
  std::string record;
  if (last_rekey_record_ && last_rekey_record_->epoch == number_now) {
    RekeyRecord& done = *last_rekey_record_;
    done.active(missing, now.steady);
    record = " why=" + escaped(done.why) + " after_ms=" + std::to_string(done.active_after->count());
    if (!done.slowest.empty())
      record += " slowest=" + escaped(done.slowest) + " slowest_ms=" + std::to_string(done.slowest_after.count());
  }
  audit("epoch_active " + prefix() + "epoch=" + std::to_string(number_now) +
        " unacknowledged=" + std::to_string(missing) + record);
  send_all(handshake::Activate{config_.id, number_now});
  note_exclusion_complete(now);
}

void GroupState::forget(std::uint64_t epoch) {
  if (auto retired = context_.store->retire(config_.id, epoch); !retired)
    audit_error("retire_failed " + prefix() + "epoch=" + std::to_string(epoch) +
                " why=" + escaped(retired.error().message));
  for (auto& [id, member] : members_) {
    auto& slots = member.slots;
    // The last run stays: it tells how many slots the member's next epoch needs.
    for (auto run = slots.begin(); run != slots.end() && slots.size() > 1;)
      run = run->epoch == epoch ? slots.erase(run) : run + 1;
  }
  std::erase_if(holders_, [&](const auto& entry) { return entry.second.epoch == epoch; });
  resumption_.retired(epoch);
  epochs_.erase(std::find_if(epochs_.begin(), epochs_.end(), [&](const Epoch& e) { return e.number == epoch; }));
}

void GroupState::begin_anew(const std::string& why, Moment now) {
  if (!epochs_.empty()) exclusion_.sender_left(0, now.steady + longest_lease(), now.steady);
  const auto leaving = std::exchange(members_, {});
  by_link_.clear();
  exclusion_.forget_connections();  // they are in the lease above
  announcer_.forget();
  hand_over_.reset();
  rekey_at_.reset();
  holders_.clear();
  resumption_.drop();
  resumption_.forget();
  epochs_.clear();  // not retired in the store: members go on under them until they are back
  audit_warning("epochs_dropped " + prefix() + "why=" + escaped(why));
  for (const auto& [id, member] : leaving)
    member.link->dismiss(why);
}

void GroupState::on_time(Moment now) {
  dismiss_who_does_not_switch(now);
  note_exclusion_complete(now);
  exclusion_.on_time(now.steady);
  go_on_announcing(now);
  if (hand_over_ && !hand_over_->told && hand_over_->due() <= now.steady) activate(now);
  std::vector<std::uint64_t> over;
  for (const Epoch& epoch : epochs_) {
    const bool retired = epoch.phase == Phase::old && epoch.retire_at <= now.steady;
    if (retired || epoch.expires <= now.steady) over.push_back(epoch.number);
  }
  for (const std::uint64_t epoch : over) {
    const Phase phase = find(epoch)->phase;
    audit("epoch_retired " + prefix() + "epoch=" + std::to_string(epoch));
    if (phase == Phase::active)
      audit_error("epoch_expired " + prefix() + "epoch=" + std::to_string(epoch) +
                  " why=\"no newer epoch took over in time\"");
    send_all(handshake::Retire{config_.id, epoch});
    if (hand_over_ && hand_over_->epoch == epoch) hand_over_.reset();
    forget(epoch);
  }
  if (rekey_at_ && *rekey_at_ <= now.steady && !hand_over_) {
    rekey_at_.reset();
    if (epochs_.empty() && members_.empty() && !context_.maker) return;
    // A revocation that came during a hand-over is what this is for.
    const bool shutting_out = !epochs_.empty() && exclusion_.needs_later_than(epochs_.back().number);
    if (auto begun = rekey(shutting_out ? "revocation" : "lifetime or slots", now); !begun) {
      audit_error("rekey_failed " + prefix() + "why=" + escaped(begun.error().message));
      rekey_at_ = now.steady + retry_after;
    }
  }
}

std::optional<SteadyTime> GroupState::next_deadline() const {
  std::optional<SteadyTime> next;
  const auto at = [&](SteadyTime time) {
    if (!next || time < *next) next = time;
  };
  if (hand_over_ && !hand_over_->told) at(hand_over_->due());
  if (hand_over_ && hand_over_->announcement) {
    const Announcement& announcement = *hand_over_->announcement;
    at(std::min(announcement.next, announcement.give_up));
  }
  if (rekey_at_ && !hand_over_) at(*rekey_at_);
  for (const Epoch& epoch : epochs_)
    at(epoch.phase == Phase::old ? std::min(epoch.retire_at, epoch.expires) : epoch.expires);
  if (const auto due = exclusion_.next_deadline()) at(*due);
  return next;
}

}  // namespace sealcast::keyserver
