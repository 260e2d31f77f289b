#include "dataplane/membership/listeners.h"

#include <algorithm>
#include <utility>

namespace sealcast::dataplane::membership {

std::chrono::milliseconds Listeners::membership_interval(std::uint8_t family) const {
  const Querier& querier = queriers_[family == 6];
  return querier.robustness * std::chrono::milliseconds(querier.interval) + querier.response;
}

void Listeners::on_report(const IpAddress& group, Time now) {
  const Time end = now + membership_interval(group.family);
  const auto known = until_.find(group);
  if (known != until_.end()) {
    known->second = end;
    return;
  }
  if (until_.size() >= most) return;
  until_.emplace(group, end);
  next_end_ = std::min(next_end_, end);
  changes_.push_back({group, true});
}

void Listeners::on_query(const Query& query, Time now) {
  Querier& asking = querier(query.family);
  if (query.robustness != 0) asking.robustness = query.robustness;
  if (query.interval.count() != 0) asking.interval = query.interval;
  if (!query.group) {
    asking.response = query.max_response;
    return;
  }
  // RFC 3376 §6.6.1. A query about sources does not affect the group as a whole.
  if (query.suppressed || !query.sources.empty()) return;
  const auto known = until_.find(*query.group);
  if (known == until_.end()) return;
  known->second = std::min(known->second, now + asking.robustness * query.max_response);
  next_end_ = std::min(next_end_, known->second);
}

void Listeners::forget_if(const std::function<bool(const IpAddress&)>& forgettable) {
  std::erase_if(until_, [&](const auto& entry) { return forgettable(entry.first); });
  std::erase_if(changes_, [&](const Change& change) { return forgettable(change.group); });
}

std::vector<IpAddress> Listeners::listened() const {
  std::vector<IpAddress> out;
  for (const auto& [group, until] : until_)
    out.push_back(group);
  return out;
}

std::vector<Listeners::Change> Listeners::changes(Time now) {
  if (next_end_ <= now) {
    next_end_ = Time::max();
    for (auto it = until_.begin(); it != until_.end();) {
      if (it->second <= now) {
        changes_.push_back({it->first, false});
        it = until_.erase(it);
      } else {
        next_end_ = std::min(next_end_, it->second);
        ++it;
      }
    }
  }
  return std::exchange(changes_, {});
}

}  // namespace sealcast::dataplane::membership
