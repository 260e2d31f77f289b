// The members that are shut out: as they lie in etcd, and in the memory of this key server, which puts back what a
// restored backup has lost (H11).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/kept_memory.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/store/store.h"

namespace sealcast::cluster {

class Revocations {
 public:
  // All must outlive it.
  Revocations(const ClusterView& view, KeptMemory& memory, etcd::Etcd& etcd)
      : view_(view), memory_(memory), etcd_(etcd) {}

  // A record of kind "revoked".
  void take(const SharedKey& key, const etcd::KeyValue& entry);
  bool moved() const { return moved_; }  // restore() is due
  // All is read. The memory is saved as what holds now; returns what etcd must be told, because it has lost it.
  Operations restore();

  // Within a session. Each waits for etcd's answer; when it returns, etcd and the state file have it.
  Result<void> revoke(const store::Revocation& revocation);
  Result<bool> reinstate(const std::string& member_id, const std::string& group_id);  // false: it was not revoked
  std::vector<store::Revocation> all() const;

  // The highest epoch of the group that was there when a member was revoked here in this session; 0: none is known.
  std::uint64_t heard_of(const std::string& group_id) const;
  // The revision at which it was noted in etcd; nothing: that is not known.
  std::optional<etcd::Revision> noted_at(const store::Revocation& revocation) const;
  void clear();  // the session is over: of etcd nothing is known any more

 private:
  using Subject = std::pair<std::string, std::string>;  // member, group
  struct Known {
    std::int64_t since = 0;
    bool lifted = false;
    etcd::Revision modified = 0;  // 0: it is being put back
  };

  const ClusterView& view_;
  KeptMemory& memory_;
  etcd::Etcd& etcd_;
  std::map<Subject, Known> known_;
  std::map<std::string, std::uint64_t> heard_of_;  // by group
  bool moved_ = true;                              // in a new session, what etcd does not have is put there
};

}  // namespace sealcast::cluster
