// GroupState's members: they join, leave, report, ask for slots, and are shut out (H11).
#include <algorithm>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::EpochState;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

// The group that a member's message names; empty: it names none.
std::optional<std::string_view> group_named_in(const ControlMessage& message) {
  return std::visit(
      [](const auto& one) -> std::optional<std::string_view> {
        if constexpr (requires { one.group_id; }) return one.group_id;
        return {};
      },
      message);
}

bool may_come_from_member(const ControlMessage& message) {
  return std::holds_alternative<handshake::GroupUpdateAck>(message) ||
         std::holds_alternative<handshake::ActivateAck>(message) ||
         std::holds_alternative<handshake::SlotRequest>(message) ||
         std::holds_alternative<handshake::StatusReport>(message) ||
         std::holds_alternative<handshake::Keepalive>(message) || std::holds_alternative<handshake::Leave>(message);
}

}  // namespace

// ---------------------------------------------------------------- they come

void GroupState::join(MemberLink& link, const PeerIdentity& identity, const std::string& address, const Given& given,
                      Moment now) {
  if (const auto verdict = may_join(identity, now); !verdict.good()) {
    senders_.refused(given, now.steady);  // it may have begun to send with our Finished
    return turn_out(link, identity, verdict);
  }
  if (const Member* older = roster_.find(identity.name)) {
    MemberLink* const old_link = older->link;
    senders_.left(*older, now.steady);
    warnings_.replaced(config_.id, *older, address, now);
    remove(identity.name);
    old_link->dismiss("a newer connection of the same member");
  }
  exclusion_.sender_joined(address);
  Member& member = roster_.add(link, identity);
  member.address = address;
  member.roles = given.roles;
  member.joined = now.steady;
  member.acknowledged = given.epoch;
  if (given.state == EpochState::active) member.activated = given.epoch;
  if (given.slots.count) member.slots.push_back(given.slots);
  Event event("member_joined", {{"group", config_.id},
                                {"member", identity.name},
                                {"address", Word{address}},
                                {"carriage", Word{config::name(link.carriage())}},
                                {"serial", Word{identity.serial_hex}},
                                {"epoch", given.epoch}});
  if (given.slots.count) event.add({"slot", given.slots.first});
  warnings_.tell(std::move(event), now);
  remember_slots(member, now);
  if (!catch_up(member, given, now)) {
    leave(link, now);
    return link.dismiss("it could not be given the active epoch; it may come again");
  }
  assign_leaf(member, now);
  shorten_restart_wait(now);
  // After a restart it is awaited until it says that it has installed what it was given: our Finished, on which it does
  // so, has not even left yet.
  if (epochs_.active() || epochs_.pending()) return;
  // What it was given is over: all others had left meanwhile.
  if (auto begun = rekey("no epoch left", now); !begun) {
    audit_error(Event("rekey_failed", {{"group", config_.id}, {"why", begun.error().message}}));
    schedule_.again(now.steady + retry_after);
  }
}

void GroupState::assign_leaf(Member& member, Moment now) {
  if (auto assigned = announcer_.assign_leaf(member); !assigned)
    return warnings_.warn(
        Event("no_key_path",
              {{"group", config_.id}, {"member", member.identity.name}, {"why", assigned.error().message}}),
        now);
  if (member.leaf && announcer_.many_have_left()) schedule_.soon(now.steady, "many members left the key tree");
}

// Gives it what happened since SMKE. False: it has no key that is of use, and would not know.
bool GroupState::catch_up(Member& member, const Given& given, Moment now) {
  Epoch* active = epochs_.active();
  if (config_.rekey_on_join && active && given.epoch > active->number) active = nullptr;  // from before it came
  if (active) {
    const bool missed = active->number != given.epoch;
    if (missed && !issuer_.update(member, *active, now)) return false;
    if (missed || given.state == EpochState::pending) {
      member.link->deliver(handshake::Activate{config_.id, active->number});
      if (senders_.may_send(member)) exclusion_.sender_must_switch(member.identity.name);
    }
  }
  Epoch* pending = epochs_.pending();
  if (pending && pending->number != given.epoch && issuer_.update(member, *pending, now) && hand_over_.under_way())
    hand_over_.await(member.identity.name);
  return true;
}

// A member that comes back to a resumed epoch. The slots that its machine was given before are its own to report on;
// one that was given none needs the next epoch.
void GroupState::remember_slots(Member& member, Moment now) {
  const Epoch* active = epochs_.active();
  if (!active || !resumption_.is_resumed(active->number)) return;
  const auto slots = resumption_.slots_of(member.identity.name);
  if (slots.empty() && admission_.may_send(member.identity)) request_new_slots(member, now);
  member.slots.insert(member.slots.begin(), slots.begin(), slots.end());
}

// Nothing is given out in a resumed epoch; the next one has slots for all.
void GroupState::request_new_slots(const Member& member, Moment now) {
  resumption_.needs_slots(member.identity.name);
  shorten_restart_wait(now);
  if (!hand_over_.under_way()) schedule_.by(now.steady, "slots after a restart");
}

// ---------------------------------------------------------------- they speak

Result<void> GroupState::receive(const MemberLink& link, const ControlMessage& message, Moment now) {
  Member* const member = roster_.of(link);
  if (!member) return fail("not a member of the group any more");
  const auto refuse = [&](const std::string& why) -> Result<void> {
    audit_warning(Event("member_dismissed", {{"group", config_.id}, {"member", member->identity.name}, {"why", why}}));
    leave(link, now);
    return fail(why);
  };
  if (!may_come_from_member(message)) return refuse("a control message that only a key server sends");
  if (const auto group = group_named_in(message); group && *group != config_.id)
    return refuse("a control message for another group than the connection's");

  if (const auto* ack = std::get_if<handshake::GroupUpdateAck>(&message)) {
    acknowledged(*member, ack->epoch, now);
  } else if (const auto* activated = std::get_if<handshake::ActivateAck>(&message)) {
    switched(*member, activated->epoch, now);
  } else if (const auto* request = std::get_if<handshake::SlotRequest>(&message)) {
    Epoch* const epoch = epochs_.find(request->epoch);
    if (epoch && epoch->phase != Phase::old && member->sends() && resumption_.is_resumed(epoch->number))
      request_new_slots(*member, now);
    member->link->deliver(issuer_.grant(*member, *request, epoch, now));
    if (epoch) issuer_.rekey_when_nearly_used(*epoch, now);
  } else if (const auto* report = std::get_if<handshake::StatusReport>(&message)) {
    if (Epoch* const epoch = epochs_.find(report->epoch))
      issuer_.take_report(*member, *report, *epoch, now);
    else if (member->sends())  // it came back after a restart, and goes on under an epoch that this process never knew
      hand_over_.sender_goes_on(report->epoch);
  } else if (std::holds_alternative<handshake::Leave>(message)) {
    leave(link, now);
    // Old epochs live for deactivation_delay, and there must be room for the one that a revocation asks for.
    if (config_.rekey_on_leave && !epochs_.empty())
      schedule_.for_leave(now.steady, epochs_.all().size() == 1 ? milliseconds() : config_.deactivation_delay / 2);
    return fail("it left the group");
  }
  return {};  // Keepalive: receiving it was all, the member is there
}

void GroupState::acknowledged(Member& member, std::uint64_t epoch, Moment now) {
  if (!epochs_.lives(epoch)) return;  // retired meanwhile
  member.acknowledged = std::max(member.acknowledged, epoch);
  if (hand_over_.epoch() != epoch) return;
  if (announcer_.is_announcing()) member.missed = 0;
  hand_over_.acknowledged(member.identity.name, epoch, now.steady);
  end_hand_over_if_complete(now);
}

void GroupState::switched(Member& member, std::uint64_t number, Moment now) {
  const Epoch* const epoch = epochs_.find(number);
  if (!epoch || epoch->phase == Phase::pending) return;
  member.activated = std::max(member.activated, number);
  const Epoch* const active = epochs_.active();
  if (!active || member.activated < active->number || !exclusion_.sender_switched(member.identity.name)) return;
  audit(Event("senders_switched", {{"group", config_.id}, {"epoch", active->number}}));
  note_exclusion_complete(now);
}

// ---------------------------------------------------------------- they go

void GroupState::leave(const MemberLink& link, Moment now) {
  const Member* const member = roster_.of(link);
  if (!member) return;
  const std::string name = member->identity.name;
  warnings_.tell(Event("member_left", {{"group", config_.id}, {"member", name}, {"address", Word{member->address}}}),
                 now);
  senders_.left(*member, now.steady);
  remove(name);
  // A restart's hand-over waits for members to come back, so there is nothing to stop waiting for.
  if (!epochs_.active()) return;
  hand_over_.no_longer_await(name);
  end_hand_over_if_complete(now);
}

void GroupState::remove(const std::string& name) {
  announcer_.release_leaf(*roster_.find(name));
  exclusion_.sender_gone(name);
  roster_.remove(name);
}

// The link is no member's any more.
void GroupState::turn_out(MemberLink& link, const PeerIdentity& member, const Verdict& verdict) {
  const bool expired = verdict.standing == Standing::expired;
  const std::string told(admission_.told_to(member, verdict.standing));
  audit_warning(Event(expired ? "member_expired" : "member_revoked",
                      {{"group", config_.id}, {"member", member.name}, {"why", verdict.why}}));
  if (expired)
    link.deliver(handshake::Expired{config_.id, told});
  else
    link.deliver(handshake::Revoked{config_.id, told});
  link.dismiss(expired ? "expired" : "revoked");
}

// ---------------------------------------------------------------- they are shut out

void GroupState::reconfigure(config::KeyserverGroup config, Moment now) {
  config_ = std::move(config);
  if (!announcer_.enabled()) announcer_.drop_tree(roster_.members());
  shut_out(now);
}

bool GroupState::look_again(Moment now) {
  const std::size_t before = roster_.members().size();
  const bool any = recheck_members(now, true);
  // As when members leave: after a restart they come back, so there is nothing to stop waiting for.
  if (roster_.members().size() != before && epochs_.active()) end_hand_over_if_complete(now);
  return any || std::any_of(roster_.holders().begin(), roster_.holders().end(), [&](const auto& entry) {
           return admission_.judge(entry.second.identity, now).standing == Standing::shut_out;
         });
}

// True: one has to be shut out, and was, unless only the expired were asked for.
bool GroupState::recheck_members(Moment now, bool expired_alone) {
  bool any = false;
  std::vector<std::pair<MemberLink*, Verdict>> out;
  for (const auto& [name, member] : roster_.members()) {
    auto verdict = admission_.judge(member.identity, now);
    if (verdict.good()) continue;
    any = any || verdict.standing == Standing::shut_out;
    if (!expired_alone || verdict.standing == Standing::expired) out.emplace_back(member.link, std::move(verdict));
  }
  for (const auto& [link, verdict] : out) {
    const Member& member = *roster_.of(*link);
    const PeerIdentity identity = member.identity;
    if (verdict.standing == Standing::expired)
      senders_.left(member, now.steady);
    else
      senders_.shut_out(member, now.steady);
    remove(identity.name);
    hand_over_.no_longer_await(identity.name);
    turn_out(*link, identity, verdict);
  }
  return any;
}

// True if a holder of a live epoch that is not connected may no longer be a member.
bool GroupState::shut_out_holders(Moment now) {
  bool any = false;
  roster_.remove_holders([&](const Holder& holder) {
    const PeerIdentity& identity = holder.identity;
    const Member* const connected = roster_.find(identity.name);
    if (connected && connected->identity.serial_hex == identity.serial_hex) return false;  // checked already
    const auto verdict = admission_.judge(identity, now);
    if (verdict.standing != Standing::shut_out) return false;  // one that has expired keeps what it holds
    any = true;
    exclusion_.shut_out(identity.name);
    audit_warning(
        Event("holder_shut_out",
              {{"group", config_.id}, {"member", identity.name}, {"epoch", holder.epoch}, {"why", verdict.why}}));
    return true;
  });
  return any;
}

bool GroupState::shut_out(Moment now, std::optional<std::uint64_t> held, bool one) {
  const bool under_way = exclusion_.under_way();
  const bool peers = maker().has_peers();
  exclusion_.collect();
  if (peers && (under_way || !one)) exclusion_.shut_out_unknown();  // this key server may not know them
  const bool members_left = recheck_members(now);
  const bool holders_left = shut_out_holders(now);
  if (context_.started) senders_.unknown_away(*context_.started, now.steady);
  // Of several key servers none knows all holders: a member that is shut out may have got the present epoch elsewhere.
  // The file from which an epoch was resumed may not name all either.
  const bool any = members_left || holders_left || peers || in_doubt();
  if (!any && !exclusion_.unknown_senders_away()) return false;
  std::uint64_t last_known = epochs_.newest();
  if (peers)
    last_known = std::max(last_known, held.value_or(maker().highest(config_.id)));
  else if (!any && !epochs_.empty())  // this process gave them nothing, but one before it may have
    last_known = resumption_.epoch() != 0 ? resumption_.epoch() : epochs_.oldest() - 1;
  exclusion_.begin(last_known, now.steady);
  hand_over_.stop_waiting_for_return(now.steady + config_.activation_delay);
  if (any) {
    resumption_.drop();
    // Those shut out hold the present epoch. During a hand-over they may hold the next one too: rekey once that is
    // done. Other key servers may begin at once.
    auto begun = peers ? ask_for_epoch("revocation", now) : rekey("revocation", now);
    if (!begun) schedule_.by(now.steady, "revocation");
  }
  note_exclusion_complete(now);
  return any;
}

// A sender that is connected keeps its lease. One that does not do as Activate says would go on for those shut out, so
// it loses its connection, and with it, a lease later, the right to send.
void GroupState::dismiss_who_does_not_switch(Moment now) {
  if (!exclusion_.is_switch_due(now.steady)) return;
  for (const std::string& name : exclusion_.overdue(seen_by_exclusion(), now.steady)) {
    MemberLink* const link = roster_.find(name)->link;
    audit_warning(
        Event("member_dismissed",
              {{"group", config_.id}, {"member", name}, {"why", "it did not switch to the epoch after a revocation"}}));
    leave(*link, now);
    link->dismiss("it did not switch to the new epoch in time");
  }
}

Exclusion::Group GroupState::seen_by_exclusion() const {
  if (!exclusion_.under_way()) return {};
  const Epoch* const active = epochs_.active();
  return {.senders = senders_.connected(),
          .active = active ? active->number : 0,
          // In a cluster others may send, and those that are back here soon.
          .nobody_sends = epochs_.empty() && !maker().has_peers(),
          .switched_elsewhere = maker().switched_elsewhere(config_.id, exclusion_.last_known())};
}

void GroupState::note_exclusion_complete(Moment now) {
  const auto took = exclusion_.completed(seen_by_exclusion(), now.steady);
  if (!took) return;
  if (const Epoch* active = epochs_.active(); active && !resumption_.is_resumed(active->number))
    resumption_.keep(*active, now);
  audit(Event("revocation_complete",
              {{"group", config_.id},
               {"after_ms", static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(*took).count())}}));
}

}  // namespace sealcast::keyserver
