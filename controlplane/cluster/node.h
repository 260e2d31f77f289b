// One key server's part in a cluster over etcd (docs/cluster.md): its session, what it knows of the others, the slots
// it owns, and, where it is the leader, the making of epochs. It has no thread, socket or timer: tick() is called
// after next_tick() on the loop, answers of etcd come there, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "base/event.h"
#include "base/limits.h"
#include "base/secret.h"
#include "controlplane/cluster/memory.h"
#include "controlplane/cluster/records.h"
#include "controlplane/cluster/sealing.h"
#include "controlplane/cluster/slot_book.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/store/spi_blocks.h"
#include "controlplane/store/store.h"
#include "handshake/endpoint.h"

namespace sealcast::cluster {

inline constexpr std::chrono::milliseconds poll_period{100};
inline constexpr std::chrono::milliseconds idle_poll_period{250};  // after a while in which nothing changed
// After a key server vanished its members need so long, at most, to notice it and to be back at another one.
inline constexpr std::chrono::seconds rejoin_grace{10};

struct Moment {
  SteadyTime steady;
  std::int64_t unix_ms = 0;
};

struct NodeSettings {
  std::string cluster_id;
  std::string name;        // of this key server among its peers
  std::string address;     // where members reach it, for the status
  std::string state_file;  // Memory
  std::chrono::seconds lease_ttl = lease_ttl_limits.standard;
  Secret<32> key;
  std::uint32_t spi_first = 0;
  std::uint32_t spi_last = 0;
};

struct GroupWish {
  handshake::GroupPolicy policy;  // without its SPIs
  std::chrono::milliseconds lifetime{};
  std::uint8_t slot_bits = 16;
};

struct MadeEpoch {
  std::uint64_t number = 0;
  EpochContent content;
  std::chrono::milliseconds age{};
  std::chrono::milliseconds remaining{};
};

// What a node needs of its key server. Called from tick() and etcd's answers, never from inside another call.
class NodeHost {
 public:
  virtual ~NodeHost() = default;
  virtual Moment now() const = 0;
  virtual std::vector<std::string> groups() const = 0;
  virtual GroupWish wish(const std::string& group_id) const = 0;
  virtual std::uint32_t slots_needed(const std::string& group_id) const = 0;
  // An error: nobody was given it; it is tried again.
  virtual Result<void> adopt(const std::string& group_id, MadeEpoch&& made) = 0;
  virtual void activated(const std::string& group_id, std::uint64_t epoch) = 0;
  virtual std::uint64_t switched(const std::string& group_id) const = 0;  // GroupState::switched()
  virtual void others_changed(const std::string& group_id) = 0;           // switched_elsewhere() may answer otherwise
  virtual void revocations_changed() = 0;
  virtual void serve() = 0;                          // members may come from now on
  virtual void cut_off(const std::string& why) = 0;  // forget all epochs, send members away, let nobody in
  enum class Weight : std::uint8_t { event, warning, error };
  virtual void note(Weight weight, const Event& event) = 0;
};

struct Peer {
  std::string incarnation;
  std::string name;
  std::string address;
  SteadyTime since{};  // first seen here
};

class Node final : public store::Store {
 public:
  // The file must be readable; etcd need not be there yet. host, etcd and random must outlive it.
  static Result<std::unique_ptr<Node>> open(NodeSettings settings, NodeHost& host, etcd::Etcd& etcd,
                                            handshake::Random& random);
  ~Node() override;

  void tick();
  // How long to wait before the next one.
  std::chrono::milliseconds next_tick() const;
  // Gives up its lease, so that others need not wait for it to end.
  void leave();

  // As if it had been cut off: nothing it owns is used any more.
  void abandon(const std::string& why) { lose(why); }

  // May members be served: etcd has answered within the lease, and all groups have an epoch.
  bool serving() const;
  void want_epoch(const std::string& group_id, std::uint64_t seen, const std::string& why);
  void installed_here(const std::string& group_id, std::uint64_t epoch);
  // The host has a group that it had not, or forgot: what was read of it before is for it now.
  void group_added(const std::string& group_id);
  bool switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const;
  // The newest epoch of the group that any key server may have given to anybody, as far as is known here. After
  // revoke() this holds for the moment at which the revocation was noted.
  std::uint64_t highest(const std::string& group_id) const;
  // The newest that the revoked may have been given: whoever adopts a later one has read of the revocation before.
  std::uint64_t highest_before_revocation(const std::string& group_id, const store::Revocation& revocation) const;
  // What the host last noted of a group, in this process or one before; empty: nothing. It is kept in the state file.
  std::string standing(const std::string& group_id) const;
  // Printable words without spaces, by group. Those of other groups stay.
  void note_standing(const std::map<std::string, std::string>& by_group);
  // Whether issue() has a slot. Where not, more are claimed, as many as waiting ones need. True, too, where there will
  // not be any more.
  bool has_slots(const std::string& group_id, std::uint64_t epoch, std::uint32_t waiting);

  struct Status {
    struct Server {
      Peer peer;
      bool leader = false;
      bool self = false;
      SteadyTime::duration known_for{};
    };
    struct Gone {
      std::string name;
      std::string incarnation;
      SteadyTime::duration since{};
      SteadyTime::duration leases_end_in{};  // of senders that were joined there
    };
    std::string name;
    std::string incarnation;  // empty: cut off
    std::string state;        // "serving", "joining", or why it is cut off
    std::string leader;       // name; empty: none is known
    bool leading = false;
    std::vector<Server> servers;  // alive, itself included
    std::vector<Gone> gone;       // that may still matter to a revocation
    std::int64_t revision = 0;    // the highest that etcd was seen at
    std::chrono::seconds lease_ttl{};
    std::optional<SteadyTime::duration> answered_ago, lease_left;  // empty: cut off
    std::optional<SteadyTime::duration> cut_off_for;
    std::string alarm;  // what an operator must look at; empty: nothing
  };
  Status status() const;
  struct GroupStatus {
    struct Server {
      std::string name;
      std::uint64_t installed = 0, switched = 0;  // epochs; 0: none yet
    };
    std::uint64_t highest = 0, active = 0;  // epochs; 0: none yet
    bool wanted = false;                    // a newer one is asked for
    std::vector<Server> servers;            // alive, itself included
  };
  GroupStatus group_status(const std::string& group_id) const;

  // Store. Epochs are not begun here, but asked for with want_epoch().
  Result<store::EpochRecord> begin_epoch(const store::NewEpoch& wish) override;
  Result<store::Issue> issue(const store::Holder& holder) override;
  Result<void> begin_batch() override { return {}; }
  Result<void> end_batch() override { return {}; }
  Result<void> retire(const std::string&, std::uint64_t) override { return {}; }  // the leader does it for all
  Result<void> revoke(const store::Revocation& revocation) override;
  Result<bool> reinstate(const std::string& member_id, const std::string& group_id) override;
  Result<std::vector<store::Revocation>> revocations() const override;
  Result<std::uint32_t> holder_count(const std::string& group_id, std::uint64_t epoch) const override;
  Result<std::uint32_t> slots_of(const std::string& group_id, std::uint64_t epoch,
                                 const std::string& member_id) const override;
  std::int64_t previous_start() const override { return 1; }  // others may have run before

 private:
  using Operations = std::vector<etcd::Operation>;

  struct Epoch {
    EpochValue value;
    etcd::Revision created = 0;
    etcd::Revision modified = 0;
    SteadyTime seen;               // here, first
    SteadyTime superseded{};       // here, first seen with a newer active one
    std::uint32_t next_block = 0;  // the lowest that may be unclaimed
    std::uint32_t claimed = 0;     // how many blocks the last claim was for
    bool assigned = false;         // slots_ has what was assigned
    bool adopted = false;
    bool unreadable = false;
    bool cleared = false;
  };
  struct Group {
    GroupValue value;
    etcd::Revision modified = 0;            // of value; 0: there is none
    std::map<std::uint64_t, Epoch> epochs;  // by number
    std::uint64_t heard_of = 0;             // the highest that was there when somebody was revoked here
    std::map<std::string, AtValue> at;      // by incarnation
    std::uint64_t wanted = 0;               // a newer epoch than this is wanted
    bool urgent = false;                    // because somebody was shut out
    std::uint64_t activated = 0;            // told to the host
    SteadyTime complain_at{};
    AtValue here, told;  // this key server's, and what the others know of it
  };
  struct Revocation {
    std::int64_t since = 0;
    bool lifted = false;
    etcd::Revision modified = 0;
  };
  // What ends when this key server has not been heard for its lease.
  struct Session {
    std::string incarnation;
    std::int64_t lease = 0;
    etcd::Revision registered = 0;  // create revision of its key
    etcd::Revision synced = 0;
    SteadyTime since;       // of registration
    SteadyTime kept_alive;  // when what was answered was asked
    SteadyTime polled;      // likewise
    SteadyTime keep_alive_at;
    bool keeping = false;
    bool polling = false;
    bool claiming = false;
    bool publishing = false;
    bool leading_busy = false;
    bool synced_once = false;
    bool serving = false;
    bool is_trusted = false;  // what lies in etcd may be used (trust.cc)
    bool seeking = false;     // likewise: a transaction is under way
    bool founding = false;    // and it makes a new generation
    bool vouched = false;     // the leader says that nothing was lost
    SteadyTime trusted_since;
    std::set<std::string> trusted;      // others that are, by incarnation
    std::set<std::string> vouched_for;  // whom the leader has vouched for
    std::string leader;                 // its incarnation
    etcd::Revision leader_created = 0;
    std::map<std::string, Peer> alive;  // by incarnation
    SteadyTime quiet_since;             // no key server vanished since
    SteadyTime changed;                 // something, last
    etcd::Revision lead_after = 0;      // what it made itself, it must have seen first
  };

  Node(NodeSettings settings, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random);

  // Answers of a session that is over are of no interest.
  template <typename Answer>
  auto mine(void (Node::*then)(Result<Answer>&&, SteadyTime), SteadyTime asked) {
    return [this, then, asked, guard = std::weak_ptr<int>(guard_)](Result<Answer> answer) {
      if (!guard.expired()) (this->*then)(std::move(answer), asked);
    };
  }

  // node.cc: the session
  void begin_session();
  void on_granted(Result<etcd::Lease>&& lease, SteadyTime asked);
  void on_looked(Result<etcd::Reply>&& reply, SteadyTime asked);
  void on_registered(Result<etcd::Reply>&& reply, SteadyTime asked);
  void on_kept_alive(Result<etcd::Lease>&& lease, SteadyTime asked);
  void poll();
  void on_polled(Result<etcd::Reply>&& reply, SteadyTime asked);
  void fetch_changes();
  void on_changes(Result<etcd::Reply>&& reply, SteadyTime asked);
  bool check_revision(const etcd::Reply& reply);
  void lose(const std::string& why);
  bool fresh(SteadyTime now) const;
  // Without an answer for so long this key server counts itself out, before the others do.
  std::chrono::milliseconds silence() const { return std::chrono::milliseconds(settings_.lease_ttl) * 4 / 5; }
  void take_alive(const std::vector<etcd::KeyValue>& entries);
  etcd::Compare still_here() const;
  etcd::Compare same_generation() const;
  std::string random_name();
  void save_memory();
  std::chrono::seconds longest_lease();

  // status.cc
  void watch_silence(SteadyTime now);
  void note_cut_off(const std::string& why, bool had);

  // sync.cc: what was read, and what the host hears of it
  void take(const etcd::KeyValue& entry);
  void settle();
  void take_group(const SharedKey& key, const etcd::KeyValue& entry);
  void note_lease(std::chrono::seconds lease);
  bool adopt_epochs(const std::string& id, Group& group, Moment now);
  bool adopt(const std::string& id, std::uint64_t number, Epoch& epoch, Moment now);
  bool usable(const Epoch& epoch, Moment now) const;
  std::uint64_t newest(const Group& group, Moment now) const;
  void restore_revocations();
  void publish();
  void on_published(Result<etcd::Reply>&& reply, SteadyTime asked);
  void begin_serving();

  // slots.cc
  void want_slots(const std::string& id, std::uint64_t number, std::uint32_t slots);
  void claim();
  void on_claimed(Result<etcd::Reply>&& reply, SteadyTime asked);

  // trust.cc
  void seek_trust();
  void on_trusted(Result<etcd::Reply>&& reply, SteadyTime asked);
  void trusted();
  void vouch(Operations& out) const;

  // leader.cc
  bool leading() const;
  void lead();
  void elect();
  void lead_group(const std::string& id, Group& group, Moment now, etcd::Transaction& out);
  void make_epoch(const std::string& id, Group& group, Moment now, etcd::Transaction& out);
  void find_used_blocks(Moment now);
  bool may_activate(const std::string& id, const Group& group, std::uint64_t number, Moment now) const;
  void put_group(const std::string& id, const Group& group, GroupValue value, etcd::Transaction& out) const;
  void clear_away(const std::string& id, Group& group, Moment now, Operations& out);
  void on_led(Result<etcd::Reply>&& reply, SteadyTime asked);
  void on_elected(Result<etcd::Reply>&& reply, SteadyTime asked);

  static constexpr std::size_t max_operations = 100;  // of a transaction; etcd allows 128
  static constexpr std::uint32_t low_water = 8;       // fewer slots left of an epoch: the next block is claimed

  NodeSettings settings_;
  NodeHost& host_;
  etcd::Etcd& etcd_;
  handshake::Random& random_;
  const Keys keys_;
  Memory memory_;
  bool memory_changed_ = false;
  bool start_over_ = false;  // etcd was set back: all groups need new epochs
  static constexpr const char* joining = "joining";
  std::string why_cut_off_ = joining;
  SteadyTime cut_off_since_{}, complain_at_{};
  bool silent_ = false;     // and somebody was told
  std::string last_error_;  // of the last request without an answer
  std::optional<SteadyTime> try_again_;
  bool starting_ = false;  // a session is on its way
  std::optional<Session> session_;
  std::string pending_incarnation_;
  std::int64_t pending_lease_ = 0;
  // As in etcd, as far as it was read:
  etcd::Revision generation_ = 0;  // last change of the key; epochs made before are not used any more
  std::map<std::string, Group> groups_;
  std::map<std::pair<std::string, std::string>, Revocation> revocations_;
  bool revocations_moved_ = false;
  std::uint32_t last_prefix_ = 0;
  etcd::Revision last_prefix_created_ = 0;
  std::set<std::string> touched_;       // groups to look at
  std::set<std::string> watched_;       // groups of which the others don't know yet how far the members here are
  std::vector<store::UsedBlock> used_;  // while epochs are made
  SlotBook slots_;
  struct Claim {
    SlotBook::Epoch epoch;
    std::uint32_t first = 0;  // block
    std::uint32_t blocks = 0;
  };
  std::map<SlotBook::Epoch, std::uint32_t> wanted_slots_;
  std::vector<Claim> claims_;                               // under way
  std::vector<std::pair<std::string, AtValue>> published_;  // under way
  // What was asked of this key server stands until there is a newer epoch, even if it is cut off meanwhile.
  struct Owed {
    std::uint64_t seen = 0;
    bool urgent = false;
    bool told = false;  // in this session
  };
  std::map<std::string, Owed> owed_;  // by group
  std::vector<std::pair<std::string, std::uint64_t>> wants_under_way_;
  Operations extra_puts_;  // wants and revocations
  std::size_t extra_under_way_ = 0;
  // Key servers that vanished, and until when senders that were theirs may go on under what they had.
  struct Gone {
    std::string name;
    SteadyTime since, until;
  };
  std::map<std::string, Gone> gone_;  // by incarnation
  // Nobody told it who vanished before this session began, or while there was none: their senders may go on until then.
  SteadyTime blind_since_{}, blind_until_{};
  bool blind_ = false;                     // the host was not told yet that it is over
  std::chrono::seconds longest_lease_{0};  // that anybody was given, as far as this process knows
  std::shared_ptr<int> guard_ = std::make_shared<int>(0);
};

}  // namespace sealcast::cluster
