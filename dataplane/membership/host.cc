#include "dataplane/membership/host.h"

#include <algorithm>
#include <iterator>

namespace sealcast::dataplane::membership {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds unsolicited_interval{1000};       // RFC 3376 §8.11, RFC 3810 §9.11
constexpr milliseconds old_unsolicited_interval{10000};  // RFC 2236 §8.10, RFC 2710 §7.10
constexpr seconds query_response_interval{10};           // RFC 3376 §8.3
// A limit for the intervals in a query: no querier holds this host back in an old version for longer.
constexpr milliseconds longest_old_present{3'600'000};
constexpr std::uint32_t least_mtu4 = 576, least_mtu6 = 1280;

Filter bounded(const Filter& filter) {
  if (filter.sources.size() <= max_sources) return filter;
  return Filter{true, {}};
}

std::vector<IpAddress> list(const std::set<IpAddress>& set) {
  return {set.begin(), set.end()};
}

}  // namespace

Filter merge(const Filter& a, const Filter& b) {
  Filter out;
  if (!a.exclude && !b.exclude) {
    out = a;
    out.sources.insert(b.sources.begin(), b.sources.end());
  } else if (a.exclude && b.exclude) {
    std::set_intersection(a.sources.begin(), a.sources.end(), b.sources.begin(), b.sources.end(),
                          std::inserter(out.sources, out.sources.end()));
  } else {
    const Filter& exclude = a.exclude ? a : b;
    const Filter& include = a.exclude ? b : a;
    std::set_difference(exclude.sources.begin(), exclude.sources.end(), include.sources.begin(), include.sources.end(),
                        std::inserter(out.sources, out.sources.end()));
  }
  return out;
}

Host::Host(Options options)
    : options_(std::move(options)),
      family_(options_.sender.source.family),
      newest_(family_ == 4 ? 3 : 2),
      last_version_(newest_) {}

std::uint8_t Host::version(Time now) const {
  for (std::uint8_t v = 1; v < newest_; ++v)
    if (now < old_until_[v]) return v;
  return newest_;
}

Time Host::later(Time now, milliseconds longest) {
  const auto bound = static_cast<std::uint32_t>(std::clamp<std::int64_t>(longest.count(), 0, 1'000'000'000));
  return now + milliseconds(options_.random(bound));
}

// RFC 3376 §7.2.1: another version cancels every pending answer and repetition.
void Host::adopt_version(Time now) {
  if (version(now) == last_version_) return;
  last_version_ = version(now);
  changes_at_.reset();
  general_at_.reset();
  for (auto& [address, group] : groups_) {
    group.mode_changes = group.old_reports = 0;
    group.source_changes.clear();
    group.answer_at.reset();
    group.asked.clear();
    group.leaving = false;
  }
  forget_left();
}

void Host::forget_left() {
  std::erase_if(groups_, [](const auto& entry) { return entry.second.filter.nothing() && !entry.second.changing(); });
}

void Host::want(const Interests& all, Time now) {
  adopt_version(now);
  for (auto& [address, group] : groups_)
    if (all.count(address) == 0) change(group, Filter{false, {}}, now);
  for (const auto& [address, wanted] : all) {
    if (address.family != family_) continue;
    const Filter filter = bounded(wanted);
    if (groups_.count(address) == 0) {
      if (filter.nothing()) continue;
      groups_[address].filter = Filter{false, {}};
    }
    change(groups_[address], filter, now);
  }
  forget_left();
}

// RFC 3376 §5.1.
void Host::change(Group& group, const Filter& to, Time now) {
  if (group.filter == to) return;
  const Filter from = std::exchange(group.filter, to);
  if (to.nothing()) {
    group.answer_at.reset();
    group.asked.clear();
  }
  if (!newest(now)) {
    // Older versions report only groups. Version 1 has no leave.
    if (from.nothing()) {
      group.old_reports = robustness_;
      group.answer_at = now;
      group.leaving = false;
    } else if (to.nothing()) {
      group.old_reports = 0;
      group.leaving = family_ == 6 || last_version_ == 2;
      if (group.leaving) changes_at_ = now;
    }
    return;
  }
  changes_at_ = now;
  if (from.exclude != to.exclude || group.mode_changes != 0) {
    group.mode_changes = robustness_;
    group.source_changes.clear();
    return;
  }
  std::set<IpAddress> changed;
  std::set_symmetric_difference(from.sources.begin(), from.sources.end(), to.sources.begin(), to.sources.end(),
                                std::inserter(changed, changed.end()));
  for (const IpAddress& source : changed)
    group.source_changes[source] = robustness_;
}

void Host::on_query(const Query& query, Time now) {
  if (query.family != family_) return;
  if (query.version < newest_) {
    const milliseconds present = robustness_ * query_interval_ + query_response_interval;
    old_until_[query.version] = now + std::min(present, longest_old_present);
  } else {
    if (query.robustness >= 2) robustness_ = query.robustness;
    if (query.interval > seconds(0)) query_interval_ = query.interval;
  }
  adopt_version(now);
  if (!newest(now)) return answer_old(query.group ? &*query.group : nullptr, query.max_response, now);

  // RFC 3376 §5.2, rules 1 to 5.
  const Time at = later(now, query.max_response);
  if (general_at_ && *general_at_ <= at) return;
  if (!query.group) {
    general_at_ = at;
    return;
  }
  const auto found = groups_.find(*query.group);
  if (found == groups_.end() || found->second.filter.nothing()) return;
  Group& group = found->second;
  const std::set<IpAddress> sources(query.sources.begin(), query.sources.end());
  if (!group.answer_at) {
    group.answer_at = at;
    group.asked = sources;
  } else {
    group.answer_at = std::min(*group.answer_at, at);
    if (sources.empty() || group.asked.empty())
      group.asked.clear();
    else
      group.asked.insert(sources.begin(), sources.end());
  }
  if (group.asked.size() > max_sources) group.asked.clear();  // then about the whole group
}

void Host::answer_old(const IpAddress* asked, milliseconds longest, Time now) {
  for (auto& [address, group] : groups_) {
    if (group.filter.nothing() || (asked != nullptr && *asked != address)) continue;
    const Time at = later(now, longest);
    if (!group.answer_at || at < *group.answer_at) group.answer_at = at;
  }
}

std::optional<Time> Host::next() const {
  if (!outbox_.empty()) return Time::min();
  std::optional<Time> first = changes_at_;
  const auto take = [&](const std::optional<Time>& at) {
    if (at && (!first || *at < *first)) first = at;
  };
  take(general_at_);
  for (const auto& [address, group] : groups_)
    take(group.answer_at);
  return first;
}

std::vector<Bytes> Host::due(Time now, std::size_t most) {
  adopt_version(now);
  if (outbox_.empty()) {
    if (newest(now)) {
      send_changes(now);
      send_answers(now);
    } else {
      send_old(now);
    }
  }
  std::vector<Bytes> out;
  for (; !outbox_.empty() && out.size() < most; outbox_.pop_front())
    out.push_back(std::move(outbox_.front()));
  return out;
}

// As many records per report as the MTU holds.
void Host::send(std::vector<Record> records) {
  const std::uint32_t least = family_ == 4 ? least_mtu4 : least_mtu6;
  const std::size_t room = std::max(options_.mtu, least) - report_overhead(family_);
  for (std::size_t begin = 0; begin < records.size();) {
    std::size_t end = begin;
    std::size_t bytes = 0;
    while (end < records.size() && (end == begin || bytes + record_bytes(records[end]) <= room))
      bytes += record_bytes(records[end++]);
    outbox_.push_back(report(options_.sender, std::span(records).subspan(begin, end - begin)));
    begin = end;
  }
}

void Host::send_changes(Time now) {
  if (!changes_at_ || *changes_at_ > now) return;
  changes_at_.reset();
  std::vector<Record> records;
  bool more = false;
  for (auto& [address, group] : groups_) {
    if (group.mode_changes != 0) {
      --group.mode_changes;
      records.push_back({group.filter.exclude ? RecordType::change_to_exclude : RecordType::change_to_include, address,
                         list(group.filter.sources)});
    } else if (!group.source_changes.empty()) {
      Record allow{RecordType::allow_new_sources, address, {}};
      Record block{RecordType::block_old_sources, address, {}};
      for (auto& [source, left] : group.source_changes) {
        const bool listed = group.filter.sources.count(source) != 0;
        (listed != group.filter.exclude ? allow : block).sources.push_back(source);
        --left;
      }
      std::erase_if(group.source_changes, [](const auto& entry) { return entry.second == 0; });
      for (Record* record : {&allow, &block})
        if (!record->sources.empty()) records.push_back(std::move(*record));
    }
    more |= group.mode_changes != 0 || !group.source_changes.empty();
  }
  if (more) changes_at_ = later(now, unsolicited_interval);
  forget_left();
  send(std::move(records));
}

void Host::send_answers(Time now) {
  std::vector<Record> records;
  const bool general = general_at_ && *general_at_ <= now;
  if (general) general_at_.reset();
  for (auto& [address, group] : groups_) {
    const bool own = group.answer_at && *group.answer_at <= now;
    if (!general && !own) continue;
    Record record{group.filter.exclude ? RecordType::mode_is_exclude : RecordType::mode_is_include, address,
                  list(group.filter.sources)};
    if (!general && !group.asked.empty()) {
      // The wanted ones of the queried sources (RFC 3376 §5.2, the table after rule 5).
      record = {RecordType::mode_is_include, address, {}};
      for (const IpAddress& source : group.asked)
        if ((group.filter.sources.count(source) != 0) != group.filter.exclude) record.sources.push_back(source);
    }
    if (own) {
      group.answer_at.reset();
      group.asked.clear();
    }
    const bool empty = record.type == RecordType::mode_is_include && record.sources.empty();
    if (!empty) records.push_back(std::move(record));
  }
  send(std::move(records));
}

void Host::send_old(Time now) {
  const bool leave = changes_at_ && *changes_at_ <= now;
  if (leave) changes_at_.reset();
  for (auto& [address, group] : groups_) {
    if (leave && std::exchange(group.leaving, false)) outbox_.push_back(old_leave(options_.sender, address));
    if (!group.answer_at || *group.answer_at > now) continue;
    group.answer_at.reset();
    outbox_.push_back(old_report(options_.sender, address, last_version_));
    if (group.old_reports == 0 || --group.old_reports == 0) continue;
    group.answer_at = later(now, old_unsolicited_interval);
  }
  forget_left();
}

}  // namespace sealcast::dataplane::membership
