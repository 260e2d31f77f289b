#include "controlplane/keyserver/group/attendance.h"

#include <algorithm>
#include <set>

namespace sealcast::keyserver {

Attendance attendance_of(const config::KeyserverGroup& config, const Roster& roster, std::uint64_t newest_epoch,
                         const Elsewhere& elsewhere) {
  const Members& members = roster.members();
  Attendance out;
  out.joined = members.size();
  for (const auto& [name, joined] : elsewhere)
    if (joined && !members.count(name)) ++out.joined;
  const auto miss = [&](const std::string& name) {
    if (++out.missing_count <= Attendance::most_named) out.missing.push_back(name);
  };
  out.by_list = !config.members_by_certificate &&
                std::find(config.members.begin(), config.members.end(), "*") == config.members.end();
  std::set<std::string, std::less<>> wanted;
  if (out.by_list) {
    wanted.insert(config.members.begin(), config.members.end());
    out.expected = wanted.size();
    // Any of a certificate's names may be the one that the list has.
    for (const auto& [id, member] : members) {
      wanted.erase(member.identity.name);
      for (const std::string& name : member.identity.names)
        wanted.erase(name);
    }
  } else {
    for (const auto& [key, holder] : roster.holders())
      wanted.insert(key.first);
    for (const auto& [name, joined] : elsewhere)
      wanted.insert(name);
    for (const auto& [id, member] : members)
      wanted.insert(id);
    out.expected = wanted.size();
    for (const auto& [id, member] : members)
      wanted.erase(id);
  }
  for (const std::string& name : wanted) {
    const auto other = elsewhere.find(name);
    if (other == elsewhere.end() || !other->second) miss(name);
  }
  for (const auto& [id, member] : members)
    if (member.acknowledged < newest_epoch && ++out.behind_count <= Attendance::most_named) out.behind.push_back(id);
  return out;
}

}  // namespace sealcast::keyserver
