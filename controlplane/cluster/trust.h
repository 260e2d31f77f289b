// Whether what lies in etcd may be gone on with. Only a key server that was there all the time knows that nothing was
// lost, since a restored backup, or an etcd that was made anew, looks sound by itself. So epochs that are there are
// used by those alone for which a key server that has used them all the time vouches; and where there is none, no key
// server knows which slots were given out, and all groups get new epochs.
#pragma once

#include <cstdint>
#include <optional>

#include "base/dataplane_control.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"

namespace sealcast::cluster {

class Trust {
 public:
  explicit Trust(const ClusterView& view) : view_(view) {}  // must outlive it

  // A session begins. started_over: it has made a new generation itself, and so it is trusted.
  void begin(bool started_over, SteadyTime now);
  // When all is read: the transaction by which this key server becomes trusted. Nothing: one is under way, or others
  // must vouch for it, or end, first.
  std::optional<etcd::Transaction> seek();
  enum class Outcome : std::uint8_t { refused, joined, founded };  // founded: a new generation, at the reply's revision
  // nullptr: there was no answer.
  Outcome answered(const etcd::Reply* reply, SteadyTime now);
  // The leader's word for those that came since, to be written with whatever holds only while it leads. It is good as
  // long as the leader itself has lost nothing.
  Operations vouches() const;

  bool granted() const { return state_ == State::granted; }
  SteadyTime since() const { return since_; }  // it is granted

 private:
  enum class State : std::uint8_t { none, joining, founding, granted };  // joining, founding: under way

  const ClusterView& view_;
  State state_ = State::none;
  SteadyTime since_{};
};

}  // namespace sealcast::cluster
