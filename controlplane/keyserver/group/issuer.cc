#include "controlplane/keyserver/group/issuer.h"

#include <algorithm>
#include <chrono>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

using handshake::EpochState;
using handshake::GroupKeying;
using handshake::PeerIdentity;
using std::chrono::milliseconds;

// As many as the member was last given at once: one for each of its sending cores.
std::uint32_t slots_wanted(const Member& member) {
  return member.slots.empty() ? 1 : member.slots.back().count;
}

}  // namespace

Result<GroupKeying> Issuer::give(Epoch& epoch, const PeerIdentity& identity, const std::string& address, Moment now) {
  return give(epoch, identity, address, 1, now);
}

Result<GroupKeying> Issuer::give(Epoch& epoch, const PeerIdentity& identity, const std::string& address,
                                 std::uint32_t wanted, Moment now) {
  const bool resumed = resumption_.is_resumed(epoch.number);
  std::uint32_t slots = admission_.may_send(identity) && !resumed ? wanted : 0;
  std::uint32_t& granted = epoch.granted[identity.name];
  if (slots && (granted + slots > config_.slots_per_member || epoch.slots_used() + slots > epoch.capacity())) {
    warnings_.warn(Event("slots_refused", {{"group", config_.id},
                                           {"member", identity.name},
                                           {"epoch", epoch.number},
                                           {"wanted", slots},
                                           {"granted", granted},
                                           {"quota", config_.slots_per_member},
                                           {"used", epoch.slots_used()},
                                           {"why", "its quota or the block is used up; it only receives"}}),
                   now);
    // Used up by earlier registrations: in a new epoch there are slots for it again.
    if (epoch.phase == Phase::active && granted > 0 && slots <= config_.slots_per_member)
      schedule_.soon(now.steady, "a sender's slots are used up");
    slots = 0;
  }
  // A resumed epoch has no slots to give, but members that have some go on.
  const bool sends = slots != 0 || (resumed && admission_.may_send(identity));
  const handshake::Role roles = sends ? handshake::sender_and_receiver : handshake::receiver;
  SEALCAST_TRY_ASSIGN(const auto given,
                      context_.store->issue({config_.id, epoch.number, identity.name, identity.serial_hex, address,
                                             roles, static_cast<std::uint16_t>(slots), now.unix_seconds,
                                             context_.keeper ? EpochKeeper::bytes_of(identity) : std::string()}));
  granted += slots;
  epoch.policy.slots_used = given.slots_used;

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
  keying.assignment.first_slot = slots ? given.first_slot : std::uint16_t{0};
  keying.assignment.slot_count = static_cast<std::uint16_t>(slots);
  keying.zero = epoch.zero;
  if (context_.clock) keying.clock = context_.clock->read();
  keying.premaster = epoch.premaster->clone();
  return keying;
}

Result<GroupKeying> Issuer::give_again(const Member& member, Epoch& epoch, Moment now) {
  auto keying = give(epoch, member.identity, member.address, slots_wanted(member), now);
  if (!keying)
    audit_error(Event("update_failed", {{"group", config_.id},
                                        {"member", member.identity.name},
                                        {"epoch", epoch.number},
                                        {"why", keying.error().message}}));
  return keying;
}

Result<std::vector<Issuer::Update>> Issuer::updates(Epoch& epoch, const std::vector<Member*>& members, Moment now) {
  std::vector<Update> out;
  if (members.empty()) return out;
  // One commit for all, not one each: this thread serves all others, too (H13).
  SEALCAST_TRY(context_.store->begin_batch());
  for (Member* member : members)
    if (auto keying = give_again(*member, epoch, now)) out.emplace_back(member, std::move(*keying));
  SEALCAST_TRY(context_.store->end_batch());
  // Receivers are told of each slot that this hand-over gives out: a key that they began to derive only with its first
  // packet would be too late for a fast stream.
  for (auto& [member, keying] : out)
    keying.policy.slots_used = epoch.policy.slots_used;
  return out;
}

void Issuer::note_holder(const Member& member, std::uint64_t epoch) {
  roster_.note_holder(member.identity, epoch);
  audit_holding({config_.id, epoch, member.identity.name, member.identity.serial_hex, member.address});
}

void Issuer::tell(Member& member, GroupKeying keying) {
  const auto& assignment = keying.assignment;
  member.roles = assignment.roles;
  if (assignment.slot_count) member.slots.push_back({keying.epoch, assignment.first_slot, assignment.slot_count});
  note_holder(member, keying.epoch);
  // Whatever its phase, Activate follows on its own: only Activate switches a sender.
  keying.state = EpochState::pending;
  member.link->deliver(handshake::GroupUpdate{std::move(keying)});
}

bool Issuer::update(Member& member, Epoch& epoch, Moment now) {
  auto keying = give_again(member, epoch, now);
  if (!keying) return false;
  tell(member, std::move(*keying));
  return true;
}

std::uint32_t Issuer::slots_needed() const {
  std::uint32_t needed = 0;
  for (const auto& [name, member] : roster_.members())
    if (admission_.may_send(member.identity)) needed += slots_wanted(member);
  return needed;
}

handshake::SlotGrant Issuer::grant(Member& member, const handshake::SlotRequest& request, Epoch* epoch, Moment now) {
  handshake::SlotGrant answer{config_.id, request.epoch, 0, 0, 0};
  const bool usable = epoch && epoch->phase != Phase::old;
  const std::string why = usable ? try_to_grant(member, request.count, *epoch, answer, now)
                                 : std::string("expected the active or the pending epoch");
  if (!answer.count)
    warnings_.warn(Event("slots_refused", {{"group", config_.id},
                                           {"member", member.identity.name},
                                           {"epoch", request.epoch},
                                           {"wanted", request.count},
                                           {"why", why}}),
                   now);
  return answer;
}

std::string Issuer::try_to_grant(Member& member, std::uint16_t count, Epoch& epoch, handshake::SlotGrant& answer,
                                 Moment now) {
  answer.slots_used = epoch.policy.slots_used;
  std::uint32_t& granted = epoch.granted[member.identity.name];
  if (!member.sends()) return "a receiver gets no slots";
  if (resumption_.is_resumed(epoch.number)) return "the epoch is from before a restart; the next one has slots";
  if (count == 0 || granted + count > config_.slots_per_member) {
    // As for a newcomer, unless no epoch's quota holds the slot of its registration and these.
    const bool another_would_do = count != 0 && count < config_.slots_per_member;
    if (epoch.phase == Phase::active && another_would_do) schedule_.soon(now.steady, "a sender's slots are used up");
    return "expected 1 to " + std::to_string(config_.slots_per_member - std::min(granted, config_.slots_per_member)) +
           " slots (quota)";
  }
  if (epoch.slots_used() + count > epoch.capacity()) return "the epoch's slots are used up";
  const auto given = context_.store->issue({config_.id, epoch.number, member.identity.name, member.identity.serial_hex,
                                            member.address, member.roles, count, now.unix_seconds});
  if (!given) return given.error().message;
  granted += count;
  epoch.policy.slots_used = given->slots_used;
  answer.first_slot = given->first_slot;
  answer.count = count;
  answer.slots_used = given->slots_used;
  member.slots.push_back({epoch.number, given->first_slot, count});
  warnings_.tell(Event("slots_granted", {{"group", config_.id},
                                         {"member", member.identity.name},
                                         {"epoch", epoch.number},
                                         {"first", given->first_slot},
                                         {"count", count}}),
                 now);
  return {};
}

void Issuer::take_report(Member& member, const handshake::StatusReport& report, const Epoch& epoch, Moment now) {
  for (const handshake::SlotCounter& counter : report.own_slots) {
    const std::uint32_t slot = counter.spi - epoch.policy.spi_prefix;
    const bool own = std::any_of(member.slots.begin(), member.slots.end(), [&](const SlotRun& run) {
      return run.epoch == report.epoch && slot >= run.first && slot - run.first < run.count;
    });
    if (!own)
      return warnings_.warn(Event("report_ignored", {{"group", config_.id},
                                                     {"member", member.identity.name},
                                                     {"why", "it reports a slot that is not its own"},
                                                     {"spi", counter.spi}}),
                            now);
  }
  for (const handshake::SlotCounter& counter : report.own_slots) {
    const bool much = counter.packets >= config_.rekey_after_packets || counter.bytes >= config_.rekey_after_bytes;
    if (epoch.phase == Phase::active && much) schedule_.soon(now.steady, "volume");
  }
  member.report = report;
  member.report->own_slots.clear();
  member.report->own_slots.shrink_to_fit();
  member.reported = now.steady;
}

void Issuer::rekey_when_nearly_used(const Epoch& epoch, Moment now) {
  if (epoch.phase == Phase::active && epoch.slots_used() * 4 >= epoch.capacity() * 3)
    schedule_.soon(now.steady, "the group's slots are nearly used up");
}

}  // namespace sealcast::keyserver
