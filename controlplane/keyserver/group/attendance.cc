// GroupState's figures of who is there, who is missing and who is behind.
#include <algorithm>
#include <set>

#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {

GroupState::Attendance GroupState::attendance() const {
  Attendance out;
  const auto miss = [&](const std::string& name) {
    if (++out.missing_count <= Attendance::most_named) out.missing.push_back(name);
  };
  out.by_list = !config_.members_by_certificate &&
                std::find(config_.members.begin(), config_.members.end(), "*") == config_.members.end();
  std::set<std::string, std::less<>> wanted;
  if (out.by_list) {
    wanted.insert(config_.members.begin(), config_.members.end());
    out.expected = wanted.size();
    // Any of a certificate's names may be the one that the list has.
    for (const auto& [id, member] : members_) {
      wanted.erase(member.identity.name);
      for (const std::string& name : member.identity.names)
        wanted.erase(name);
    }
  } else {
    for (const auto& [key, holder] : holders_)
      wanted.insert(key.first);
    for (const auto& [id, member] : members_)
      wanted.insert(id);
    out.expected = wanted.size();
    for (const auto& [id, member] : members_)
      wanted.erase(id);
  }
  for (const std::string& name : wanted)
    miss(name);
  const std::uint64_t newest = epochs_.empty() ? 0 : epochs_.back().number;
  for (const auto& [id, member] : members_)
    if (member.acknowledged < newest && ++out.behind_count <= Attendance::most_named) out.behind.push_back(id);
  return out;
}

bool GroupState::somebody_fell(Moment now) const {
  return std::any_of(members_.begin(), members_.end(),
                     [&](const auto& entry) { return !stands(entry.second.identity, now); }) ||
         std::any_of(holders_.begin(), holders_.end(),
                     [&](const auto& entry) { return !stands(entry.second.identity, now); });
}

}  // namespace sealcast::keyserver
