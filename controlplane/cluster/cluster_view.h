// What a key server has read of its cluster in etcd in this session: the groups and their epochs, how far the others
// are, which key servers are alive, and up to which revision that is so. The parts of a node look at it; only reading
// changes it. Time is handed in.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/cluster/departed.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"

namespace sealcast::cluster {

struct Peer {
  std::string incarnation;
  std::string name;
  std::string address;
  SteadyTime since{};  // first seen here
};

class ClusterView {
 public:
  // This key server, as it has registered itself.
  struct Self {
    std::string incarnation;  // empty: it has no session
    std::int64_t lease = 0;
    etcd::Revision registered = 0;  // create revision of its key
  };
  struct Epoch {
    EpochValue value;
    etcd::Revision created = 0;
    etcd::Revision modified = 0;
    SteadyTime seen{};        // here, first
    SteadyTime superseded{};  // here, first seen with a newer active one
  };
  struct Group {
    GroupValue value;
    etcd::Revision modified = 0;                                        // of value; 0: there is none
    std::map<std::uint64_t, Epoch> epochs;                              // by number
    std::map<std::string, AtValue> at;                                  // by incarnation
    std::map<std::string, std::map<std::string, AttendeeList>> joined;  // by incarnation and part
    std::uint64_t wanted = 0;                                           // a newer epoch than this is wanted
    bool urgent = false;                                                // because a member was shut out
  };
  // What is bound to leases.
  struct Live {
    std::map<std::string, Peer> alive;  // by incarnation, this key server included
    SteadyTime quiet_since{};           // no key server vanished since
    std::string leader;                 // its incarnation; empty: there is none
    etcd::Revision leader_created = 0;
    std::set<std::string> trusted;      // other incarnations that are
    std::set<std::string> vouched_for;  // incarnations for which the leader has vouched
    etcd::Revision asked = 0;           // of the others' last question for the clock
  };
  // The SPIs of the epoch that was made last.
  struct LastBlock {
    std::uint32_t prefix = 0;
    etcd::Revision created = 0;  // of the epoch; 0: there is none
  };

  explicit ClusterView(const std::string& cluster_id) : keys_(cluster_id) {}

  // A session begins: nothing is known yet. The registration was asked for at `asked`.
  void begin(Self self, SteadyTime asked);
  void clear() { begin({}, {}); }
  // All that lies below live(). Returns those that vanished since the last time; nothing, and then takes nothing, where
  // this key server is not among the living any more.
  std::optional<std::vector<Peer>> take_live(const std::vector<etcd::KeyValue>& entries, SteadyTime now);
  // Something that lies below shared(), in the order in which it was changed. Returns what it was; kind is empty where
  // it is none of ours, or is known already. Revocations are left to the caller.
  SharedKey take(const etcd::KeyValue& entry, SteadyTime now, const Departed& departed);
  void read_up_to(etcd::Revision revision) { revision_ = revision; }
  void found_generation(etcd::Revision revision) { generation_ = revision; }  // by this key server
  // Drops epochs of the group that were over long ago, and returns their numbers.
  std::vector<std::uint64_t> expire(const std::string& group_id, std::int64_t unix_ms);

  const Keys& keys() const { return keys_; }
  const Self& self() const { return self_; }
  etcd::Revision revision() const { return revision_; }      // all changes up to this one were read
  etcd::Revision generation() const { return generation_; }  // epochs made before are not used any more
  const std::map<std::string, Group>& groups() const { return groups_; }
  const Group& group(const std::string& group_id) const;                        // an empty one where there is none
  const Epoch* epoch(const std::string& group_id, std::uint64_t number) const;  // nullptr: there is none
  const Live& live() const { return live_; }
  // What that key server told of its members; empty where it is not alive.
  AttendeeList attendees(const std::string& group_id, const std::string& incarnation) const;
  const LastBlock& last_block() const { return last_block_; }
  const ClockValue& clock() const { return clock_; }  // what a leader wrote last; clock_id 0: nothing

  bool usable(const Epoch& epoch, std::int64_t unix_ms) const;
  std::uint64_t newest(const Group& group, std::int64_t unix_ms) const;  // usable epoch; 0: none
  bool leading() const { return live_.leader == self_.incarnation && live_.leader_created > 0; }
  // What a transaction compares so that it does nothing once this session, or this generation, is over.
  etcd::Compare still_here() const;
  etcd::Compare same_generation() const;

 private:
  void take_group(Group& group, const etcd::KeyValue& entry, SteadyTime now);
  bool take_epoch(Group& group, std::uint64_t number, const etcd::KeyValue& entry, SteadyTime now);

  const Keys keys_;
  Self self_;
  etcd::Revision revision_ = 0;
  etcd::Revision generation_ = 0;
  std::map<std::string, Group> groups_;
  Live live_;
  LastBlock last_block_;
  ClockValue clock_;
};

}  // namespace sealcast::cluster
