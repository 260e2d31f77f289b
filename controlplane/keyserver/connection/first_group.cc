#include "controlplane/keyserver/connection/first_group.h"

#include "controlplane/keyserver/connection/memberships.h"

namespace sealcast::keyserver {

std::optional<handshake::GroupFlow> FirstGroup::find_group(const std::string& group_id) {
  const GroupState* group = host_.find_group_state(group_id);
  if (!group) return std::nullopt;
  asked_for_ = group_id;
  flow_ = group->config().flow;
  return flow_;
}

Result<handshake::GroupKeying> FirstGroup::issue(const std::string& group_id, const handshake::PeerIdentity& member) {
  host_.notice_resume();
  GroupState* group = host_.find_group_state(group_id);
  if (!group) return fail("no such group");
  const handshake::PeerIdentity identity = proved(member);
  auto keying = group->issue(identity, address_, host_.now());
  host_.group_changed(*group);
  if (!keying) {
    refusal_ = keying.error().message;
    come_again_ = group->may_join(identity, host_.now()).good();
    return keying;
  }
  issued_in_ = group_id;
  given_ = given_of(*keying);
  return keying;
}

handshake::Grace FirstGroup::grace(const std::string& group_id, const handshake::PeerIdentity& member) {
  const GroupState* group = host_.find_group_state(group_id);
  return group ? grace_of(group->config(), host_.knows(member, group_id)) : handshake::Grace{};
}

bool FirstGroup::wait_for_slots(std::function<void()> then) {
  return !asked_for_.empty() && slots_.wait(host_, asked_for_, std::move(then));
}

std::string FirstGroup::explained(const std::string& detail) const {
  const bool told = refusal_.empty() || detail.find(refusal_) != std::string::npos;
  return told ? detail : detail + ": " + refusal_;
}

std::optional<Given> FirstGroup::take(const std::string& group_id) {
  if (group_id != issued_in_) return std::nullopt;
  return std::exchange(given_, std::nullopt);
}

void FirstGroup::give_up() {
  // A member of variant 1 sends from its own Finished on, and may hold that back. The others need our Finished, which
  // leaves when there is a membership.
  if (!std::exchange(given_, std::nullopt) || flow_.variant == 1) return;
  if (GroupState* group = host_.find_group_state(issued_in_)) group->did_not_join(address_);
}

}  // namespace sealcast::keyserver
