// Which epochs of the view the host has been given. A group is looked at again after something of it was touched.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "controlplane/cluster/cluster_clock.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/departed.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/slot_claims.h"

namespace sealcast::cluster {

class EpochIntake {
 public:
  // All must outlive it.
  EpochIntake(const NodeSettings& settings, NodeHost& host, const ClusterView& view, SlotClaims& claims,
              Departed& departed, const ClusterClock& clock)
      : settings_(settings), host_(host), view_(view), claims_(claims), departed_(departed), clock_(clock) {}

  void touch(const std::string& group_id) { touched_.insert(group_id); }
  void touch_all();
  // The host has the group newly, and nothing of it.
  void begin_anew(const std::string& group_id);
  bool idle() const { return touched_.empty(); }
  // The host's groups that were touched since the last time.
  std::vector<std::string> take_touched();
  // Gives the host the epochs of the group that it can use and does not have. What has to wait is touched again. True:
  // the host was told of a newly active epoch.
  bool hand_over(const std::string& group_id, Moment now);
  bool has_any(const std::string& group_id) const;  // the host was given an epoch of it
  void forget(const std::string& group_id, std::uint64_t number);
  void clear();

 private:
  struct Given {
    std::set<std::uint64_t> adopted;
    std::set<std::uint64_t> unreadable;
    std::uint64_t activated = 0;
  };
  bool adopt(const std::string& group_id, std::uint64_t number, const ClusterView::Epoch& epoch, Moment now);

  const NodeSettings& settings_;
  NodeHost& host_;
  const ClusterView& view_;
  SlotClaims& claims_;
  Departed& departed_;
  const ClusterClock& clock_;
  std::set<std::string> touched_;
  std::map<std::string, Given> given_;  // by group
};

}  // namespace sealcast::cluster
