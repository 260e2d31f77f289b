// What an operator is shown of a key server's cluster, and told when etcd does not answer.
#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto complain_again = 60s;  // while it lasts

std::string in_ms(SteadyTime::duration time) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(time).count());
}

}  // namespace

// Long before this key server counts itself out: an answer takes a few milliseconds, and is asked for all the time.
void Node::watch_silence(SteadyTime now) {
  const SteadyTime last = std::min(session_->kept_alive, session_->polled);
  if (now - last < std::max<milliseconds>(1500ms, milliseconds(settings_.lease_ttl) * 3 / 8)) {
    if (std::exchange(silent_, false))
      host_.note(NodeHost::Weight::event,
                 Event("cluster_etcd_answers", {{"incarnation", Word{session_->incarnation}}}));
    return;
  }
  if (std::exchange(silent_, true)) return;
  host_.note(NodeHost::Weight::warning,
             Event("cluster_etcd_silent", {{"for_ms", Word{in_ms(now - last)}},
                                           {"cut_off_in_ms", Word{in_ms(last + silence() - now)}},
                                           {"why", (last_error_.empty() ? "no answer" : last_error_)}}));
}

// Once for each reason, and from time to time while it lasts.
void Node::note_cut_off(const std::string& why, bool had) {
  const SteadyTime now = host_.now().steady;
  const bool same = why_cut_off_ == why;
  if (had || why_cut_off_.empty() || why_cut_off_ == joining) cut_off_since_ = now;
  why_cut_off_ = why;
  if (!had && now < complain_at_ && (same || now < complain_at_ - complain_again + 5s)) return;
  complain_at_ = now + complain_again;
  Event event("cluster_cut_off", {{"why", why}});
  if (!had) event.add({"for_ms", Word{in_ms(now - cut_off_since_)}});
  host_.note(NodeHost::Weight::error, event);
}

Node::Status Node::status() const {
  const SteadyTime now = host_.now().steady;
  Status out;
  out.name = settings_.name;
  out.state = serving() ? "serving" : session_ ? joining : why_cut_off_;
  out.revision = memory_.revision;
  out.lease_ttl = settings_.lease_ttl;
  for (const auto& [incarnation, gone] : gone_)
    if (gone.until > now) out.gone.push_back({gone.name, incarnation, now - gone.since, gone.until - now});
  if (!session_) {
    if (why_cut_off_ != joining) {
      out.alarm = "cut off: " + why_cut_off_;
      out.cut_off_for = now - cut_off_since_;
    }
    return out;
  }
  const SteadyTime last = std::min(session_->kept_alive, session_->polled);
  out.incarnation = session_->incarnation;
  out.answered_ago = now - session_->polled;
  out.lease_left = std::max<SteadyTime::duration>(session_->kept_alive + settings_.lease_ttl - now, 0s);
  if (silent_)
    out.alarm =
        "etcd has not answered for " + in_ms(now - last) + " ms: " + (last_error_.empty() ? "no answer" : last_error_);
  for (const auto& [incarnation, peer] : session_->alive) {
    const bool leads = incarnation == session_->leader;
    out.servers.push_back({peer, leads, incarnation == session_->incarnation, now - peer.since});
    if (leads) out.leader = peer.name;
  }
  out.leading = leading();
  return out;
}

Node::GroupStatus Node::group_status(const std::string& group_id) const {
  GroupStatus out;
  const auto group = groups_.find(group_id);
  if (!session_ || group == groups_.end()) return out;
  out.highest = group->second.value.highest;
  out.active = group->second.value.active;
  out.wanted = group->second.wanted != 0 && group->second.wanted >= out.highest;
  for (const auto& [incarnation, peer] : session_->alive) {
    const auto at = group->second.at.find(incarnation);
    const AtValue how_far = incarnation == session_->incarnation ? group->second.here
                            : at == group->second.at.end()       ? AtValue{}
                                                                 : at->second;
    out.servers.push_back({peer.name, how_far.installed, how_far.switched});
  }
  return out;
}

}  // namespace sealcast::cluster
