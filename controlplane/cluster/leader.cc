// What the leader does: epochs for all key servers, by transactions that only hold while its key in etcd is the one it
// made (compared by create revision): a leader that slept through its lease can do no harm.
#include <algorithm>

#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Transaction;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t most_live = 4;  // epochs of a group that are not retired
constexpr std::int64_t clock_slack_ms = 60'000;
constexpr auto retire_slack = 5s;  // after deactivation_delay: others heard of the activation later
constexpr std::int64_t wishes_ahead_s = 60;
constexpr auto hurried_grace = 3s;  // when somebody was shut out: for members of a key server that vanished

// Of the epochs that are made in that second.
std::uint64_t first_number(std::int64_t unix_s) {
  return static_cast<std::uint64_t>(unix_s) << 20;
}

}  // namespace

bool Node::leading() const {
  return session_ && session_->leader == session_->incarnation && session_->leader_created > 0;
}

void Node::lead() {
  if (!session_ || session_->leading_busy || !session_->synced_once) return;
  if (!leading()) return elect();
  if (session_->synced < session_->lead_after) return;
  const Moment now = host_.now();
  Transaction make;
  make.compares = {{Compare::What::created, keys_.leader(), session_->leader_created}, still_here(), same_generation()};
  vouch(make.success);
  used_.clear();
  for (const std::string& id : host_.groups()) {
    lead_group(id, groups_[id], now, make);
    const std::size_t most = max_operations - 4 - session_->alive.size();
    if (make.success.size() >= most || make.compares.size() >= most) break;
  }
  if (make.success.empty()) return;
  session_->leading_busy = true;
  etcd_.transact(std::move(make), mine(&Node::on_led, now.steady));
}

void Node::on_led(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->leading_busy = false;
  // Without an answer it may be done yet, even after the next look: but then the next transaction finds the groups
  // changed and does nothing.
  if (!reply || !check_revision(*reply)) return;
  session_->lead_after = reply->revision;
  poll();
}

void Node::elect() {
  if (!session_->leader.empty()) return;
  Transaction claim;
  claim.compares = {{Compare::What::created, keys_.leader(), 0}, still_here()};
  claim.success = {Put{keys_.leader(), session_->incarnation, session_->lease}};
  session_->leading_busy = true;
  etcd_.transact(std::move(claim), mine(&Node::on_elected, host_.now().steady));
}

void Node::on_elected(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->leading_busy = false;
  if (!reply || !check_revision(*reply)) return;
  session_->lead_after = reply->revision;  // all that the leader before did lies below
  if (reply->succeeded)
    host_.note(NodeHost::Weight::event, Event("cluster_leading", {{"incarnation", Word{session_->incarnation}}}));
  poll();
}

void Node::lead_group(const std::string& id, Group& group, Moment now, Transaction& out) {
  clear_away(id, group, now, out.success);
  const std::uint64_t number = newest(group, now);
  if (number == 0) return make_epoch(id, group, now, out);
  if (number > group.value.active) {
    if (may_activate(id, group, number, now)) put_group(id, group, {group.value.highest, number}, out);
    return;
  }
  const auto live = std::count_if(group.epochs.begin(), group.epochs.end(),
                                  [&](const auto& entry) { return usable(entry.second, now); });
  // Newer than the newest, too: what is wanted may be counted from one that is not used any more. Not from the future:
  // that would be wanted again and again.
  const bool wanted = group.wanted >= number && group.wanted < first_number(now.unix_ms / 1000 + wishes_ahead_s);
  if (wanted && static_cast<std::size_t>(live) < most_live) make_epoch(id, group, now, out);
}

// When all members of all key servers have the epoch. A key server that says nothing is waited for until it is gone,
// and then a little longer, so that its members can come to the others and get the epoch there: so no packet is lost.
bool Node::may_activate(const std::string& id, const Group& group, std::uint64_t number, Moment now) const {
  const milliseconds lease = settings_.lease_ttl;
  const milliseconds delay(host_.wish(id).policy.activation_delay_ms);
  const milliseconds grace = group.urgent ? milliseconds(hurried_grace) : milliseconds(rejoin_grace);
  if (now.steady >= group.epochs.at(number).seen + lease + grace + delay) return true;
  const bool all = std::all_of(session_->alive.begin(), session_->alive.end(), [&](const auto& entry) {
    const auto at = group.at.find(entry.first);
    return at != group.at.end() && at->second.installed >= number;
  });
  if (!all) return false;
  const auto active = group.epochs.find(group.value.active);
  const bool ends_soon = active == group.epochs.end() ? false : active->second.value.expires_ms < now.unix_ms + 2000;
  return ends_soon || now.steady >= session_->quiet_since + (group.urgent ? 0ms : grace);
}

// Only if nothing was done to the group since it was read.
void Node::put_group(const std::string& id, const Group& group, GroupValue value, Transaction& out) const {
  out.compares.push_back({Compare::What::modified, keys_.group(id), group.modified});
  out.success.push_back(Put{keys_.group(id), value.text()});
}

void Node::find_used_blocks(Moment now) {
  std::vector<std::pair<etcd::Revision, store::UsedBlock>> used;
  for (const auto& [id, group] : groups_)
    for (const auto& [number, epoch] : group.epochs)
      if (epoch.value.expires_ms + clock_slack_ms > now.unix_ms)
        used.push_back({epoch.created, {{epoch.value.spi_prefix, epoch.value.slot_bits}, epoch.value.retired}});
  std::sort(used.begin(), used.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [created, block] : used)
    used_.push_back(block);
}

void Node::make_epoch(const std::string& id, Group& group, Moment now, Transaction& out) {
  if (used_.empty()) find_used_blocks(now);
  GroupWish wish = host_.wish(id);
  const auto refuse = [&](const std::string& why) {
    if (now.steady < group.complain_at) return;
    group.complain_at = now.steady + 10s;
    host_.note(NodeHost::Weight::error, Event("rekey_failed", {{"why", why}}));
  };
  const std::int64_t unix_s = now.unix_ms / 1000;
  if (unix_s < 0 || unix_s >= std::int64_t{1} << 42) return refuse("expected a sane clock");
  // Where etcd was set back, members may hold epochs whose SPIs it has forgotten: go on behind those.
  if (last_prefix_created_ <= generation_) {
    last_prefix_ = memory_.last_prefix;
    last_prefix_created_ = generation_ + 1;
  }
  const auto block = store::choose_block({id, settings_.spi_first, settings_.spi_last, wish.slot_bits, unix_s, unix_s},
                                         used_, last_prefix_);
  if (!block) return refuse("no SPIs are free in spi_range until an epoch expires; widen spi_range");
  const std::uint64_t number = std::max(std::max(group.value.highest, memory_.highest_epoch) + 1, first_number(unix_s));
  EpochContent content;
  content.policy = std::move(wish.policy);
  content.policy.spi_prefix = block->prefix;
  content.policy.spi_slot_bits = block->slot_bits;
  content.policy.slots_used = 0;
  do {
    random_.fill(content.premaster.span());
  } while (content.premaster.is_zero());  // a member refuses an all-zero one
  EpochValue value;
  value.spi_prefix = block->prefix;
  value.slot_bits = block->slot_bits;
  value.begun_ms = now.unix_ms;
  value.expires_ms = now.unix_ms + wish.lifetime.count();
  auto sealed =
      seal_epoch(settings_.key, {settings_.cluster_id, id, number, value.begun_ms, value.expires_ms}, content, random_);
  if (!sealed) return refuse(sealed.error().message);
  value.sealed = std::move(*sealed);
  const std::uint32_t size = block_slots(block->slot_bits);
  for (const auto& [incarnation, peer] : session_->alive) {
    const auto index = static_cast<std::uint32_t>(value.assigned.size());
    if ((index + 1) * size > epoch_slots(block->slot_bits)) break;
    value.assigned.push_back(incarnation);
    out.success.push_back(Put{keys_.slot(id, number, index), incarnation});
  }
  // The very first of the group: there is nobody who could hold another.
  const bool first = group.value.highest == 0 && generation_ == 0;
  out.compares.push_back({Compare::What::created, keys_.epoch(id, number), 0});
  out.success.push_back(Put{keys_.epoch(id, number), value.text()});
  put_group(id, group, {number, first ? number : group.value.active}, out);
  used_.push_back({*block, false});
  last_prefix_ = block->prefix;
  host_.note(NodeHost::Weight::event, Event("epoch_begun", {{"group", id}, {"epoch", number}}));
}

// What nobody uses any more loses its secret in etcd at once; that it was there is forgotten when it expires.
void Node::clear_away(const std::string& id, Group& group, Moment now, Operations& out) {
  const auto delay = milliseconds(host_.wish(id).policy.deactivation_delay_ms);
  for (auto& [number, epoch] : group.epochs) {
    if (out.size() > max_operations / 2) return;
    const std::string slots = keys_.slots(id, number);
    if (epoch.value.expires_ms + clock_slack_ms < now.unix_ms) {
      if (std::exchange(epoch.cleared, true)) continue;
      out.push_back(etcd::Delete{keys_.epoch(id, number), ""});
      out.push_back(etcd::Delete{slots, etcd::end_of(slots)});
    } else if (number < group.value.active && !epoch.value.retired) {
      if (epoch.superseded == SteadyTime{}) epoch.superseded = now.steady;
      if (now.steady < epoch.superseded + delay + retire_slack) continue;
      EpochValue rest = epoch.value;
      rest.retired = true;
      rest.sealed.clear();
      rest.assigned.clear();
      out.push_back(Put{keys_.epoch(id, number), rest.text()});
      out.push_back(etcd::Delete{slots, etcd::end_of(slots)});
    }
  }
}

}  // namespace sealcast::cluster
