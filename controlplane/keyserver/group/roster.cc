#include "controlplane/keyserver/group/roster.h"

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {

const Member* Roster::find(const std::string& name) const {
  const auto found = members_.find(name);
  return found == members_.end() ? nullptr : &found->second;
}

const Member* Roster::of(const MemberLink& link) const {
  const auto found = by_link_.find(&link);
  return found == by_link_.end() ? nullptr : found->second;
}

Member& Roster::add(MemberLink& link, const handshake::PeerIdentity& identity) {
  Member& member = members_[identity.name];
  member.link = &link;
  member.identity = identity;
  by_link_[&link] = &member;
  ++changes_;
  return member;
}

void Roster::remove(const std::string& name) {
  const auto found = members_.find(name);
  if (found == members_.end()) return;
  ++changes_;
  by_link_.erase(found->second.link);
  members_.erase(found);
}

void Roster::note_holder(const handshake::PeerIdentity& identity, std::uint64_t epoch) {
  const std::size_t before = holders_.size();
  Holder& holder = holders_[principal_of(identity)];
  changes_ += holders_.size() - before;
  holder.identity = identity;
  holder.epoch = std::max(holder.epoch, epoch);
}

void Roster::forget_epoch(std::uint64_t epoch) {
  for (auto& [name, member] : members_) {
    auto& slots = member.slots;
    for (auto run = slots.begin(); run != slots.end() && slots.size() > 1;)
      run = run->epoch == epoch ? slots.erase(run) : run + 1;
  }
  remove_holders([&](const Holder& holder) { return holder.epoch == epoch; });
}

Members Roster::clear() {
  ++changes_;
  by_link_.clear();
  holders_.clear();
  return std::exchange(members_, {});
}

}  // namespace sealcast::keyserver
