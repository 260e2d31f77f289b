#include "controlplane/keyserver/hosted_groups.h"

#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {

HostedGroups::Hosted& HostedGroups::add(const config::KeyserverGroup& config, std::string standing) {
  auto& group = groups_[config.id] = std::make_unique<Hosted>(config, context_, loop_);
  group->standing = std::move(standing);
  return *group;
}

HostedGroups::Hosted* HostedGroups::find(const std::string& id) {
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : found->second.get();
}

GroupState* HostedGroups::state(const std::string& id) {
  Hosted* const group = find(id);
  return group ? &group->state : nullptr;
}

std::vector<std::string> HostedGroups::names() const {
  std::vector<std::string> out;
  for (const auto& [id, group] : groups_)
    out.push_back(id);
  return out;
}

std::vector<const GroupState*> HostedGroups::states() const {
  std::vector<const GroupState*> out;
  for (const auto& [id, group] : groups_)
    out.push_back(&group->state);
  return out;
}

void HostedGroups::changed(const GroupState& state) {
  Hosted* const group = find(state.config().id);
  if (!group) return;
  const auto next = state.next_deadline();
  if (group->armed == next) return;
  group->armed = next;
  if (!next) {
    group->timer->cancel();
    return;
  }
  group->timer->set(*next, [this, id = state.config().id] { on_deadline(id); });
}

void HostedGroups::on_deadline(const std::string& id) {
  Hosted* const group = find(id);
  if (!group) return;
  group->armed.reset();
  if (before_deadlines_) before_deadlines_();
  group->state.on_time(now_());
  changed(group->state);
}

void HostedGroups::remove_all_but(const std::vector<config::KeyserverGroup>& configured, Moment now) {
  for (auto it = groups_.begin(); it != groups_.end();) {
    const bool stays = std::any_of(configured.begin(), configured.end(),
                                   [&](const config::KeyserverGroup& group) { return group.id == it->first; });
    if (stays) {
      ++it;
      continue;
    }
    audit(Event("group_removed", {{"group", it->first}}));
    GroupState& state = it->second->state;
    state.begin_anew("the group was removed", now);
    if (const auto until = state.senders_go_on_until(now)) removed_[it->first] = *until;
    it = groups_.erase(it);
  }
  std::erase_if(removed_, [&](const auto& entry) { return entry.second <= now.steady; });
}

std::optional<SteadyTime> HostedGroups::take_removed(const std::string& id) {
  const auto found = removed_.find(id);
  if (found == removed_.end()) return {};
  const SteadyTime until = found->second;
  removed_.erase(found);
  return until;
}

}  // namespace sealcast::keyserver
