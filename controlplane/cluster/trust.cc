// Whether what lies in etcd may be gone on with. Only who was there all the time knows that nothing was lost, since a
// restored backup, or an etcd that was made anew, looks sound by itself. So epochs that are there are used by those
// alone whom a key server that has used them all the time vouches for; and where there is none, nobody's slots are
// known, and all groups get new epochs.
#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Transaction;

// After something was read, until this key server is trusted.
void Node::seek_trust() {
  Session& session = *session_;
  if (session.seeking || !session.synced_once) return;
  Transaction enter;
  enter.compares = {still_here(), same_generation()};
  enter.success = {Put{keys_.trusted(session.incarnation), "", session.lease}};
  if (!session.vouched) {
    // One that is only remembered here (killed, or in a restored backup) is gone when its lease ends.
    if (!session.trusted.empty() || !session.leader.empty()) return;
    enter.compares.push_back({Compare::What::created, keys_.leader(), 0});
    const bool nothing_yet = generation_ == 0 && std::all_of(groups_.begin(), groups_.end(), [](const auto& group) {
                               return group.second.epochs.empty() && group.second.value.highest == 0;
                             });
    if (!nothing_yet) {
      enter.success.push_back(Put{keys_.generation(), session.incarnation});
      session.founding = true;
    }
  }
  session.seeking = true;
  etcd_.transact(std::move(enter), mine(&Node::on_trusted, host_.now().steady));
}

void Node::on_trusted(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->seeking = false;
  const bool founding = std::exchange(session_->founding, false);
  if (!reply || !check_revision(*reply) || !reply->succeeded) return;  // again, when something was read again
  if (founding) {
    generation_ = reply->revision;
    host_.note(
        NodeHost::Weight::warning,
        Event("cluster_starts_over", {{"why", "no key server was there all the time; all groups get new epochs"}}));
  }
  trusted();
  poll();
}

void Node::trusted() {
  session_->is_trusted = true;
  session_->trusted_since = host_.now().steady;
}

// The leader's word for who came since. It holds only while the leader itself has lost nothing.
void Node::vouch(Operations& out) const {
  for (const auto& [incarnation, peer] : session_->alive) {
    if (out.size() >= 8) return;  // the others with the next transaction
    if (incarnation == session_->incarnation || session_->trusted.count(incarnation) ||
        session_->vouched_for.count(incarnation))
      continue;
    out.push_back(Put{keys_.vouched(incarnation), session_->incarnation, session_->lease});
  }
}

}  // namespace sealcast::cluster
