// Where a key server keeps its numbers and revocations: in a file of its own, with the running epoch of each group
// where there is a wrapping key; or in etcd, for all key servers of a cluster.
#pragma once

#include <memory>
#include <optional>

#include "controlplane/config/config.h"
#include "controlplane/keyserver/clocks.h"
#include "controlplane/keyserver/cluster_seat.h"
#include "controlplane/keyserver/group/epoch_keeper.h"
#include "controlplane/keyserver/group/group_clock.h"
#include "controlplane/keyserver/group/premaster_vault.h"
#include "controlplane/store/store.h"

namespace sealcast::keyserver {

class Persistence {
 public:
  Persistence() = default;
  Persistence(const Persistence&) = delete;
  Persistence& operator=(const Persistence&) = delete;

  // Opens it, and fills in what `context` needs of it. All that is given must outlive it;
  // groups and revocations_changed are for a cluster's seat.
  // etcd: of a cluster. boot_time: GroupClock::Now. clocks keep there what they go by; in a cluster, nowhere.
  Result<void> open(Loop& loop, std::unique_ptr<etcd::Etcd> etcd, const config::KeyserverConfig& config,
                    handshake::Random& random, GroupContext& context, HostedGroups& groups,
                    std::function<void()> revocations_changed, GroupClock::Now boot_time, Clocks& clocks);
  void close();
  // Of a key server that stands alone, whose machine was resumed from a snapshot: it cannot vouch for its clock.
  Result<void> renew_clock() { return clock_->renew(); }

  ClusterSeat* seat() { return seat_.get(); }  // nullptr: this key server stands alone
  const ClusterSeat* seat() const { return seat_.get(); }
  // Notes that this process lives, often enough for a restart to know that it follows this process, not an old copy of
  // its file, and tells when the disk is nearly full. Cheap while nothing is due.
  void note_alive(Moment now);
  // The same, at once: the process ends.
  void note_alive_now(Moment now);

 private:
  Result<void> open_keeper(const config::KeyserverConfig& config, handshake::Random& random);

  PremasterVault vault_;
  std::unique_ptr<store::Store> store_;  // of a key server that stands alone
  std::unique_ptr<EpochKeeper> keeper_;  // likewise, with a wrapping key
  std::optional<GroupClock> clock_;      // likewise
  std::unique_ptr<ClusterSeat> seat_;    // of one in a cluster
  SteadyTime alive_again_{};
  bool has_room_ = true;  // as was told last
};

}  // namespace sealcast::keyserver
