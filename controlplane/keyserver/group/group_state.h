// One group's epochs, members and hand-overs: the rules of docs/key-server.md without a socket, a timer or a clock.
// Time is handed in, messages go out through MemberLink, numbers come from the store.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/admission.h"
#include "controlplane/keyserver/group/announcer.h"
#include "controlplane/keyserver/group/attendance.h"
#include "controlplane/keyserver/group/exclusion.h"
#include "controlplane/keyserver/group/newcomers.h"
#include "controlplane/keyserver/group/parts.h"
#include "controlplane/keyserver/group/rekey_record.h"
#include "controlplane/keyserver/group/resumption.h"

namespace sealcast::keyserver {

class GroupState {
 public:
  GroupState(config::KeyserverGroup config, GroupContext& context);
  ~GroupState();
  GroupState(const GroupState&) = delete;
  GroupState& operator=(const GroupState&) = delete;

  const config::KeyserverGroup& config() const { return config_; }
  // The new values hold from the next epoch on; who may no longer be a member is told so now, and a rekey begins.
  void reconfigure(config::KeyserverGroup config, Moment now);

  // Shuts out whoever no longer stands, connected or only a holder of a live epoch, and begins the next epoch at once,
  // or when the hand-over under way is done: its epoch went to them, too. False: there was nobody to shut out.
  // held: with an EpochMaker, the newest epoch that they may have got from any key server; empty: any that there is.
  // one: likewise, a single member was revoked, so that nobody reads what it may still send but itself.
  bool shut_out(Moment now, std::optional<std::uint64_t> held = {}, bool one = false);
  // The last shutting out, none since the start of this process: empty.
  std::optional<Exclusion::Progress> exclusion(Moment now) const {
    return exclusion_.progress(seen_by_exclusion(), now.steady);
  }

  // Whether the member may have the group's epochs as far as its identity goes; the text is for the log.
  Result<void> may_join(const handshake::PeerIdentity& member, Moment now) const {
    return admission_.stands(member, now);
  }
  // Of a member's connection; nullptr: it is none. Good until the group is called again.
  const handshake::PeerIdentity* identity_of(const MemberLink& link) const;

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
  // deactivation_delay later. Members whose certificate no longer stands are Revoked and neither sent to nor awaited.
  Result<void> rekey(const std::string& why, Moment now);

  // With an EpochKeeper, once at the beginning: the epoch that was active before the restart is so again, if nothing
  // speaks against it. Otherwise the first to come begins a new one.
  void resume(Moment now);

  // While nothing newer than that is there. Whatever may shut somebody out then ends it.
  bool in_doubt() const;

  // As after a restart: forgets all epochs and dismisses everybody, so that no slot of a present epoch is issued any
  // more (H9). Who comes back gets a new epoch, pending at first; who sent may go on for its lease (H11).
  void begin_anew(const std::string& why, Moment now);

  // Until when senders that are away may go on; empty: none is. For the group's next GroupState, should there be one.
  std::optional<SteadyTime> senders_go_on_until(Moment now) const { return exclusion_.senders_go_on_until(now.steady); }
  // Such senders are known from before this GroupState: revocations wait for them (H11).
  void await_senders(SteadyTime until, Moment now) { exclusion_.sender_left(0, until, now.steady); }

  // With an EpochMaker: takes over an epoch as pending and gives it to all members; one that is known is ignored. An
  // error means that nobody was given anything; call again.
  Result<void> adopt(SharedEpoch&& shared, Moment now);
  // The epoch is active everywhere from now on; one that is not known, or active already, is ignored.
  void activated(std::uint64_t epoch, Moment now);
  // No sender here, nor any that was here within its lease, goes on under an epoch before this one. 0: there is none.
  std::uint64_t switched(Moment now) const;
  // Slots that adopt() will hand out.
  std::uint32_t slots_needed() const;

  // Does what is due. Call it at next_deadline().
  void on_time(Moment now);
  std::optional<SteadyTime> next_deadline() const;

  const std::vector<Epoch>& epochs() const { return epochs_; }  // oldest first, four at most
  const Members& members() const { return members_; }
  bool handing_over() const { return hand_over_.has_value(); }
  // The last rekey, under way or done; empty: none since the start of this process.
  const std::optional<RekeyRecord>& last_rekey() const { return last_rekey_record_; }
  Attendance attendance() const {
    return attendance_of(config_, members_, holders_, epochs_.empty() ? 0 : epochs_.back().number);
  }
  // Whether a member, or a holder of a live epoch, no longer stands: a certificate or a revocation list ended.
  bool any_holder_invalid(Moment now) const;
  // The shortest of the configured authority lease and those that live epochs were given out with: senders must hear
  // from the key server within it.
  std::chrono::seconds shortest_lease() const;

 private:
  // A pending epoch on its way to being active.
  struct HandOver {
    std::uint64_t epoch = 0;
    SteadyTime deadline;
    std::set<std::string> awaited;  // members that have not acknowledged (or, after a restart, not come back)
    bool told = false;              // the EpochMaker knows that nobody is awaited
    // After a restart: how long it may wait for those awaited once a sender says that it goes on under an earlier
    // epoch.
    std::optional<SteadyTime> patience = {};
    SteadyTime not_before = {};  // however soon all have acknowledged
    SteadyTime due() const { return awaited.empty() ? not_before : std::max(deadline, not_before); }
    bool going_on = false;  // a sender said so
    std::optional<Announcement> announcement = {};
  };

  std::chrono::seconds longest_lease() const;  // likewise
  Result<Epoch*> current(Moment now);
  bool is_newcomer(const handshake::PeerIdentity& member, Moment now);
  Result<Epoch*> next_for_newcomer(const handshake::PeerIdentity& member, Moment now);
  Result<Epoch*> begin(Moment now, store::EpochRecord* noted);
  Result<handshake::GroupKeying> give(Epoch& epoch, const handshake::PeerIdentity& identity, const std::string& address,
                                      std::uint32_t slots_wanted, Moment now);
  void note_holder(const handshake::PeerIdentity& identity, std::uint64_t epoch);
  Result<handshake::GroupKeying> keying_for(const Member& member, Epoch& epoch, Moment now);
  using Updates = std::vector<std::pair<Member*, handshake::GroupKeying>>;
  Updates keyings_for_all(Epoch& epoch, Moment now);
  void tell(Member& member, handshake::GroupKeying keying);
  bool update(Member& member, Epoch& epoch, Moment now);
  bool catch_up(Member& member, const Given& given, Moment now);
  bool may_go_on(const Member& member) const;
  void grant(Member& member, const handshake::SlotRequest& request, Moment now);
  void take_report(Member& member, const handshake::StatusReport& report, Moment now);
  void on_report_of_older_epoch(const Member& member, std::uint64_t epoch);
  void shorten_restart_wait(Moment now);
  void recheck_members(Moment now);
  bool shut_out_holders(Moment now);
  void note_departure(const Member& member, Moment now);
  void note_shut_out(const Member& member, Moment now);
  void note_joining(const std::string& address, const handshake::GroupKeying& keying, Moment now);
  void rekey_for_leave(Moment now);
  Exclusion::Group seen_by_exclusion() const;
  std::vector<Exclusion::Sender> senders() const;  // connected, and able to send under an epoch that lives
  void note_exclusion_complete(Moment now);
  void ask_for_epoch(const std::string& why, Moment now);
  void dismiss_who_does_not_switch(Moment now);
  void activate(Moment now);
  void activate(std::uint64_t epoch, std::size_t missing, Moment now);
  void activate_if_all_acknowledged(Moment now);
  void forget(std::uint64_t epoch);
  void rekey_when_nearly_used(const Epoch& epoch, Moment now);
  void rekey_soon(Moment now);
  void keep(const Epoch& epoch, Moment now);
  void remember_slots(Member& member, Moment now);
  void request_new_slots(const Member& member, Moment now);
  void await_holders(Moment now);
  void assign_leaf(Member& member, Moment now);
  void go_on_announcing(Moment now);
  void give_up_announcing(Moment now);
  void turn_out(MemberLink& link, const handshake::PeerIdentity& member, const std::string& why);
  Epoch* find(std::uint64_t number);
  Member* member_of(const MemberLink& link);
  void remove(const std::string& member_id);  // from members_ and what is kept beside it
  void send_all(const handshake::ControlMessage& message);
  std::string prefix() const;  // `group="tv" ` of audit lines
  // A line that a member can cause as often as it likes (H13).
  void warn_of_member(const std::string& line, Moment now);

  config::KeyserverGroup config_;
  GroupContext& context_;
  std::vector<Epoch> epochs_;
  Members members_;
  std::unordered_map<const MemberLink*, Member*> by_link_;  // the same: every message asks whose it is
  Holders holders_;
  Admission admission_;
  Announcer announcer_;
  Resumption resumption_;
  Newcomers newcomers_;
  std::optional<HandOver> hand_over_;
  static constexpr std::chrono::seconds retry_after{5};  // a rekey that the store refused
  std::optional<SteadyTime> rekey_at_;
  Exclusion exclusion_;
  SteadyTime last_rekey_{};
  std::optional<RekeyRecord> last_rekey_record_;
  LineLimit member_lines_{10};
};

}  // namespace sealcast::keyserver
