#include "dataplane/membership/red_listeners.h"

#include <algorithm>

namespace sealcast::dataplane {

std::vector<std::string> RedListeners::concerned(const IpAddress& address) const {
  std::vector<std::string> groups = selectors_.groups_of(address);
  std::erase_if(groups, [this](const std::string& id) { return listened_.count(id) == 0; });
  return groups;
}

void RedListeners::add(const std::string& group_id) {
  std::size_t& addresses = listened_[group_id] = 0;
  for (const IpAddress& address : listeners_.listened()) {
    const auto groups = concerned(address);
    if (std::find(groups.begin(), groups.end(), group_id) != groups.end()) ++addresses;
  }
  if (addresses != 0) wanted_already_.push_back(group_id);
}

void RedListeners::remove(const std::vector<std::string>& group_ids) {
  std::size_t found = 0;
  for (const std::string& group_id : group_ids) {
    if (listened_.erase(group_id) == 0) continue;
    ++found;
    std::erase(wanted_already_, group_id);
  }
  if (found == 0) return;
  listeners_.forget_if([this](const IpAddress& address) { return concerned(address).empty(); });
}

void RedListeners::query_on_black(std::span<const std::uint8_t> frame, SteadyTime now) {
  if (listened_.empty()) return;
  if (const auto query = membership::read_query(frame)) listeners_.on_query(*query, now);
}

void RedListeners::take(std::span<const std::uint8_t> frame, SteadyTime now) {
  if (listened_.empty()) return;
  if (const auto query = membership::read_query(frame)) return listeners_.on_query(*query, now);
  for (const membership::Wanted& wanted : membership::read_report(frame))
    if (!concerned(wanted.group).empty()) listeners_.on_report(wanted, now);
}

std::vector<InterestChange> RedListeners::tick(SteadyTime now) {
  HostFrame report;
  for (Worker* worker : workers_)
    while (worker->reports_heard().pop(report))
      take(std::span(report.bytes).first(report.length), now);
  std::map<std::string, bool> before;
  for (const auto& change : listeners_.changes(now)) {
    for (const std::string& id : concerned(change.group)) {
      std::size_t& addresses = listened_[id];
      before.emplace(id, addresses != 0);
      addresses += change.listened ? 1 : -std::size_t{1};
    }
  }
  std::vector<InterestChange> out;
  for (const std::string& id : std::exchange(wanted_already_, {}))
    if (before.count(id) == 0 || listened_[id] != 0) out.push_back({id, true});
  for (const auto& [id, was] : before)
    if (const bool is = listened_[id] != 0; is != was) out.push_back({id, is});
  return out;
}

}  // namespace sealcast::dataplane
