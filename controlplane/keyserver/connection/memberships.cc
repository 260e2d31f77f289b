#include "controlplane/keyserver/connection/memberships.h"

#include <algorithm>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

std::chrono::milliseconds keepalives_of(const GroupState& group) {
  return std::chrono::milliseconds(group.shortest_lease()) / 4;
}

}  // namespace

Given given_of(const handshake::GroupKeying& keying) {
  const auto& assignment = keying.assignment;
  return {keying.epoch, keying.state, assignment.roles, {keying.epoch, assignment.first_slot, assignment.slot_count}};
}

Memberships::Memberships(SessionHost& host, MemberLink& link, std::string address)
    : host_(host), link_(link), address_(std::move(address)) {}

void Memberships::join(GroupState& group, const handshake::PeerIdentity& member, const Given& given) {
  groups_.insert(group.config().id);
  group.join(link_, member, address_, given, host_.now());
  host_.group_changed(group);
}

std::optional<std::chrono::milliseconds> Memberships::join_further(const std::string& group_id,
                                                                   const handshake::GroupFlow& flow) {
  const auto refuse = [&](handshake::Refusal why, const std::string& detail) {
    host_.handshake_failed("group_join_refused", address_, detail);
    link_.deliver(handshake::GroupRefused{group_id, why});
    return std::nullopt;
  };
  using enum handshake::Refusal;
  const handshake::PeerIdentity* proved = identity();
  GroupState* group = host_.find_group_state(group_id);
  if (!proved || !host_.serving()) return refuse(come_again, "cut off");
  if (!group) return refuse(refused, "no group " + escaped(group_id));
  if (!(group->config().flow == flow))
    return refuse(refused, "group " + escaped(group_id) + " is not keyed as this connection was");
  const handshake::PeerIdentity member = *proved;
  if (const auto verdict = group->may_join(member, host_.now()); !verdict.good()) return refuse(refused, verdict.why);
  auto keying = group->issue(member, address_, host_.now());
  host_.group_changed(*group);
  if (!keying) return refuse(come_again, keying.error().message);
  const Given given = given_of(*keying);
  audit(Event("key_sent",
              {{"group", group_id}, {"member", member.name}, {"epoch", keying->epoch}, {"address", Word{address_}}}));
  link_.deliver(handshake::GroupUpdate{std::move(*keying)});
  join(*group, member, given);
  return keepalives_of(*group);
}

bool Memberships::receive(const handshake::ControlMessage& message, bool asked_for_more) {
  if (groups_.empty()) return true;
  const std::string& named = *handshake::group_of(message);
  const bool leaving = std::holds_alternative<handshake::Leave>(message);
  const bool ours = contains(named);
  if (leaving && !ours && asked_for_more) return true;  // the group may have been refused before its Leave came
  // What is about no group of this connection is refused by any of them.
  const std::string id = ours ? named : *groups_.begin();
  GroupState* group = host_.find_group_state(id);
  if (!group) return true;
  const auto handled = group->receive(link_, message, host_.now());
  host_.group_changed(*group);
  if (handled) return true;
  groups_.erase(id);  // it has forgotten this connection
  return leaving && ours && !groups_.empty();
}

void Memberships::leave() {
  for (const std::string& id : std::exchange(groups_, {})) {
    GroupState* group = host_.find_group_state(id);
    if (!group) continue;
    group->leave(link_, host_.now());
    host_.group_changed(*group);
  }
}

std::chrono::milliseconds Memberships::keepalive_interval(std::chrono::milliseconds longest) const {
  auto interval = longest;
  for (const std::string& id : groups_)
    if (const GroupState* group = host_.find_group_state(id)) interval = std::min(interval, keepalives_of(*group));
  return interval;
}

// As any of its groups knows the member; nullptr: none does.
const handshake::PeerIdentity* Memberships::identity() const {
  const GroupState* group = groups_.empty() ? nullptr : host_.find_group_state(*groups_.begin());
  return group ? group->identity_of(link_) : nullptr;
}

}  // namespace sealcast::keyserver
