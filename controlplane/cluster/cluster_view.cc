#include "controlplane/cluster/cluster_view.h"

#include <algorithm>
#include <utility>

namespace sealcast::cluster {

namespace {

constexpr std::int64_t expired_kept_ms = 120'000;
constexpr std::size_t most_servers = 64;

// "address name", as others show it to their operators.
std::optional<Peer> parse_peer(const std::string& incarnation, const std::string& value) {
  const std::size_t space = value.find(' ');
  const auto odd = [](char c) { return c < 0x20 || c > 0x7e || c == '"' || c == '\\'; };
  const bool plain = value.size() <= 256 && std::none_of(value.begin(), value.end(), odd) && incarnation.size() == 32 &&
                     std::none_of(incarnation.begin(), incarnation.end(), odd);
  if (!plain || space == std::string::npos) return std::nullopt;
  return Peer{incarnation, value.substr(space + 1), value.substr(0, space), {}};
}

}  // namespace

void ClusterView::begin(Self self, SteadyTime asked) {
  self_ = std::move(self);
  revision_ = 0;
  generation_ = 0;
  groups_.clear();
  live_ = {};
  live_.quiet_since = asked;
  last_block_ = {};
  clock_ = {};
}

std::optional<std::vector<Peer>> ClusterView::take_live(const std::vector<etcd::KeyValue>& entries, SteadyTime now) {
  Live read;
  read.quiet_since = live_.quiet_since;
  const std::string servers = keys_.server("");
  const std::string marks = keys_.trusted("");
  const std::string vouches = keys_.vouched("");
  const std::string questions = keys_.asked("");
  for (const etcd::KeyValue& entry : entries) {
    if (entry.key == keys_.leader()) {
      read.leader = entry.value;
      read.leader_created = entry.created;
    } else if (entry.key.compare(0, marks.size(), marks) == 0) {
      read.trusted.insert(entry.key.substr(marks.size()));
    } else if (entry.key.compare(0, vouches.size(), vouches) == 0) {
      read.vouched_for.insert(entry.key.substr(vouches.size()));
    } else if (entry.key.compare(0, questions.size(), questions) == 0) {
      if (entry.key.substr(questions.size()) != self_.incarnation) read.asked = std::max(read.asked, entry.modified);
    } else if (entry.key.compare(0, servers.size(), servers) == 0 && read.alive.size() < most_servers) {
      auto peer = parse_peer(entry.key.substr(servers.size()), entry.value);
      if (!peer) continue;
      const auto before = live_.alive.find(peer->incarnation);
      peer->since = before == live_.alive.end() ? now : before->second.since;
      read.alive[peer->incarnation] = std::move(*peer);
    }
  }
  if (!read.alive.count(self_.incarnation)) return std::nullopt;
  const auto dead = [&](const std::string& incarnation) { return !read.alive.count(incarnation); };
  std::erase_if(read.trusted, dead);
  std::erase_if(read.vouched_for, dead);
  read.trusted.erase(self_.incarnation);
  std::vector<Peer> vanished;
  for (const auto& [incarnation, peer] : live_.alive)
    if (dead(incarnation)) vanished.push_back(peer);
  if (!vanished.empty()) read.quiet_since = now;
  live_ = std::move(read);
  return vanished;
}

SharedKey ClusterView::take(const etcd::KeyValue& entry, SteadyTime now, const Departed& departed) {
  SharedKey key = parse_shared(keys_, entry.key);
  if (key.kind == "generation") {
    if (entry.modified <= generation_) return {};
    generation_ = entry.modified;
  } else if (key.kind == "clock") {
    const auto value = ClockValue::parse(entry.value);
    if (!value) return {};
    clock_ = *value;
  } else if (key.kind == "group") {
    take_group(groups_[key.id], entry, now);
  } else if (key.kind == "epoch") {
    const auto number = parse_number(key.rest);
    if (!number || *number == 0 || !take_epoch(groups_[key.id], *number, entry, now)) return {};
  } else if (key.kind == "want") {
    const auto space = entry.value.find(' ');
    const auto seen = parse_number(std::string_view(entry.value).substr(0, space));
    if (!seen || space == std::string::npos) return {};
    Group& group = groups_[key.id];
    group.wanted = *seen;
    group.urgent = entry.value.substr(space + 1) == "urgent";
  } else if (key.kind == "at") {
    const auto value = AtValue::parse(entry.value);
    if (!value) return {};
    auto& at = groups_[key.id].at;
    std::erase_if(at, [&](const auto& one) { return !live_.alive.count(one.first) && !departed.knows(one.first); });
    at[key.rest] = *value;
  } else if (key.kind == "joined") {
    auto list = attendees_from(entry.value);
    const std::size_t slash = key.rest.find('/');
    if (!list || slash == std::string::npos) return {};
    auto& joined = groups_[key.id].joined;
    std::erase_if(joined, [&](const auto& one) { return !live_.alive.count(one.first); });
    joined[key.rest.substr(0, slash)][key.rest.substr(slash + 1)] = std::move(*list);
  }
  return key;
}

void ClusterView::take_group(Group& group, const etcd::KeyValue& entry, SteadyTime now) {
  if (const auto value = GroupValue::parse(entry.value)) group.value = *value;
  group.modified = entry.modified;
  // Noted by all, not by the leader alone: where leaders follow each other quickly, old epochs would else never be
  // retired and, four being alive, nothing could be rekeyed.
  for (auto& [number, epoch] : group.epochs)
    if (number < group.value.active && epoch.superseded == SteadyTime{}) epoch.superseded = now;
}

bool ClusterView::take_epoch(Group& group, std::uint64_t number, const etcd::KeyValue& entry, SteadyTime now) {
  auto value = EpochValue::parse(entry.value);
  if (!value) return false;
  Epoch& epoch = group.epochs[number];
  if (epoch.created == 0) epoch.seen = now;
  if (number < group.value.active && epoch.superseded == SteadyTime{}) epoch.superseded = now;
  epoch.value = std::move(*value);
  epoch.created = entry.created;
  epoch.modified = entry.modified;
  if (entry.created > last_block_.created) last_block_ = {epoch.value.spi_prefix, entry.created};
  return true;
}

std::vector<std::uint64_t> ClusterView::expire(const std::string& group_id, std::int64_t unix_ms) {
  std::vector<std::uint64_t> dropped;
  const auto group = groups_.find(group_id);
  if (group == groups_.end()) return dropped;
  std::erase_if(group->second.epochs, [&](const auto& entry) {
    const bool over = entry.second.value.expires_ms + expired_kept_ms < unix_ms;
    if (over) dropped.push_back(entry.first);
    return over;
  });
  return dropped;
}

const ClusterView::Group& ClusterView::group(const std::string& group_id) const {
  static const Group none;
  const auto found = groups_.find(group_id);
  return found == groups_.end() ? none : found->second;
}

const ClusterView::Epoch* ClusterView::epoch(const std::string& group_id, std::uint64_t number) const {
  const auto& epochs = group(group_id).epochs;
  const auto found = epochs.find(number);
  return found == epochs.end() ? nullptr : &found->second;
}

AttendeeList ClusterView::attendees(const std::string& group_id, const std::string& incarnation) const {
  AttendeeList out;
  if (!live_.alive.count(incarnation)) return out;
  const auto& joined = group(group_id).joined;
  const auto found = joined.find(incarnation);
  if (found == joined.end()) return out;
  for (const auto& [part, list] : found->second)
    out.insert(list.begin(), list.end());
  return out;
}

bool ClusterView::usable(const Epoch& epoch, std::int64_t unix_ms) const {
  return !epoch.value.retired && epoch.created > generation_ && epoch.value.expires_ms > unix_ms;
}

std::uint64_t ClusterView::newest(const Group& group, std::int64_t unix_ms) const {
  for (auto it = group.epochs.rbegin(); it != group.epochs.rend(); ++it)
    if (usable(it->second, unix_ms)) return it->first;
  return 0;
}

etcd::Compare ClusterView::still_here() const {
  return {etcd::Compare::What::created, keys_.server(self_.incarnation), self_.registered};
}

etcd::Compare ClusterView::same_generation() const {
  return {etcd::Compare::What::modified, keys_.generation(), generation_};
}

}  // namespace sealcast::cluster
