// Which principals are joined at this key server, and which held a live epoch here and are away. It is told in etcd, so
// that each key server answers for all. It says what to write, and hears what came of it; one transaction at a time is
// under way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/dataplane_control.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"

namespace sealcast::cluster {

class Attendees {
 public:
  // Both must outlive it.
  Attendees(const NodeHost& host, const ClusterView& view) : host_(host), view_(view) {}

  // What has changed since it was told, once a second at most. Nothing: that, or a transaction is under way.
  std::optional<etcd::Transaction> next(SteadyTime now);
  void answered(const etcd::Reply* reply);  // nullptr: nothing, and it is told again
  void clear();                             // the session is over

 private:
  // One principal that comes or goes changes one part of its group's list, not the whole.
  static constexpr std::size_t parts = 64;
  struct Told {
    std::optional<std::uint64_t> changes;  // of the host, when all of it was told
    std::array<std::string, parts> texts;
  };
  struct Telling {
    std::string group;
    std::size_t part = 0;
    std::string text;
  };
  // False: there is more to tell than goes into the transaction.
  bool tell(const std::string& group_id, etcd::Transaction& out);

  const NodeHost& host_;
  const ClusterView& view_;
  std::map<std::string, Told> told_;  // by group
  std::vector<Telling> under_way_;
  std::map<std::string, std::uint64_t> whole_;  // by group: changes() that under_way_ tells the last of
  SteadyTime due_{};
};

}  // namespace sealcast::cluster
