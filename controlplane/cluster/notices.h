// What this key server tells the others in etcd: how far its members are, that a newer epoch is wanted, and what a
// restored backup has lost. It says what to write, and hears what came of it; one transaction at a time is under way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/node_host.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"

namespace sealcast::cluster {

class Notices {
 public:
  // Both must outlive it.
  Notices(const NodeHost& host, const ClusterView& view) : host_(host), view_(view) {}

  // An epoch newer than `seen` is wanted, until there is one: an order stands even if the session ends meanwhile.
  void want(const std::string& group_id, std::uint64_t seen, bool urgent);
  // A wish of this group was read. Another key server's, made with less knowledge, must not undo this one's.
  void wish_read(const std::string& group_id);
  void installed(const std::string& group_id, std::uint64_t epoch);
  void watch(const std::string& group_id);  // until the others know that the members here have switched
  void put_back(Operations operations);

  std::optional<etcd::Transaction> next();  // nothing: there is nothing to tell, or a transaction is under way
  // What etcd answered to it; nullptr: nothing. True: it was done; what was not is told again.
  bool answered(const etcd::Reply* reply);

  AtValue here(const std::string& group_id) const;  // how far the members here are
  bool idle() const { return watched_.empty() && owed_.empty() && lost_.empty(); }
  void clear();  // the session is over; what is wanted stays

 private:
  struct Owed {
    std::uint64_t seen = 0;
    bool urgent = false;
    bool told = false;  // in this session
  };
  struct Progress {
    AtValue here, told;  // told: what the others know
  };
  struct UnderWay {
    std::vector<std::pair<std::string, AtValue>> at;           // by group
    std::vector<std::pair<std::string, std::uint64_t>> wants;  // group, seen
    std::size_t lost = 0;                                      // the first of lost_
  };

  const NodeHost& host_;
  const ClusterView& view_;
  std::map<std::string, Owed> owed_;          // by group
  std::map<std::string, Progress> progress_;  // by group
  std::set<std::string> watched_;             // groups
  Operations lost_;                           // to be put back
  std::optional<UnderWay> under_way_;
};

}  // namespace sealcast::cluster
