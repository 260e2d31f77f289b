// The slots of this key server: claimed in etcd before they are used, in blocks, and never given back (H9). It says
// what to ask of etcd, and hears what came of it; one claim at a time is under way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/slot_book.h"
#include "controlplane/etcd/etcd.h"
#include "controlplane/store/store.h"

namespace sealcast::cluster {

class SlotClaims {
 public:
  using Epoch = SlotBook::Epoch;

  explicit SlotClaims(const ClusterView& view) : view_(view) {}  // must outlive it

  // Before members are given an epoch of the view: has it `needed` slots here, or as many as it can have? Where not,
  // they are wanted.
  bool ready(const Epoch& epoch, std::uint32_t needed);
  // Slots for a member. Where few are left, more are wanted. The epoch must be one that can be used.
  Result<store::Issue> issue(const store::Holder& holder);
  void want(const Epoch& epoch, std::uint32_t slots);
  void refill(const Epoch& epoch);  // wants a block more, where few slots are left

  // The claim of what is wanted: of several epochs' blocks, none of which may exist, each epoch being as it was read.
  // Nothing: none is wanted that can be had, or a claim is under way.
  std::optional<etcd::Transaction> next(std::int64_t unix_ms);
  // What etcd answered to it; nullptr: nothing, and it is not known whether it was done. Returns the groups that have
  // slots now.
  std::vector<std::string> answered(const etcd::Reply* reply);

  bool any(const Epoch& epoch) const { return book_.left(epoch) > 0; }
  bool low(const Epoch& epoch) const;
  bool wants(const Epoch& epoch) const { return wanted_.count(epoch) > 0; }
  bool idle() const { return wanted_.empty(); }
  void forget(const Epoch& epoch);
  void clear();  // the session is over: what is left of its slots is burnt

 private:
  struct Progress {
    std::uint32_t next_block = 0;  // the lowest that may be unclaimed
    std::uint32_t claimed = 0;     // how many blocks the last claim was for
    bool assigned = false;         // the book has what was assigned when the epoch was made
  };
  struct Claim {
    Epoch epoch;
    std::uint32_t first = 0;  // block
    std::uint32_t blocks = 0;
  };
  Progress& progress(const Epoch& which, const ClusterView::Epoch& epoch);
  void take_assigned(const Epoch& which, const ClusterView::Epoch& epoch);

  const ClusterView& view_;
  SlotBook book_;
  std::map<Epoch, Progress> progress_;
  std::map<Epoch, std::uint32_t> wanted_;
  std::vector<Claim> under_way_;
};

}  // namespace sealcast::cluster
