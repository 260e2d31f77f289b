#include "controlplane/cluster/leader.h"

#include <algorithm>

#include "controlplane/cluster/sealing.h"
#include "controlplane/cluster/slot_book.h"

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
// After a key server vanished its members need so long, at most, to notice it and to be back at another one.
constexpr milliseconds rejoin_grace = 10s;
constexpr milliseconds hurried_grace = 3s;  // the same, when a member was shut out
constexpr auto refuse_again = 10s;

// Of the epochs that are made in that second.
std::uint64_t first_number(std::int64_t unix_s) {
  return static_cast<std::uint64_t>(unix_s) << 20;
}

}  // namespace

std::optional<Transaction> Leader::next(Operations vouches, Moment now) {
  if (asked_ != Asked::nothing) return std::nullopt;
  if (!view_.leading()) {
    if (!view_.live().leader.empty()) return std::nullopt;
    asked_ = Asked::election;
    return election();
  }
  if (view_.revision() < after_) return std::nullopt;
  Transaction make;
  make.compares = {{Compare::What::created, view_.keys().leader(), view_.live().leader_created},
                   view_.still_here(),
                   view_.same_generation()};
  make.success = std::move(vouches);
  if (auto reading = clock_.reading_to_write(now.boot)) make.success.push_back(std::move(*reading));
  used_.clear();
  const std::size_t most = max_operations - 5 - view_.live().alive.size();
  for (const std::string& id : host_.groups()) {
    lead_group(id, now, make);
    if (make.success.size() >= most || make.compares.size() >= most) break;
  }
  if (make.success.empty()) return std::nullopt;
  asked_ = Asked::work;
  return make;
}

void Leader::answered(const etcd::Reply* reply) {
  const bool elected = std::exchange(asked_, Asked::nothing) == Asked::election && reply && reply->succeeded;
  // Without an answer it may be done yet, even after the next look: but then the next transaction finds the groups
  // changed and does nothing.
  if (!reply) return;
  after_ = reply->revision;  // after an election: all that the leader before did lies below
  if (elected)
    host_.note(NodeHost::Weight::event, Event("cluster_leading", {{"incarnation", Word{view_.self().incarnation}}}));
}

void Leader::forget(const std::string& group_id, std::uint64_t number) {
  cleared_.erase({group_id, number});
}

void Leader::clear() {
  asked_ = Asked::nothing;
  after_ = 0;
  last_block_ = {};
  quiet_.clear();
  cleared_.clear();
}

Transaction Leader::election() const {
  Transaction claim;
  claim.compares = {{Compare::What::created, view_.keys().leader(), 0}, view_.still_here()};
  claim.success = {Put{view_.keys().leader(), view_.self().incarnation, view_.self().lease}};
  return claim;
}

void Leader::lead_group(const std::string& id, Moment now, Transaction& out) {
  const ClusterView::Group& group = view_.group(id);
  clear_away(id, group, now, out.success);
  const std::uint64_t number = view_.newest(group, now.unix_ms);
  if (number == 0) return make_epoch(id, group, now, out);
  if (number > group.value.active) {
    if (may_activate(id, group, number, now)) put_group(id, group, {group.value.highest, number}, out);
    return;
  }
  const auto live = std::count_if(group.epochs.begin(), group.epochs.end(),
                                  [&](const auto& entry) { return view_.usable(entry.second, now.unix_ms); });
  // Newer than the newest, too: what is wanted may be counted from one that is not used any more. Not from the future:
  // that would be wanted again and again.
  const bool wanted = group.wanted >= number && group.wanted < first_number(now.unix_ms / 1000 + wishes_ahead_s);
  const std::uint64_t clock = host_.wish(id).policy.numbers == Numbers::timed ? clock_.led_id() : 0;
  const bool other_clock = group.epochs.at(number).value.clock_id != clock;
  if ((wanted || other_clock) && static_cast<std::size_t>(live) < most_live) make_epoch(id, group, now, out);
}

// When all members of all key servers have the epoch. A key server that says nothing is waited for until it is gone,
// and then a little longer, so that its members can come to the others and get the epoch there: so no packet is lost.
bool Leader::may_activate(const std::string& id, const ClusterView::Group& group, std::uint64_t number,
                          Moment now) const {
  const milliseconds delay(host_.wish(id).policy.activation_delay_ms);
  const milliseconds grace = group.urgent ? hurried_grace : rejoin_grace;
  if (now.steady >= group.epochs.at(number).seen + settings_.lease_ttl + grace + delay) return true;
  const ClusterView::Live& live = view_.live();
  const bool all = std::all_of(live.alive.begin(), live.alive.end(), [&](const auto& entry) {
    const auto at = group.at.find(entry.first);
    return at != group.at.end() && at->second.installed >= number;
  });
  if (!all) return false;
  const auto active = group.epochs.find(group.value.active);
  const bool ends_soon = active != group.epochs.end() && active->second.value.expires_ms < now.unix_ms + 2000;
  return ends_soon || now.steady >= live.quiet_since + (group.urgent ? 0ms : grace);
}

// Only if nothing was done to the group since it was read.
void Leader::put_group(const std::string& id, const ClusterView::Group& group, GroupValue value,
                       Transaction& out) const {
  out.compares.push_back({Compare::What::modified, view_.keys().group(id), group.modified});
  out.success.push_back(Put{view_.keys().group(id), value.text()});
}

void Leader::find_used_blocks(Moment now) {
  std::vector<std::pair<etcd::Revision, store::UsedBlock>> used;
  for (const auto& [id, group] : view_.groups())
    for (const auto& [number, epoch] : group.epochs)
      if (epoch.value.expires_ms + clock_slack_ms > now.unix_ms)
        used.push_back({epoch.created, {{epoch.value.spi_prefix, epoch.value.slot_bits}, epoch.value.retired}});
  std::sort(used.begin(), used.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [created, block] : used)
    used_.push_back(block);
}

std::optional<store::SpiBlock> Leader::choose_block(const std::string& id, std::uint8_t slot_bits,
                                                    std::int64_t unix_s) {
  if (view_.last_block().created > last_block_.created) last_block_ = view_.last_block();
  // Where etcd was set back, members may hold epochs whose SPIs it has forgotten: go on behind those.
  if (last_block_.created <= view_.generation()) last_block_ = {memory_.last_prefix, view_.generation() + 1};
  return store::choose_block({id, settings_.spi_first, settings_.spi_last, slot_bits, unix_s, unix_s}, used_,
                             last_block_.prefix);
}

void Leader::make_epoch(const std::string& id, const ClusterView::Group& group, Moment now, Transaction& out) {
  if (used_.empty()) find_used_blocks(now);
  GroupWish wish = host_.wish(id);
  const auto refuse = [&](const std::string& why) {
    SteadyTime& quiet = quiet_[id];
    if (now.steady < quiet) return;
    quiet = now.steady + refuse_again;
    host_.note(NodeHost::Weight::error, Event("rekey_failed", {{"why", why}}));
  };
  const std::int64_t unix_s = now.unix_ms / 1000;
  if (unix_s < 0 || unix_s >= std::int64_t{1} << 42) return refuse("expected a sane clock");
  const auto block = choose_block(id, wish.slot_bits, unix_s);
  if (!block) return refuse("no SPIs are free in spi_range until an epoch expires; widen spi_range");
  const std::uint64_t number = std::max(std::max(group.value.highest, memory_.highest_epoch) + 1, first_number(unix_s));
  EpochContent content;
  content.policy = std::move(wish.policy);
  content.policy.spi_prefix = block->prefix;
  content.policy.spi_slot_bits = block->slot_bits;
  content.policy.slots_used = 0;
  if (content.policy.numbers == Numbers::timed) content.zero = clock_.zero(now.boot);
  do {
    random_.fill(content.premaster.span());
  } while (content.premaster.is_zero());  // a member refuses an all-zero one
  EpochValue value;
  value.spi_prefix = block->prefix;
  value.slot_bits = block->slot_bits;
  value.begun_ms = now.unix_ms;
  value.expires_ms = now.unix_ms + wish.lifetime.count();
  value.clock_id = content.zero.clock_id;
  auto sealed =
      seal_epoch(settings_.key, {settings_.cluster_id, id, number, value.begun_ms, value.expires_ms}, content, random_);
  if (!sealed) return refuse(sealed.error().message);
  value.sealed = std::move(*sealed);
  const Keys& keys = view_.keys();
  const std::uint32_t size = block_slots(block->slot_bits);
  for (const auto& [incarnation, peer] : view_.live().alive) {
    const auto index = static_cast<std::uint32_t>(value.assigned.size());
    if ((index + 1) * size > epoch_slots(block->slot_bits)) break;
    value.assigned.push_back(incarnation);
    out.success.push_back(Put{keys.slot(id, number, index), incarnation});
  }
  // The very first of the group: no member can hold another.
  const bool first = group.value.highest == 0 && view_.generation() == 0;
  out.compares.push_back({Compare::What::created, keys.epoch(id, number), 0});
  out.success.push_back(Put{keys.epoch(id, number), value.text()});
  put_group(id, group, {number, first ? number : group.value.active}, out);
  used_.push_back({*block, false});
  last_block_.prefix = block->prefix;
  host_.note(NodeHost::Weight::event, Event("epoch_begun", {{"group", id}, {"epoch", number}}));
}

// What is not used any more loses its secret in etcd at once; that it was there is forgotten when it expires.
void Leader::clear_away(const std::string& id, const ClusterView::Group& group, Moment now, Operations& out) {
  const auto delay = milliseconds(host_.wish(id).policy.deactivation_delay_ms);
  for (const auto& [number, epoch] : group.epochs) {
    if (out.size() > max_operations / 2) return;
    const std::string slots = view_.keys().slots(id, number);
    if (epoch.value.expires_ms + clock_slack_ms < now.unix_ms) {
      if (!cleared_.insert({id, number}).second) continue;
      out.push_back(etcd::Delete{view_.keys().epoch(id, number), ""});
      out.push_back(etcd::Delete{slots, etcd::end_of(slots)});
    } else if (number < group.value.active && !epoch.value.retired) {
      if (now.steady < epoch.superseded + delay + retire_slack) continue;
      EpochValue rest = epoch.value;
      rest.retired = true;
      rest.sealed.clear();
      rest.assigned.clear();
      out.push_back(Put{view_.keys().epoch(id, number), rest.text()});
      out.push_back(etcd::Delete{slots, etcd::end_of(slots)});
    }
  }
}

}  // namespace sealcast::cluster
