// One group's epochs, members and hand-overs: the rules of docs/key-server.md without a socket, a timer or a clock.
// Time is handed in, messages go out through MemberLink, numbers come from the store. It orders the steps of its parts,
// each of which owns its state: Epochs, Roster, HandOver, RekeySchedule, Exclusion, Senders, Issuer, Announcer,
// Resumption, Newcomers, Admission.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/keyserver/group/admission.h"
#include "controlplane/keyserver/group/announcer.h"
#include "controlplane/keyserver/group/attendance.h"
#include "controlplane/keyserver/group/epochs.h"
#include "controlplane/keyserver/group/exclusion.h"
#include "controlplane/keyserver/group/hand_over.h"
#include "controlplane/keyserver/group/issuer.h"
#include "controlplane/keyserver/group/local_epoch_maker.h"
#include "controlplane/keyserver/group/member_warnings.h"
#include "controlplane/keyserver/group/newcomers.h"
#include "controlplane/keyserver/group/parts.h"
#include "controlplane/keyserver/group/rekey_schedule.h"
#include "controlplane/keyserver/group/resumption.h"
#include "controlplane/keyserver/group/roster.h"
#include "controlplane/keyserver/group/senders.h"

namespace sealcast::keyserver {

// Shape: half of its methods are one-line answers that the key server asks for; the others are the steps that touch
// several parts at once.
class GroupState {
 public:
  GroupState(config::KeyserverGroup config, GroupContext& context) : config_(std::move(config)), context_(context) {}
  GroupState(const GroupState&) = delete;
  GroupState& operator=(const GroupState&) = delete;

  const config::KeyserverGroup& config() const { return config_; }
  // The new values hold from the next epoch on; members that may no longer be any are told so now, and a rekey begins.
  void reconfigure(config::KeyserverGroup config, Moment now);

  // Shuts out all that no longer stand, connected or only holders of a live epoch, and begins the next epoch at once,
  // or when the hand-over under way is done: its epoch went to them, too. False: there was none to shut out.
  // held: with an EpochMaker, the newest epoch that they may have got from any key server; empty: any that there is.
  // one: likewise, a single member was revoked, so that none but itself reads what it may still send.
  bool shut_out(Moment now, std::optional<std::uint64_t> held = {}, bool one = false);
  // The last shutting out, none since the start of this process: empty.
  std::optional<Exclusion::Progress> exclusion(Moment now) const {
    return exclusion_.progress(seen_by_exclusion(), now.steady);
  }

  // Whether a member that comes may have the group's epochs as far as its identity goes.
  Verdict may_join(const handshake::PeerIdentity& member, Moment now) const {
    return admission_.judge_comer(member, now);
  }
  // Of a member's connection; nullptr: it is none. Good until the group is called again.
  const handshake::PeerIdentity* identity_of(const MemberLink& link) const {
    const Member* const member = roster_.of(link);
    return member ? &member->identity : nullptr;
  }

  // For SMKE: authorises, begins the group's first epoch if there is none, burns slots durably. An error means that
  // nothing was given; its text is for the log.
  Result<handshake::GroupKeying> issue(const handshake::PeerIdentity& member, const std::string& address, Moment now);

  // Both Finished are verified: the newest connection of a member wins. What happened since SMKE is caught up on.
  void join(MemberLink& link, const handshake::PeerIdentity& identity, const std::string& address, const Given& given,
            Moment now);
  // The connection from this address ended before its member could begin to send: join() does not come any more.
  void did_not_join(const std::string& address) { exclusion_.sender_joined(address); }
  // The connection is gone. Unknown links are ignored.
  void leave(const MemberLink& link, Moment now);
  // An error means that the peer broke the protocol and must be dismissed; the group has forgotten it then.
  Result<void> receive(const MemberLink& link, const handshake::ControlMessage& message, Moment now);

  // Make-before-break: GroupUpdate to all, Activate when all acknowledged or activation_delay passed, Retire
  // deactivation_delay later. Members with a certificate that no longer stands are told Revoked, or Expired, and
  // neither sent to nor awaited.
  Result<void> rekey(const std::string& why, Moment now);

  // With an EpochKeeper, once at the beginning: the epoch that was active before the restart is so again, if nothing
  // speaks against it. Otherwise the first to come begins a new one.
  void resume(Moment now);

  // While nothing newer than that is there. What may shut a member out then ends it.
  bool in_doubt() const { return resumption_.is_resumed(epochs_.newest()); }

  // As after a restart: forgets all epochs and dismisses all members, so that no slot of a present epoch is issued any
  // more (H9). Members that come back get a new epoch, pending at first; those that sent may go on for their lease
  // (H11).
  void begin_anew(const std::string& why, Moment now);

  // Until when senders that are away may go on; empty: none is. For the group's next GroupState, should there be one.
  std::optional<SteadyTime> senders_go_on_until(Moment now) const { return exclusion_.senders_go_on_until(now.steady); }
  // Such senders are known from before this GroupState: revocations wait for them (H11).
  void await_senders(SteadyTime until, Moment now) { exclusion_.sender_left(0, until, now.steady); }

  // Takes over an epoch that was made for a cluster, as pending, and gives it to all members; one that is known is
  // ignored. An error means that none was given anything; call again.
  Result<void> adopt(MadeEpoch&& made, Moment now);
  // The epoch is active everywhere from now on; one that is not known, or active already, is ignored.
  void activated(std::uint64_t epoch, Moment now);
  // No sender here, nor any that was here within its lease, goes on under an epoch before this one. 0: there is none.
  std::uint64_t switched(Moment now) const { return senders_.switched(now.steady); }
  // Slots that adopt() will hand out.
  std::uint32_t slots_needed() const { return issuer_.slots_needed(); }

  // Does what is due. Call it at next_deadline().
  void on_time(Moment now);
  std::optional<SteadyTime> next_deadline() const;

  const std::vector<Epoch>& epochs() const { return epochs_.all(); }  // oldest first, four at most
  const Roster& roster() const { return roster_; }
  const Members& members() const { return roster_.members(); }
  const Holders& holders() const { return roster_.holders(); }
  bool handing_over() const { return hand_over_.under_way(); }
  // The last rekey, under way or done; empty: none since the start of this process.
  const std::optional<RekeyRecord>& last_rekey() const { return hand_over_.last(); }
  // A certificate or a revocation list has ended, or another list is there. Members that have expired are told so and
  // let go. True: a member, or a holder of a live epoch, has to be shut out.
  bool look_again(Moment now);
  // The shortest of the configured authority lease and those that live epochs were given out with: senders must hear
  // from the key server within it.
  std::chrono::seconds shortest_lease() const { return epochs_.shortest_lease(config_.authority_lease); }

 private:
  EpochMaker& maker() { return context_.maker ? *context_.maker : local_maker_; }
  const EpochMaker& maker() const {
    return context_.maker ? static_cast<const EpochMaker&>(*context_.maker) : local_maker_;
  }

  // Epochs: which one a member gets, and how the next one comes about.
  Result<Epoch*> current(Moment now);
  Result<Epoch*> next_for_newcomer(const handshake::PeerIdentity& member, Moment now);
  bool is_newcomer(const handshake::PeerIdentity& member, Moment now);
  Result<void> ask_for_epoch(const std::string& why, Moment now);
  Result<void> take_over(MadeEpoch&& made, Moment now);
  void await_holders(Moment now);
  void shorten_restart_wait(Moment now);
  void go_on_announcing(Moment now);
  void give_up_announcing(Moment now);
  void end_hand_over(Moment now);
  void end_hand_over_if_complete(Moment now);
  void activate(std::uint64_t epoch, std::size_t missing, Moment now);
  void retire_what_is_over(Moment now);
  void forget(std::uint64_t epoch);
  void send_all(const handshake::ControlMessage& message);

  // Members.
  bool catch_up(Member& member, const Given& given, Moment now);
  void remember_slots(Member& member, Moment now);
  void request_new_slots(const Member& member, Moment now);
  void assign_leaf(Member& member, Moment now);
  void remove(const std::string& member);  // and what is kept beside it
  void acknowledged(Member& member, std::uint64_t epoch, Moment now);
  void switched(Member& member, std::uint64_t epoch, Moment now);

  // Shutting out (H11).
  bool recheck_members(Moment now, bool expired_alone = false);
  bool shut_out_holders(Moment now);
  void turn_out(MemberLink& link, const handshake::PeerIdentity& member, const Verdict& verdict);
  void dismiss_who_does_not_switch(Moment now);
  Exclusion::Group seen_by_exclusion() const;
  void note_exclusion_complete(Moment now);

  std::string prefix() const { return audit_prefix(config_.id); }

  // A rekey that the store refused, or that other key servers do not begin.
  static constexpr std::chrono::seconds retry_after{5};

  config::KeyserverGroup config_;
  GroupContext& context_;
  LocalEpochMaker local_maker_{context_};
  Epochs epochs_;
  Roster roster_;
  HandOver hand_over_;
  RekeySchedule schedule_{hand_over_};
  Exclusion exclusion_;
  Admission admission_{config_, context_};
  Senders senders_{config_, epochs_, roster_, exclusion_};
  Announcer announcer_{config_, context_, admission_};
  Resumption resumption_{config_, context_, admission_};
  Newcomers newcomers_;
  MemberWarnings warnings_;
  Issuer issuer_{config_, context_, admission_, resumption_, roster_, schedule_, warnings_};
};

}  // namespace sealcast::keyserver
