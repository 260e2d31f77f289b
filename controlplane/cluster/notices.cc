#include "controlplane/cluster/notices.h"

#include <algorithm>
#include <iterator>

namespace sealcast::cluster {

using etcd::Put;
using etcd::Transaction;

void Notices::want(const std::string& group_id, std::uint64_t seen, bool urgent) {
  Owed& owed = owed_[group_id];
  owed = {std::max(owed.seen, seen), urgent || owed.urgent, false};
}

void Notices::wish_read(const std::string& group_id) {
  const auto owed = owed_.find(group_id);
  if (owed == owed_.end()) return;
  const ClusterView::Group& group = view_.group(group_id);
  if (group.wanted < owed->second.seen || (owed->second.urgent && !group.urgent)) owed->second.told = false;
}

void Notices::installed(const std::string& group_id, std::uint64_t epoch) {
  AtValue& here = progress_[group_id].here;
  here.installed = std::max(here.installed, epoch);
  watch(group_id);
}

void Notices::watch(const std::string& group_id) {
  watched_.insert(group_id);
}

void Notices::put_back(Operations operations) {
  lost_.insert(lost_.end(), std::make_move_iterator(operations.begin()), std::make_move_iterator(operations.end()));
}

std::optional<Transaction> Notices::next() {
  if (under_way_) return std::nullopt;
  Transaction tell;
  Operations& puts = tell.success;
  UnderWay sent;
  const Keys& keys = view_.keys();
  for (auto it = watched_.begin(); it != watched_.end() && puts.size() < max_operations / 2;) {
    const auto id = it++;
    Progress& progress = progress_[*id];
    progress.here.switched = std::max(progress.here.switched, host_.switched(*id));
    if (progress.here != progress.told) {
      puts.push_back(Put{keys.at(*id, view_.self().incarnation), progress.here.text(), view_.self().lease});
      sent.at.emplace_back(*id, progress.here);
    } else if (progress.here.switched >= view_.group(*id).value.active) {
      watched_.erase(id);
    }
  }
  for (auto it = owed_.begin(); it != owed_.end() && puts.size() < max_operations * 3 / 4;) {
    const auto here = it++;
    const auto& [id, owed] = *here;
    if (view_.group(id).value.highest > owed.seen) {
      owed_.erase(here);
    } else if (!owed.told) {
      puts.push_back(Put{keys.want(id), std::to_string(owed.seen) + (owed.urgent ? " urgent" : " wanted")});
      sent.wants.emplace_back(id, owed.seen);
    }
  }
  sent.lost = std::min(lost_.size(), max_operations - puts.size());
  puts.insert(puts.end(), lost_.begin(), lost_.begin() + static_cast<std::ptrdiff_t>(sent.lost));
  if (puts.empty()) return std::nullopt;
  // One transaction may not write a key twice; what was added last counts.
  std::set<std::string> written;
  for (auto it = puts.end(); it != puts.begin();) {
    --it;
    if (!written.insert(std::get<Put>(*it).key).second) it = puts.erase(it);
  }
  tell.compares = {view_.still_here()};
  under_way_ = std::move(sent);
  return tell;
}

bool Notices::answered(const etcd::Reply* reply) {
  const auto sent = std::exchange(under_way_, std::nullopt);
  if (!sent || !reply || !reply->succeeded) return false;
  for (const auto& [id, seen] : sent->wants)
    if (const auto owed = owed_.find(id); owed != owed_.end() && owed->second.seen == seen) owed->second.told = true;
  for (const auto& [id, value] : sent->at)
    progress_[id].told = value;
  lost_.erase(lost_.begin(), lost_.begin() + static_cast<std::ptrdiff_t>(sent->lost));
  return true;
}

AtValue Notices::here(const std::string& group_id) const {
  const auto progress = progress_.find(group_id);
  return progress == progress_.end() ? AtValue{} : progress->second.here;
}

void Notices::clear() {
  under_way_.reset();
  lost_.clear();
  watched_.clear();
  progress_.clear();
  for (auto& [id, owed] : owed_)
    owed.told = false;
}

}  // namespace sealcast::cluster
