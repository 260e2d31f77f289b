#include "dataplane/red_listeners.h"

#include <algorithm>

namespace sealcast::dataplane {

std::vector<std::string> RedListeners::concerned(const IpAddress& address) const {
  std::vector<std::string> groups = selectors_.groups_of(address);
  std::erase_if(groups, [this](const std::string& id) { return listened_.count(id) == 0; });
  return groups;
}

void RedListeners::query_on_black(std::span<const std::uint8_t> frame, SteadyTime now) {
  if (listened_.empty()) return;
  if (const auto query = membership::read_query(frame)) listeners_.heard(*query, now);
}

void RedListeners::take(std::span<const std::uint8_t> frame, SteadyTime now) {
  if (listened_.empty()) return;
  if (const auto query = membership::read_query(frame)) return listeners_.heard(*query, now);
  for (const IpAddress& group : membership::read_report(frame))
    if (!concerned(group).empty()) listeners_.heard(group, now);
}

std::vector<InterestChange> RedListeners::tick(SteadyTime now) {
  HostFrame heard;
  for (Worker* worker : workers_)
    while (worker->reports_heard().pop(heard))
      take(std::span(heard.bytes).first(heard.length), now);
  std::map<std::string, bool> before;
  for (const auto& change : listeners_.changes(now)) {
    for (const std::string& id : concerned(change.group)) {
      std::size_t& addresses = listened_[id];
      before.emplace(id, addresses != 0);
      addresses += change.listened ? 1 : -std::size_t{1};
    }
  }
  std::vector<InterestChange> out;
  for (const auto& [id, was] : before)
    if (const bool is = listened_[id] != 0; is != was) out.push_back({id, is});
  return out;
}

}  // namespace sealcast::dataplane
