#include "controlplane/keyserver/group/senders.h"

#include <algorithm>

namespace sealcast::keyserver {

bool Senders::may_send(const Member& member) const {
  if (member.sends()) return true;
  return std::any_of(member.slots.begin(), member.slots.end(),
                     [&](const SlotRun& run) { return epochs_.lives(run.epoch); });
}

std::vector<Exclusion::Sender> Senders::connected() const {
  std::vector<Exclusion::Sender> out;
  for (const auto& [name, member] : roster_.members())
    if (may_send(member)) out.push_back({name, member.activated});
  return out;
}

std::uint64_t Senders::switched(SteadyTime now) const {
  const Epoch* const active = epochs_.active();
  if (!active) return 0;
  std::uint64_t least = active->number;
  for (const Exclusion::Sender& sender : connected())
    least = std::min(least, sender.activated);
  return exclusion_.earliest_in_use(least, now);
}

void Senders::given(const std::string& address, const handshake::GroupKeying& keying, SteadyTime now) {
  if ((keying.assignment.roles & handshake::sender) == 0) return;
  // With a pending epoch it goes on under what it had before.
  const std::uint64_t epoch = keying.state == handshake::EpochState::active ? keying.epoch : 0;
  exclusion_.sender_joining(address, keying.assignment.member_id, epoch, lease_from(now), now);
}

void Senders::refused(const Given& given, SteadyTime now) {
  if ((given.roles & handshake::sender) == 0) return;
  exclusion_.sender_left(given.state == handshake::EpochState::active ? given.epoch : 0, lease_from(now), now);
}

void Senders::left(const Member& member, SteadyTime now) {
  if (may_send(member)) exclusion_.sender_left(member.activated, lease_from(now), now);
}

void Senders::shut_out(const Member& member, SteadyTime now) {
  exclusion_.shut_out(member.identity.name);
  if (may_send(member)) exclusion_.sender_shut_out(member.identity.name, member.activated, lease_from(now), now);
}

}  // namespace sealcast::keyserver
