#include "controlplane/cluster/trust.h"

#include <algorithm>
#include <utility>

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Transaction;

namespace {

constexpr std::size_t most_vouches = 8;  // in one transaction, beside the leader's other work

}  // namespace

void Trust::begin(bool started_over, SteadyTime now) {
  state_ = started_over ? State::granted : State::none;
  since_ = now;
}

std::optional<Transaction> Trust::seek() {
  if (state_ != State::none) return std::nullopt;
  const ClusterView::Self& self = view_.self();
  const ClusterView::Live& live = view_.live();
  const Keys& keys = view_.keys();
  State next = State::joining;
  Transaction enter;
  enter.compares = {view_.still_here(), view_.same_generation()};
  enter.success = {Put{keys.trusted(self.incarnation), "", self.lease}};
  if (!live.vouched_for.count(self.incarnation)) {
    // One that is only remembered here (killed, or in a restored backup) is gone when its lease ends.
    if (!live.trusted.empty() || !live.leader.empty()) return std::nullopt;
    enter.compares.push_back({Compare::What::created, keys.leader(), 0});
    const auto& groups = view_.groups();
    const bool nothing_yet =
        view_.generation() == 0 && std::all_of(groups.begin(), groups.end(), [](const auto& group) {
          return group.second.epochs.empty() && group.second.value.highest == 0;
        });
    if (!nothing_yet) {
      enter.success.push_back(Put{keys.generation(), self.incarnation});
      next = State::founding;
    }
  }
  state_ = next;
  return enter;
}

Trust::Outcome Trust::answered(const etcd::Reply* reply, SteadyTime now) {
  const bool founding = std::exchange(state_, State::none) == State::founding;
  if (!reply || !reply->succeeded) return Outcome::refused;
  state_ = State::granted;
  since_ = now;
  return founding ? Outcome::founded : Outcome::joined;
}

Operations Trust::vouches() const {
  Operations out;
  if (!view_.leading()) return out;
  const ClusterView::Self& self = view_.self();
  const ClusterView::Live& live = view_.live();
  for (const auto& [incarnation, peer] : live.alive) {
    if (out.size() >= most_vouches) break;  // the others with the next transaction
    if (incarnation == self.incarnation || live.trusted.count(incarnation) || live.vouched_for.count(incarnation))
      continue;
    out.push_back(Put{view_.keys().vouched(incarnation), self.incarnation, self.lease});
  }
  return out;
}

}  // namespace sealcast::cluster
