#include "controlplane/keyserver/group/exclusion.h"

#include <algorithm>

namespace sealcast::keyserver {
namespace {

constexpr std::size_t most_joining = 4096;  // at once; those beyond count together

}  // namespace

void Exclusion::collect() {
  if (!under_way()) shut_out_.clear();
}

void Exclusion::begin(std::uint64_t last_known, SteadyTime now) {
  if (under_way()) last_known = std::max(last_known, progress_->last_known);
  progress_ = Progress{now, last_known, {}, {}, {}};
}

void Exclusion::sender_joining(const std::string& address, const std::string& name, std::uint64_t epoch,
                               SteadyTime until, SteadyTime now) {
  std::erase_if(joining_, [&](const auto& entry) { return entry.second.until <= now; });
  if (joining_.size() >= most_joining) return sender_left(epoch, until, now);
  joining_[address] = {name, epoch, until};
}

void Exclusion::sender_left(std::uint64_t activated, SteadyTime until, SteadyTime now) {
  std::erase_if(leases_away_, [&](const auto& entry) { return entry.second <= now; });
  if (until <= now) return;
  SteadyTime& latest = leases_away_[activated];
  latest = std::max(latest, until);
}

void Exclusion::sender_shut_out(const std::string& name, std::uint64_t activated, SteadyTime until, SteadyTime now) {
  std::erase_if(own_leases_, [&](const auto& entry) { return entry.second.second <= now; });
  own_leases_[name] = {activated, until};
}

void Exclusion::activated(std::uint64_t epoch, const std::vector<Sender>& senders, SteadyTime switch_by) {
  unswitched_.clear();
  for (const Sender& sender : senders)
    if (sender.activated < epoch) unswitched_.insert(sender.name);
  if (under_way() && epoch > progress_->last_known) switch_by_ = switch_by;
}

std::optional<Exclusion::Progress> Exclusion::progress(const Group& group, SteadyTime now) const {
  if (!under_way()) return progress_;
  Progress so_far = *progress_;
  for (const Sender& sender : group.senders)
    if (sender.activated <= so_far.last_known) so_far.senders_awaited.push_back(sender.name);
  for (const auto& [activated, until] : leases())
    if (activated <= so_far.last_known && until > now)
      so_far.leases_end = std::max(so_far.leases_end.value_or(until), until);
  // Those that may hold no epoch read nothing, whichever member sends it.
  const bool holds_none = so_far.last_known == 0;
  const bool switched_here = group.nobody_sends || holds_none || group.active > so_far.last_known;
  const bool switched_elsewhere = holds_none || group.switched_elsewhere;
  if (switched_here && switched_elsewhere && so_far.senders_awaited.empty() && !so_far.leases_end)
    so_far.complete = now;
  return so_far;
}

std::optional<SteadyTime::duration> Exclusion::completed(const Group& group, SteadyTime now) {
  if (!under_way()) return {};
  progress_->complete = progress(group, now)->complete;
  if (!progress_->complete) return {};
  return *progress_->complete - progress_->since;
}

std::vector<std::string> Exclusion::overdue(const Group& group, SteadyTime now) {
  if (!is_switch_due(now)) return {};
  switch_by_.reset();
  const auto so_far = progress(group, now);
  return so_far && !so_far->complete ? so_far->senders_awaited : std::vector<std::string>();
}

std::optional<SteadyTime> Exclusion::senders_go_on_until(SteadyTime now) const {
  SteadyTime latest = now;
  for (const auto& [activated, until] : leases_away_)
    latest = std::max(latest, until);
  for (const auto& [name, lease] : own_leases_)  // the next to be shut out may be so together with others
    latest = std::max(latest, lease.second);
  for (const auto& [address, joining] : joining_)
    latest = std::max(latest, joining.until);
  return latest > now ? std::optional(latest) : std::nullopt;
}

std::uint64_t Exclusion::earliest_in_use(std::uint64_t otherwise, SteadyTime now) const {
  for (const auto& [activated, until] : leases())
    if (until > now) otherwise = std::min(otherwise, activated);
  return otherwise;
}

// By epoch: until when senders that are away may send under it, or a later one, so that others that were shut out can
// read it.
std::map<std::uint64_t, SteadyTime> Exclusion::leases() const {
  auto out = leases_away_;
  const auto add = [&](const std::string& name, std::uint64_t epoch, SteadyTime until) {
    if (shut_out_.size() == 1 && shut_out_.contains(name)) return;  // read by itself alone
    SteadyTime& latest = out[epoch];
    latest = std::max(latest, until);
  };
  for (const auto& [name, lease] : own_leases_)
    add(name, lease.first, lease.second);
  for (const auto& [address, joining] : joining_)
    add(joining.name, joining.epoch, joining.until);
  return out;
}

void Exclusion::on_time(SteadyTime now) {
  std::erase_if(leases_away_, [&](const auto& entry) { return entry.second <= now; });
  std::erase_if(own_leases_, [&](const auto& entry) { return entry.second.second <= now; });
  std::erase_if(joining_, [&](const auto& entry) { return entry.second.until <= now; });
}

std::optional<SteadyTime> Exclusion::next_deadline() const {
  std::optional<SteadyTime> next = switch_by_;
  if (under_way())
    for (const auto& [activated, until] : leases())
      if (activated <= progress_->last_known) next = std::min(next.value_or(until), until);
  return next;
}

void Exclusion::forget_connections() {
  joining_.clear();
  unswitched_.clear();
  switch_by_.reset();
}

}  // namespace sealcast::keyserver
