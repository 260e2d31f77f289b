// What an operator is shown of a key server's cluster.
#include <algorithm>

#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

Node::Status Node::status() const {
  const SteadyTime now = host_.now().steady;
  Status out;
  out.name = settings_.name;
  out.state = serving() ? "serving" : session_.open() ? Outage::joining : outage_.why();
  out.revision = memory_->revision;
  out.lease_ttl = settings_.lease_ttl;
  for (const auto& [incarnation, gone] : departed_.servers())
    if (gone.until > now) out.gone.push_back({gone.name, incarnation, now - gone.since, gone.until - now});
  if (!session_.open()) {
    if (!outage_.first_joining()) {
      out.alarm = "cut off: " + outage_.why();
      out.cut_off_for = now - outage_.since();
    }
    return out;
  }
  out.incarnation = view_.self().incarnation;
  out.answered_ago = now - session_.looked();
  out.lease_left = std::max(session_.kept_alive() + settings_.lease_ttl - now, SteadyTime::duration::zero());
  out.alarm = outage_.alarm(session_.answered(), now);
  const ClusterView::Live& live = view_.live();
  for (const auto& [incarnation, peer] : live.alive) {
    const bool leads = incarnation == live.leader;
    out.servers.push_back({peer, leads, incarnation == out.incarnation, now - peer.since});
    if (leads) out.leader = peer.name;
  }
  out.leading = view_.leading();
  if (const auto clock = clock_.read(host_.now().boot); clock.clock_id != 0) out.clock_error_ms = clock.error_ms;
  return out;
}

Node::GroupStatus Node::group_status(const std::string& group_id) const {
  GroupStatus out;
  if (!session_.open()) return out;
  const ClusterView::Group& group = view_.group(group_id);
  out.highest = group.value.highest;
  out.active = group.value.active;
  out.wanted = group.wanted != 0 && group.wanted >= out.highest;
  for (const auto& [incarnation, peer] : view_.live().alive) {
    const auto at = group.at.find(incarnation);
    const AtValue how_far = incarnation == view_.self().incarnation ? notices_.here(group_id)
                            : at == group.at.end()                  ? AtValue{}
                                                                    : at->second;
    out.servers.push_back({peer.name, how_far.installed, how_far.switched});
    if (incarnation != view_.self().incarnation)
      out.elsewhere.emplace_back(peer.name, view_.attendees(group_id, incarnation));
  }
  return out;
}

}  // namespace sealcast::cluster
