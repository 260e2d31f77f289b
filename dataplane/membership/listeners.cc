#include "dataplane/membership/listeners.h"

#include <algorithm>
#include <utility>

namespace sealcast::dataplane::membership {

std::chrono::milliseconds Listeners::membership_interval(std::uint8_t family) const {
  const Querier& querier = queriers_[family == 6];
  return querier.robustness * std::chrono::milliseconds(querier.interval) + querier.response;
}

// RFC 3376 §6.4. What a record of filter mode EXCLUDE leaves out is not kept: whoever wants one of those sources says
// so itself, again and again, and until then the group's timer runs.
void Listeners::on_report(const Wanted& wanted, Time now) {
  const Time end = now + membership_interval(wanted.group.family);
  auto known = groups_.find(wanted.group);
  if (known == groups_.end()) {
    if (entries_ >= most) return;
    known = groups_.emplace(wanted.group, Group()).first;
    ++entries_;
    changes_.push_back({wanted.group, true});
  }
  Group& group = known->second;
  bool any = wanted.sources.empty();
  for (const IpAddress& source : wanted.sources) {
    const auto timer = group.sources.find(source);
    if (timer != group.sources.end()) {
      timer->second = end;
    } else if (entries_ < most) {
      group.sources.emplace(source, end);
      ++entries_;
    } else {
      any = true;
    }
  }
  if (any) group.any_until = end;
  next_end_ = std::min(next_end_, end);
}

// RFC 3376 §6.6.1. A question about the whole group shortens the sources' timers, too: hosts answer it with every
// source that they still want (§5.2), and not every querier asks about each source as well.
void Listeners::on_query(const Query& query, Time now) {
  Querier& asking = querier(query.family);
  if (query.robustness != 0) asking.robustness = query.robustness;
  if (query.interval.count() != 0) asking.interval = query.interval;
  if (!query.group) {
    asking.response = query.max_response;
    return;
  }
  if (query.suppressed) return;
  const auto known = groups_.find(*query.group);
  if (known == groups_.end()) return;
  const Time end = now + asking.robustness * query.max_response;
  const auto shorten = [&](Time& timer) { timer = std::min(timer, end); };
  Group& group = known->second;
  if (query.sources.empty()) {
    shorten(group.any_until);
    for (auto& [source, timer] : group.sources)
      shorten(timer);
  }
  for (const IpAddress& source : query.sources)
    if (const auto timer = group.sources.find(source); timer != group.sources.end()) shorten(timer->second);
  next_end_ = std::min(next_end_, end);
}

void Listeners::forget_if(const std::function<bool(const IpAddress&)>& forgettable) {
  for (auto it = groups_.begin(); it != groups_.end();) {
    if (!forgettable(it->first)) {
      ++it;
      continue;
    }
    entries_ -= 1 + it->second.sources.size();
    it = groups_.erase(it);
  }
  std::erase_if(changes_, [&](const Change& change) { return forgettable(change.group); });
}

std::vector<IpAddress> Listeners::listened() const {
  std::vector<IpAddress> out;
  for (const auto& [address, group] : groups_)
    out.push_back(address);
  return out;
}

Listeners::Time Listeners::expire(Group& group, Time now) {
  entries_ -= std::erase_if(group.sources, [&](const auto& source) { return source.second <= now; });
  Time next = group.any_until > now ? group.any_until : Time::max();
  for (const auto& [source, until] : group.sources)
    next = std::min(next, until);
  return next;
}

std::vector<Listeners::Change> Listeners::changes(Time now) {
  if (next_end_ <= now) {
    next_end_ = Time::max();
    for (auto it = groups_.begin(); it != groups_.end();) {
      const Time next = expire(it->second, now);
      if (next == Time::max()) {
        changes_.push_back({it->first, false});
        it = groups_.erase(it);
        --entries_;
      } else {
        next_end_ = std::min(next_end_, next);
        ++it;
      }
    }
  }
  return std::exchange(changes_, {});
}

}  // namespace sealcast::dataplane::membership
