// Which members of a group may send, and under which epoch; what the exclusion (H11) has to know of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/keyserver/group/epochs.h"
#include "controlplane/keyserver/group/exclusion.h"
#include "controlplane/keyserver/group/roster.h"

namespace sealcast::keyserver {

class Senders {
 public:
  // All must outlive it.
  Senders(const config::KeyserverGroup& config, const Epochs& epochs, const Roster& roster, Exclusion& exclusion)
      : config_(config), epochs_(epochs), roster_(roster), exclusion_(exclusion) {}

  // Whether the member sends, or was given slots in an epoch that lives: one that only receives in the next epoch sends
  // under the present one until Activate.
  bool may_send(const Member& member) const;
  // Connected, and able to send under an epoch that lives.
  std::vector<Exclusion::Sender> connected() const;
  // No sender here, nor any that was here within its lease, goes on under an epoch before this one. 0: none is active.
  std::uint64_t switched(SteadyTime now) const;

  // The peer at this address was given an epoch, and did not join yet.
  void given(const std::string& address, const handshake::GroupKeying& keying, SteadyTime now);
  // The peer that was given this completed its handshake, and must not join: it may have begun to send.
  void refused(const Given& given, SteadyTime now);
  // The member's connection is gone. It goes on until its lease ends.
  void left(const Member& member, SteadyTime now);
  // The member is shut out. Whether Revoked reaches it is not known.
  void shut_out(const Member& member, SteadyTime now);
  // Senders that this process does not know may go on for a lease from `since`.
  void unknown_away(SteadyTime since, SteadyTime now) { exclusion_.sender_left(0, lease_from(since), now); }

  // When the lease ends of a sender that was last heard of then.
  SteadyTime lease_from(SteadyTime time) const { return time + epochs_.longest_lease(config_.authority_lease); }

 private:
  const config::KeyserverGroup& config_;
  const Epochs& epochs_;
  const Roster& roster_;
  Exclusion& exclusion_;
};

}  // namespace sealcast::keyserver
