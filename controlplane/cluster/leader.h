// What the leader does: it makes epochs for all key servers, makes them active when all have them, and clears away
// those that are over. All of that in transactions which hold only while its key in etcd is the one that it made
// (compared by create revision): a leader that slept through its lease can do no harm. Where there is no leader, it
// stands for election. It says what to write, and hears what came of it; one transaction at a time is under way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/cluster/cluster_clock.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/memory.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/store/spi_blocks.h"
#include "handshake/endpoint.h"

namespace sealcast::cluster {

class Leader {
 public:
  // All must outlive it.
  Leader(const NodeSettings& settings, NodeHost& host, handshake::Random& random, const ClusterView& view,
         const Memory& memory, ClusterClock& clock)
      : settings_(settings), host_(host), random_(random), view_(view), memory_(memory), clock_(clock) {}

  // When all is read. vouches (Trust) go with the leader's work. Nothing: there is nothing to do, another one leads, or
  // a transaction is under way.
  std::optional<etcd::Transaction> next(Operations vouches, Moment now);
  // What etcd answered to it; nullptr: nothing.
  void answered(const etcd::Reply* reply);
  void forget(const std::string& group_id, std::uint64_t number);  // an epoch that is not in the view any more
  void clear();                                                    // the session is over

 private:
  enum class Asked : std::uint8_t { nothing, election, work };

  etcd::Transaction election() const;
  void lead_group(const std::string& id, Moment now, etcd::Transaction& out);
  void make_epoch(const std::string& id, const ClusterView::Group& group, Moment now, etcd::Transaction& out);
  bool may_activate(const std::string& id, const ClusterView::Group& group, std::uint64_t number, Moment now) const;
  void put_group(const std::string& id, const ClusterView::Group& group, GroupValue value,
                 etcd::Transaction& out) const;
  void clear_away(const std::string& id, const ClusterView::Group& group, Moment now, Operations& out);
  void find_used_blocks(Moment now);
  std::optional<store::SpiBlock> choose_block(const std::string& id, std::uint8_t slot_bits, std::int64_t unix_s);

  const NodeSettings& settings_;
  NodeHost& host_;
  handshake::Random& random_;
  const ClusterView& view_;
  const Memory& memory_;
  ClusterClock& clock_;
  Asked asked_ = Asked::nothing;
  etcd::Revision after_ = 0;                                 // what it made itself, it must have read first
  ClusterView::LastBlock last_block_;                        // behind which the next one is looked for
  std::vector<store::UsedBlock> used_;                       // while a transaction is put together
  std::map<std::string, SteadyTime> quiet_;                  // by group: no complaint before
  std::set<std::pair<std::string, std::uint64_t>> cleared_;  // epochs that are being deleted
};

}  // namespace sealcast::cluster
