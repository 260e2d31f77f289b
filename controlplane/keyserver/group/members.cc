// GroupState's members: they join, leave, report, and ask for slots.
#include <algorithm>

#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {
namespace {

using handshake::ControlMessage;
using handshake::EpochState;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

}  // namespace

void GroupState::join(MemberLink& link, const PeerIdentity& identity, const std::string& address, const Given& given,
                      Moment now) {
  if (auto good = may_join(identity, now); !good) {
    // It may have begun to send with our Finished.
    if ((given.roles & handshake::sender) != 0)
      exclusion_.sender_left(given.state == EpochState::active ? given.epoch : 0, now.steady + longest_lease(),
                             now.steady);
    return turn_out(link, identity, good.error().message);
  }
  if (const auto older = members_.find(identity.name); older != members_.end()) {
    MemberLink* old_link = older->second.link;
    note_departure(older->second, now);
    audit("member_replaced " + prefix() + "member=" + escaped(identity.name) + " old_address=" + older->second.address +
          " address=" + address);
    remove(identity.name);
    old_link->dismiss("a newer connection of the same member");
  }
  exclusion_.sender_joined(address);
  Member& member = members_[identity.name];
  member.link = &link;
  by_link_[&link] = &member;
  member.identity = identity;
  member.address = address;
  member.roles = given.roles;
  member.joined = now.steady;
  member.acknowledged = given.epoch;
  if (given.state == EpochState::active) member.activated = given.epoch;
  if (given.slots.count) member.slots.push_back(given.slots);
  audit("member_joined " + prefix() + "member=" + escaped(identity.name) + " address=" + address +
        " carriage=" + std::string(config::name(link.carriage())) + " serial=" + identity.serial_hex + " epoch=" +
        std::to_string(given.epoch) + (given.slots.count ? " slot=" + std::to_string(given.slots.first) : ""));
  remember_slots(member, now);
  if (!catch_up(member, given, now)) {
    leave(link, now);
    return link.dismiss("it could not be given the active epoch; it may come again");
  }
  assign_leaf(member, now);
  shorten_restart_wait(now);
  // After a restart it is awaited until it says that it has installed what it was given: our Finished, on which it does
  // so, has not even left yet.
  if (!in_phase(epochs_, Phase::active) && !in_phase(epochs_, Phase::pending) && !context_.maker) {
    // What it was given is over: everybody else had left meanwhile.
    if (auto begun = rekey("no epoch left", now); !begun) {
      audit_error("rekey_failed " + prefix() + "why=" + escaped(begun.error().message));
      rekey_at_ = now.steady + retry_after;
    }
  }
}

void GroupState::assign_leaf(Member& member, Moment now) {
  if (auto assigned = announcer_.assign_leaf(member); !assigned)
    return warn_of_member("no_key_path " + prefix() + "member=" + escaped(member.identity.name) +
                              " why=" + escaped(assigned.error().message),
                          now);
  if (member.leaf && announcer_.many_have_left()) rekey_soon(now);
}

const PeerIdentity* GroupState::identity_of(const MemberLink& link) const {
  const auto found = by_link_.find(&link);
  return found == by_link_.end() ? nullptr : &found->second->identity;
}

// False: it has no key that is of use, and would not know.
bool GroupState::catch_up(Member& member, const Given& given, Moment now) {
  Epoch* active = in_phase(epochs_, Phase::active);
  if (config_.rekey_on_join && active && given.epoch > active->number) active = nullptr;  // from before it came
  if (active) {
    const bool missed = active->number != given.epoch;
    if (missed && !update(member, *active, now)) return false;
    if (missed || given.state == EpochState::pending) {
      member.link->deliver(handshake::Activate{config_.id, active->number});
      if (may_go_on(member)) exclusion_.sender_must_switch(member.identity.name);
    }
  }
  Epoch* pending = in_phase(epochs_, Phase::pending);
  if (pending && pending->number != given.epoch && update(member, *pending, now) && hand_over_)
    hand_over_->awaited.insert(member.identity.name);
  return true;
}

// Whether it sends, or was given slots in an epoch that is alive: who is only a receiver in the next epoch sends under
// the present one until Activate (H11).
bool GroupState::may_go_on(const Member& member) const {
  if (member.sends()) return true;
  return std::any_of(member.slots.begin(), member.slots.end(), [&](const SlotRun& run) {
    return std::any_of(epochs_.begin(), epochs_.end(), [&](const Epoch& epoch) { return epoch.number == run.epoch; });
  });
}

void GroupState::leave(const MemberLink& link, Moment now) {
  const Member* member = member_of(link);
  if (!member) return;
  const std::string id = member->identity.name;
  audit("member_left " + prefix() + "member=" + escaped(id) + " address=" + member->address);
  note_departure(*member, now);
  remove(id);
  // A restart's hand-over waits for members to come back, so there is nothing to stop waiting for.
  if (hand_over_ && in_phase(epochs_, Phase::active)) {
    hand_over_->awaited.erase(id);
    activate_if_all_acknowledged(now);
  }
}

Result<void> GroupState::receive(const MemberLink& link, const ControlMessage& message, Moment now) {
  Member* member = member_of(link);
  if (!member) return fail("not a member of the group any more");
  const auto refuse = [&](const std::string& why) -> Result<void> {
    audit_warning("member_dismissed " + prefix() + "member=" + escaped(member->identity.name) + " why=" + escaped(why));
    leave(link, now);
    return fail(why);
  };
  const auto other_group = [&](const std::string& id) { return id != config_.id; };
  constexpr const char* wrong_group = "a control message for another group than the connection's";

  if (const auto* ack = std::get_if<handshake::GroupUpdateAck>(&message)) {
    if (other_group(ack->group_id)) return refuse(wrong_group);
    if (!find(ack->epoch)) return {};  // retired meanwhile
    member->acknowledged = std::max(member->acknowledged, ack->epoch);
    if (hand_over_ && hand_over_->epoch == ack->epoch) {
      if (hand_over_->announcement) member->missed = 0;
      if (hand_over_->awaited.erase(member->identity.name) != 0 && last_rekey_record_ &&
          last_rekey_record_->epoch == ack->epoch)
        last_rekey_record_->acknowledge(member->identity.name, now.steady);
      activate_if_all_acknowledged(now);
    }
  } else if (const auto* activated = std::get_if<handshake::ActivateAck>(&message)) {
    if (other_group(activated->group_id)) return refuse(wrong_group);
    if (const Epoch* epoch = find(activated->epoch); !epoch || epoch->phase == Phase::pending) return {};
    member->activated = std::max(member->activated, activated->epoch);
    const Epoch* active = in_phase(epochs_, Phase::active);
    if (!active || member->activated < active->number || !exclusion_.sender_switched(member->identity.name)) return {};
    audit("senders_switched " + prefix() + "epoch=" + std::to_string(active->number));
    note_exclusion_complete(now);
  } else if (const auto* request = std::get_if<handshake::SlotRequest>(&message)) {
    if (other_group(request->group_id)) return refuse(wrong_group);
    grant(*member, *request, now);
  } else if (const auto* report = std::get_if<handshake::StatusReport>(&message)) {
    if (other_group(report->group_id)) return refuse(wrong_group);
    take_report(*member, *report, now);
  } else if (std::holds_alternative<handshake::Keepalive>(message)) {
    // Receiving it was all: the member is there.
  } else if (const auto* goodbye = std::get_if<handshake::Leave>(&message)) {
    if (other_group(goodbye->group_id)) return refuse(wrong_group);
    leave(link, now);
    if (config_.rekey_on_leave && !epochs_.empty()) rekey_for_leave(now);
    return fail("it left the group");
  } else {
    return refuse("a control message that only a key server sends");
  }
  return {};
}

void GroupState::grant(Member& member, const handshake::SlotRequest& request, Moment now) {
  handshake::SlotGrant answer{config_.id, request.epoch, 0, 0, 0};
  Epoch* epoch = find(request.epoch);
  std::string why;
  if (!epoch || epoch->phase == Phase::old) {
    why = "expected the active or the pending epoch";
  } else {
    answer.slots_used = epoch->policy.slots_used;
    std::uint32_t& granted = epoch->granted[member.identity.name];
    if (!member.sends()) {
      why = "a receiver gets no slots";
    } else if (resumption_.is_resumed(epoch->number)) {
      why = "the epoch is from before a restart; the next one has slots";
      request_new_slots(member, now);
    } else if (request.count == 0 || granted + request.count > config_.slots_per_member) {
      why = "expected 1 to " + std::to_string(config_.slots_per_member - std::min(granted, config_.slots_per_member)) +
            " slots (quota)";
      // As for a newcomer, unless no epoch's quota holds the slot of its registration and these.
      const bool another_would_do = request.count != 0 && request.count < config_.slots_per_member;
      if (epoch->phase == Phase::active && another_would_do) rekey_soon(now);
    } else if (epoch->slots_used() + request.count > epoch->capacity()) {
      why = "the epoch's slots are used up";
    } else {
      const auto given =
          context_.store->issue({config_.id, epoch->number, member.identity.name, member.identity.serial_hex,
                                 member.address, member.roles, request.count, now.unix_seconds});
      if (given) {
        granted += request.count;
        epoch->policy.slots_used = given->slots_used;
        answer.first_slot = given->first_slot;
        answer.count = request.count;
        answer.slots_used = given->slots_used;
        member.slots.push_back({epoch->number, given->first_slot, request.count});
        audit("slots_granted " + prefix() + "member=" + escaped(member.identity.name) +
              " epoch=" + std::to_string(epoch->number) + " first=" + std::to_string(given->first_slot) +
              " count=" + std::to_string(request.count));
      } else {
        why = given.error().message;
      }
    }
  }
  if (!answer.count) {
    warn_of_member("slots_refused " + prefix() + "member=" + escaped(member.identity.name) +
                       " epoch=" + std::to_string(request.epoch) + " wanted=" + std::to_string(request.count) +
                       " why=" + escaped(why),
                   now);
  }
  member.link->deliver(answer);
  if (epoch) rekey_when_nearly_used(*epoch, now);
}

// Counters of slots that are not the reporter's own are ignored: a floor near 2^64 would shut the true sender out.
void GroupState::take_report(Member& member, const handshake::StatusReport& report, Moment now) {
  Epoch* epoch = find(report.epoch);
  if (!epoch) return on_report_of_older_epoch(member, report.epoch);
  for (const handshake::SlotCounter& counter : report.own_slots) {
    const std::uint32_t slot = counter.spi - epoch->policy.spi_prefix;
    const bool own = std::any_of(member.slots.begin(), member.slots.end(), [&](const SlotRun& run) {
      return run.epoch == report.epoch && slot >= run.first && slot - run.first < run.count;
    });
    if (!own) {
      warn_of_member("report_ignored " + prefix() + "member=" + escaped(member.identity.name) +
                         " why=\"it reports a slot that is not its own\" spi=" + std::to_string(counter.spi),
                     now);
      return;
    }
  }
  for (const handshake::SlotCounter& counter : report.own_slots) {
    auto& floor = epoch->floors[static_cast<std::uint16_t>(counter.spi - epoch->policy.spi_prefix)];
    floor = std::max(floor, counter.next_number);
    const bool much = counter.next_number > config_.rekey_after_packets || counter.bytes >= config_.rekey_after_bytes;
    if (epoch->phase == Phase::active && much) rekey_soon(now);
  }
  member.report = report;
  member.report->own_slots.clear();
  member.report->own_slots.shrink_to_fit();
  member.reported = now.steady;
}

// ---------------------------------------------------------------- a resumed epoch

void GroupState::resume(Moment now) {
  auto resumed = resumption_.resume(now);
  if (!resumed) return;
  Epoch& epoch = resumed->epoch;
  for (const PeerIdentity& holder : resumed->holders)
    note_holder(holder, epoch.number);
  const milliseconds delays(epoch.policy.activation_delay_ms + epoch.policy.deactivation_delay_ms);
  rekey_at_ = std::max(*resumption_.back_by(), epoch.expires - delays);
  last_rekey_ = now.steady;
  epochs_.push_back(std::move(epoch));
}

// The file from which the newest epoch was resumed may be an older copy: then members hold it that it does not name.
bool GroupState::in_doubt() const {
  return !epochs_.empty() && resumption_.is_resumed(epochs_.back().number);
}

// A member that comes back to a resumed epoch. The slots that its machine was given before are its own to report on;
// one that was given none needs the next epoch.
void GroupState::remember_slots(Member& member, Moment now) {
  const Epoch* active = in_phase(epochs_, Phase::active);
  if (!active || !resumption_.is_resumed(active->number)) return;
  const auto slots = resumption_.slots_of(member.identity.name);
  if (slots.empty() && admission_.may_send(member.identity)) request_new_slots(member, now);
  member.slots.insert(member.slots.begin(), slots.begin(), slots.end());
}

// Nothing is given out in a resumed epoch; the next one has slots for all.
void GroupState::request_new_slots(const Member& member, Moment now) {
  resumption_.needs_slots(member.identity.name);
  shorten_restart_wait(now);
  if (!hand_over_ && (!rekey_at_ || *rekey_at_ > now.steady)) rekey_at_ = now.steady;
}

}  // namespace sealcast::keyserver
