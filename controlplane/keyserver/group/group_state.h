// One group's epochs, members and hand-overs: the rules of docs/key-server.md without a socket, a timer or a clock.
// Time is handed in, messages go out through MemberLink, numbers come from the store.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/group/epoch_keeper.h"
#include "controlplane/keyserver/group/exclusion.h"
#include "controlplane/keyserver/group/premaster_vault.h"
#include "controlplane/keyserver/group/rekey_record.h"
#include "controlplane/store/store.h"
#include "handshake/control_message.h"
#include "handshake/endpoint.h"
#include "handshake/keytree/key_tree.h"
#include "handshake/keytree/rekey_datagram.h"

namespace sealcast::keyserver {

// Members come back after a restart within their longest back-off (10 s), and the time to connect.
inline constexpr std::chrono::seconds restart_patience{16};
inline constexpr std::size_t max_live_epochs = 4;  // spi_slot_bits() leaves room for as many blocks a group

struct Moment {
  SteadyTime steady;
  std::int64_t unix_seconds = 0;
};

// A joined member's connection as its group sees it. Neither call may call back into the group.
class MemberLink {
 public:
  virtual ~MemberLink() = default;
  virtual void deliver(const handshake::ControlMessage& message) = 0;
  // Says goodbye and closes; the group has forgotten the link already.
  virtual void dismiss(const std::string& why) = 0;
  virtual config::Carriage carriage() const { return config::Carriage::tls; }
};

// With several key servers one of them makes the epochs of all (docs/cluster.md). What a group asks of it, and tells
// it. No call may call back into the group.
class EpochMaker {
 public:
  virtual ~EpochMaker() = default;
  // An epoch newer than `seen` is wanted. It comes to adopt() when it is there; asking again does no harm.
  virtual void want_epoch(const std::string& group_id, std::uint64_t seen, const std::string& why) = 0;
  // All members here have installed the epoch, or have had activation_delay for it.
  virtual void installed_here(const std::string& group_id, std::uint64_t epoch) = 0;
  // Whether no sender of any other key server goes on under `epoch` or an earlier one (H11).
  virtual bool switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const = 0;
  // The newest epoch that any key server may have given out; 0: none.
  virtual std::uint64_t highest(const std::string& group_id) const = 0;
};

// An epoch that was made for all key servers.
struct SharedEpoch {
  std::uint64_t number = 0;
  handshake::GroupPolicy policy;
  Secret<48> premaster;
  std::chrono::milliseconds age{};
  std::chrono::milliseconds remaining{};
};

// What all groups of one key server share; outlives them.
struct GroupContext {
  std::string key_server_id;
  config::SpiRange spi_range;
  std::uint8_t slot_bits = 16;
  store::Store* store = nullptr;
  handshake::Random* random = nullptr;
  PremasterVault* vault = nullptr;
  // The datagram with the key server's signature. Empty: every member is told everything over its own connection.
  std::function<Result<Bytes>(const handshake::RekeyDatagram& datagram)> sign;
  EpochKeeper* keeper = nullptr;  // nullptr: no secret outlives this process
  EpochMaker* maker = nullptr;    // nullptr: this key server stands alone, and each group makes its epochs itself
  // Whether the certificate still stands (H8); replaced when the trust store is read again.
  std::function<Result<void>(const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now)>
      recheck;
  // Whether the user's password is still the one of this stamp (H7, H8); replaced when the password file is read again.
  // Empty: there is no password file, and nobody stands by a password.
  std::function<bool(const std::string& user, const std::string& stamp)> password_stands;
  // Whether an operator revoked the member of these names in the group (H11). Empty: nobody is.
  std::function<bool(const std::vector<std::string>& names, const std::string& group_id)> revoked;
  // Of this process, if it was not the first on this state. Senders not seen yet may go on for a lease from here.
  std::optional<SteadyTime> started;
};

// The identity with the stamp of the password it gave. Where there is a certificate both must stand, so the stamp
// follows its serial number; with a password alone it takes its place. Unchanged without a user.
handshake::PeerIdentity stamped(handshake::PeerIdentity identity, const std::string& stamp);

// What the configuration says of a group's epochs; their SPIs are another matter.
handshake::GroupPolicy policy_of(const config::KeyserverGroup& config);

// But for SPIs.
bool same_but_place(const handshake::GroupPolicy& a, const handshake::GroupPolicy& b);

enum class Phase : std::uint8_t { pending, active, old };
std::string_view name(Phase phase);

struct Epoch {
  std::uint64_t number = 0;
  Phase phase = Phase::pending;
  handshake::EpochId id{};
  handshake::GroupPolicy policy;  // as of its beginning; slots_used follows
  PremasterVault::Handle premaster;
  SteadyTime begun;
  SteadyTime expires;
  SteadyTime retire_at;                           // old: when Retire is due
  std::map<std::string, std::uint32_t> granted;   // slots per member, for the quota
  std::map<std::uint16_t, std::uint64_t> floors;  // slot -> next number its holder last reported
  std::uint32_t slots_used() const { return policy.slots_used; }
  // Slots it can hand out; the wire's slots_used counts them in 16 bits.
  std::uint32_t capacity() const { return std::min<std::uint32_t>(1U << policy.spi_slot_bits, 65535); }
};

struct SlotRun {
  std::uint64_t epoch = 0;
  std::uint16_t first = 0;
  std::uint16_t count = 0;
};

// What one connection was given with SMKE; kept by the session until both Finished are verified (H3).
struct Given {
  std::uint64_t epoch = 0;
  handshake::EpochState state = handshake::EpochState::active;
  handshake::Role roles = handshake::receiver;
  SlotRun slots;
};

struct Member {
  MemberLink* link = nullptr;
  handshake::PeerIdentity identity;
  std::string address;
  handshake::Role roles = handshake::receiver;
  SteadyTime joined;
  std::vector<SlotRun> slots;      // of live epochs, this connection's
  std::uint64_t acknowledged = 0;  // highest epoch installed for receiving
  std::uint64_t activated = 0;     // highest epoch it says it sends under
  std::optional<handshake::StatusReport> report;
  SteadyTime reported;
  std::optional<handshake::LeafPosition> leaf;  // in the group's key tree; of receivers only
  unsigned missed = 0;                          // datagrams in a row that it did not acknowledge
  bool sends() const { return (roles & handshake::sender) != 0; }
};

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
  Result<void> may_join(const handshake::PeerIdentity& member, Moment now) const { return stands(member, now); }
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
  void take_up(Moment now);

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
  const std::map<std::string, Member>& members() const { return members_; }
  bool handing_over() const { return hand_over_.has_value(); }
  // The last rekey, under way or done; empty: none since the start of this process.
  const std::optional<RekeyRecord>& last_rekey() const { return last_rekey_record_; }
  // Who should be here. By `members` where it lists names, else by who holds a live epoch (which needs nobody's list,
  // and forgets who has been away for a whole epoch).
  struct Attendance {
    bool by_list = false;
    std::size_t expected = 0;
    std::vector<std::string> missing;  // names, at most most_named
    std::size_t missing_count = 0;
    std::vector<std::string> behind;  // connected, and have not acknowledged the newest epoch; at most most_named
    std::size_t behind_count = 0;
    static constexpr std::size_t most_named = 32;
  };
  Attendance attendance() const;
  // Whether somebody who is a member or holds a live epoch no longer stands: a certificate or a revocation list ended.
  bool somebody_fell(Moment now) const;
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
    // Receivers were told by a datagram to the group.
    struct Announcement {
      std::vector<Bytes> packets;  // ESP of the same datagram
      unsigned sent = 0;           // copies
      SteadyTime next;             // when the next copy is due, if ever
      SteadyTime give_up;          // who has not acknowledged by then is told over its own connection
    };
    std::optional<Announcement> announcement = {};
  };

  // The receivers' keys for announcements.
  struct Tree {
    Tree(handshake::CipherSuite suite, handshake::Random& random) : keys(suite, random) {}
    handshake::KeyTree keys;
    std::vector<handshake::LeafPosition> left;  // by those who are gone; shut out with the next announcement
  };
  // How members in the tree learn of an epoch.
  enum class Telling : std::uint8_t {
    each,            // over their own connections; the tree stays as it is
    each_with_path,  // likewise, and the tree has changed
    announced,
  };

  // The epoch from before the restart that was taken up, while it lives.
  struct TakenUp {
    std::uint64_t epoch = 0;
    SteadyTime back_by;                                 // until then members may be on their way back
    std::map<std::string, std::vector<SlotRun>> slots;  // given out before, by member
    std::set<std::string, std::less<>> without_slots;   // members that came back and need new ones
  };

  // Who was given a live epoch, whatever became of its connection (H3).
  struct Holder {
    handshake::PeerIdentity identity;
    std::uint64_t epoch = 0;  // the newest
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
  void hear_of_earlier(const Member& member, std::uint64_t epoch);
  void hurry_restart(Moment now);
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
  // kept.cc
  void keep(const Epoch& epoch, Moment now);
  void drop_kept();
  std::string take_up(EpochKeeper::Found&& found, Moment now);
  bool is_taken_up(const Epoch& epoch) const;
  void remember_slots(Member& member, Moment now);
  void lacks_slots(const Member& member, Moment now);
  void await_holders(Moment now);
  bool somebody_goes_on() const;
  // datagram.cc
  bool rekeys_by_datagram() const;
  bool may_send(const handshake::PeerIdentity& member) const;
  void seat(Member& member, Moment now);
  void unseat(Member& member);
  void drop_tree();
  bool many_have_left() const;
  Telling plant_anew();
  void send_path(const Member& member);
  const Member* carrier(std::size_t turn) const;
  Telling announce(const Epoch& next, std::optional<HandOver::Announcement>& out, Moment now);
  void go_on_announcing(Moment now);
  void give_up_announcing(Moment now);
  Result<void> admit(const handshake::PeerIdentity& member) const;
  // admit(), the certificate against the trust store of now (H8), the password against the password file of now (H7).
  Result<void> stands(const handshake::PeerIdentity& member, Moment now) const;
  bool password_stands(const handshake::PeerIdentity& member) const;
  // Of one that does not stand: what it is told, one of a few fixed texts. The reason itself is for the log.
  std::string_view told_to(const handshake::PeerIdentity& member) const;
  void turn_out(MemberLink& link, const handshake::PeerIdentity& member, const std::string& why);
  Epoch* find(std::uint64_t number);
  Epoch* in_phase(Phase phase);
  Member* member_of(const MemberLink& link);
  void remove(const std::string& member_id);  // from members_ and what is kept beside it
  void send_all(const handshake::ControlMessage& message);
  std::string prefix() const;  // `group="tv" ` of audit lines
  // A line that a member can cause as often as it likes (H13).
  void warn_of_member(const std::string& line, Moment now);

  config::KeyserverGroup config_;
  GroupContext& context_;
  std::vector<Epoch> epochs_;
  std::map<std::string, Member> members_;                          // by member id: one connection each
  std::unordered_map<const MemberLink*, Member*> by_link_;         // the same: every message asks whose it is
  std::map<std::pair<std::string, std::string>, Holder> holders_;  // by member id and certificate serial
  // Newcomers (rekey_on_join) that were told to come again when there is a later epoch than this, and did not yet.
  struct Asked {
    std::uint64_t active = 0;
    SteadyTime until;  // from then on it counts as one that comes for the first time
  };
  std::map<std::pair<std::string, std::string>, Asked> asked_before_;
  std::optional<TakenUp> taken_up_;
  std::unique_ptr<Tree> tree_;
  std::optional<HandOver> hand_over_;
  static constexpr std::chrono::seconds retry_after{5};  // a rekey that the store refused
  std::optional<SteadyTime> rekey_at_;
  Exclusion exclusion_;
  SteadyTime last_rekey_{};
  std::optional<RekeyRecord> last_rekey_record_;
  LineLimit member_lines_{10};
};

}  // namespace sealcast::keyserver
