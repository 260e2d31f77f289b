// One key server's part in a cluster over etcd (docs/cluster.md). It puts its parts together: a session in which the
// view of the cluster is read, and those that say, from the view, what to write. It has no thread, socket or timer:
// tick() is called after next_tick() on the loop, and answers of etcd come there, too.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/cluster/attendees.h"
#include "controlplane/cluster/cluster_clock.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/departed.h"
#include "controlplane/cluster/epoch_intake.h"
#include "controlplane/cluster/etcd_session.h"
#include "controlplane/cluster/kept_memory.h"
#include "controlplane/cluster/leader.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/notices.h"
#include "controlplane/cluster/outage.h"
#include "controlplane/cluster/revocations.h"
#include "controlplane/cluster/slot_claims.h"
#include "controlplane/cluster/trust.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/store/store.h"
#include "handshake/endpoint.h"

namespace sealcast::cluster {

inline constexpr std::chrono::milliseconds poll_period{100};
inline constexpr std::chrono::milliseconds idle_poll_period{250};  // after a while in which nothing changed

class Node final : public store::Store, private SessionOwner {
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

  // The machine was resumed from a snapshot: nothing that it owns is used any more, or was measured.
  void resumed();
  // The group clock, for members. clock_id 0: it is not known.
  handshake::ClockReading read_clock() const { return clock_.read(host_.now().boot); }

  // May members be served: etcd has answered within the lease, and all groups have an epoch.
  bool serving() const;
  void want_epoch(const std::string& group_id, std::uint64_t seen, const std::string& why);
  void installed_here(const std::string& group_id, std::uint64_t epoch);
  // The host has a group that it had not, or forgot: what was read of it before is for it now.
  void group_added(const std::string& group_id);
  bool switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const;
  // The newest epoch of the group that any key server may have given to a member, as far as is known here. After
  // revoke() this holds for the moment at which the revocation was noted.
  std::uint64_t highest(const std::string& group_id) const;
  // The newest that the revoked may have been given: a key server that adopts a later one has read of the revocation
  // before.
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
    std::optional<std::uint32_t> clock_error_ms;  // of the group clock here; empty: it is not known
    std::string alarm;                            // what an operator must look at; empty: nothing
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
    // At the others: what each told of its members, by its name.
    std::vector<std::pair<std::string, AttendeeList>> elsewhere;
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
  Node(NodeSettings settings, Memory memory, NodeHost& host, etcd::Etcd& etcd, handshake::Random& random);

  // SessionOwner
  void joined(bool started_over) override;
  void looked(const std::vector<Peer>& vanished) override;
  void read(const etcd::KeyValue& entry) override;
  void all_read() override;
  void lost(const std::string& why, bool had) override;

  void seek_trust();
  void claim();
  void tell();
  void lead();
  void begin_serving();
  void forget_session();

  const NodeSettings settings_;
  NodeHost& host_;
  KeptMemory memory_;
  ClusterView view_;
  ClusterClock clock_;
  Departed departed_;
  Outage outage_;
  EtcdSession session_;
  Trust trust_;
  Revocations revocations_;
  SlotClaims claims_;
  EpochIntake intake_;
  Notices notices_;
  Attendees attendees_;
  Leader leader_;
};

}  // namespace sealcast::cluster
