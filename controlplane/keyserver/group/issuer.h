// What members are given of a group's epochs: burns slots and notes holders on disk first, then makes what SMKE,
// GroupUpdate and SlotGrant say. Keeps to the members' quotas, and asks for a rekey when slots or counters run out.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/keyserver/group/admission.h"
#include "controlplane/keyserver/group/member_warnings.h"
#include "controlplane/keyserver/group/rekey_schedule.h"
#include "controlplane/keyserver/group/resumption.h"
#include "controlplane/keyserver/group/roster.h"

namespace sealcast::keyserver {

class Issuer {
 public:
  // All must outlive it; the configuration is looked at anew each time.
  Issuer(const config::KeyserverGroup& config, GroupContext& context, const Admission& admission,
         const Resumption& resumption, Roster& roster, RekeySchedule& schedule, MemberWarnings& warnings)
      : config_(config),
        context_(context),
        admission_(admission),
        resumption_(resumption),
        roster_(roster),
        schedule_(schedule),
        warnings_(warnings) {}

  // For SMKE, with one slot for a sender. A sender beyond its quota, or beyond the end of the block, only receives. An
  // error means that nothing was given; its text is for the log.
  Result<handshake::GroupKeying> give(Epoch& epoch, const handshake::PeerIdentity& identity, const std::string& address,
                                      Moment now);

  using Update = std::pair<Member*, handshake::GroupKeying>;
  // For GroupUpdate: the epoch for these members, in one commit to disk; those that it fails for are left out. An error
  // means that none was given anything.
  Result<std::vector<Update>> updates(Epoch& epoch, const std::vector<Member*>& members, Moment now);
  // The member is given the epoch; where updates() made what it is told, by other means than tell().
  void note_holder(const Member& member, std::uint64_t epoch);
  // Sends what updates() made.
  void tell(Member& member, handshake::GroupKeying keying);
  // Both, for one member. False: the member was not told, and it is in the log.
  bool update(Member& member, Epoch& epoch, Moment now);

  // Slots that updates() for all members will hand out.
  std::uint32_t slots_needed() const;

  // The answer to a member's request for more slots. epoch: the one of the request; nullptr: it does not live.
  handshake::SlotGrant grant(Member& member, const handshake::SlotRequest& request, Epoch* epoch, Moment now);
  // What a member reports of its own slots. A report of a slot that is not its own is ignored: by its counters any
  // member could have everything rekeyed.
  void take_report(Member& member, const handshake::StatusReport& report, const Epoch& epoch, Moment now);
  // A nearly used block of slots asks for a rekey.
  void rekey_when_nearly_used(const Epoch& epoch, Moment now);

 private:
  Result<handshake::GroupKeying> give(Epoch& epoch, const handshake::PeerIdentity& identity, const std::string& address,
                                      std::uint32_t slots, Moment now);
  Result<handshake::GroupKeying> give_again(const Member& member, Epoch& epoch, Moment now);
  // Grants the slots, or says why not.
  std::string try_to_grant(Member& member, std::uint16_t count, Epoch& epoch, handshake::SlotGrant& answer, Moment now);

  const config::KeyserverGroup& config_;
  GroupContext& context_;
  const Admission& admission_;
  const Resumption& resumption_;
  Roster& roster_;
  RekeySchedule& schedule_;
  MemberWarnings& warnings_;
};

}  // namespace sealcast::keyserver
