// What was read from etcd, what the host hears of it, and what this key server tells the others.
#include <algorithm>

#include "controlplane/cluster/node.h"

namespace sealcast::cluster {

using etcd::Compare;
using etcd::Put;
using etcd::Range;
using etcd::Transaction;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr auto patience = 3s;  // for all groups to have an epoch, before members are served
constexpr std::int64_t keep_expired_ms = 120'000;
constexpr const char* being_restored = "etcd had lost this revocation, and it is just being put back: ask again";

}  // namespace

// ---------------------------------------------------------------- reading

void Node::take(const etcd::KeyValue& entry) {
  if (!session_) return;
  const SharedKey key = parse_shared(keys_, entry.key);
  if (key.kind == "generation") {
    if (entry.modified <= generation_) return;
    generation_ = entry.modified;
    if (session_->is_trusted && session_->synced_once && entry.value != session_->incarnation)
      lose("another key server found that etcd was set back");
  } else if (key.kind == "revoked") {
    const auto space = entry.value.find(' ');
    const auto since = parse_number(std::string_view(entry.value).substr(0, space));
    if (!since || space == std::string::npos) return;
    Revocation& revocation = revocations_[{key.id, key.rest}];
    if (entry.modified < revocation.modified) return;  // read before it was changed from here
    revocation = {static_cast<std::int64_t>(*since), entry.value.substr(space + 1) == "lifted", entry.modified};
    revocations_moved_ = true;
  } else if (!key.kind.empty()) {
    take_group(key, entry);
  }
}

void Node::take_group(const SharedKey& key, const etcd::KeyValue& entry) {
  Group& group = groups_[key.id];
  touched_.insert(key.id);
  if (key.kind == "group") {
    if (const auto value = GroupValue::parse(entry.value)) group.value = *value;
    // Noted by all, not by the leader alone: where leaders follow each other quickly, old epochs would else never be
    // retired and, four being alive, nothing could be rekeyed.
    for (auto& [number, epoch] : group.epochs)
      if (number < group.value.active && epoch.superseded == SteadyTime{}) epoch.superseded = host_.now().steady;
    group.modified = entry.modified;
  } else if (key.kind == "epoch") {
    auto value = EpochValue::parse(entry.value);
    const auto number = parse_number(key.rest);
    if (!value || !number || *number == 0) return;
    Epoch& epoch = group.epochs[*number];
    if (epoch.created == 0) epoch.seen = host_.now().steady;
    epoch.value = std::move(*value);
    epoch.created = entry.created;
    epoch.modified = entry.modified;
    epoch.next_block = std::max(epoch.next_block, static_cast<std::uint32_t>(epoch.value.assigned.size()));
    if (entry.created > last_prefix_created_) {
      last_prefix_created_ = entry.created;
      last_prefix_ = epoch.value.spi_prefix;
    }
    if (*number > memory_.highest_epoch) {
      memory_.highest_epoch = *number;
      memory_.last_prefix = epoch.value.spi_prefix;
      memory_changed_ = true;
    }
  } else if (key.kind == "want") {
    const auto space = entry.value.find(' ');
    const auto seen = parse_number(std::string_view(entry.value).substr(0, space));
    if (!seen || space == std::string::npos) return;
    group.wanted = *seen;
    group.urgent = entry.value.substr(space + 1) == "urgent";
    // Another key server's wish, made with less knowledge, must not undo this one's.
    if (const auto owed = owed_.find(key.id); owed != owed_.end())
      if (group.wanted < owed->second.seen || (owed->second.urgent && !group.urgent)) owed->second.told = false;
  } else if (key.kind == "at") {
    const auto value = AtValue::parse(entry.value);
    if (!value) return;
    std::erase_if(group.at, [&](const auto& at) { return !session_->alive.count(at.first) && !gone_.count(at.first); });
    group.at[key.rest] = *value;
  }
}

bool Node::usable(const Epoch& epoch, Moment now) const {
  return !epoch.value.retired && epoch.created > generation_ && epoch.value.expires_ms > now.unix_ms;
}

std::uint64_t Node::newest(const Group& group, Moment now) const {
  for (auto it = group.epochs.rbegin(); it != group.epochs.rend(); ++it)
    if (usable(it->second, now)) return it->first;
  return 0;
}

// Everything that is read is read; now the consequences.
void Node::settle() {
  if (std::exchange(revocations_moved_, false)) restore_revocations();
  if (!session_) return;
  save_memory();
  if (!session_->is_trusted) return seek_trust();
  if (!touched_.empty()) {
    const Moment now = host_.now();
    const auto ours = host_.groups();
    const std::set<std::string> known(ours.begin(), ours.end());
    std::set<std::string> again;
    for (const std::string& id : std::exchange(touched_, {})) {
      if (!known.count(id)) continue;
      if (!adopt_epochs(id, groups_[id], now)) again.insert(id);
      host_.others_changed(id);
      if (!session_) return;
    }
    touched_.merge(again);
  }
  claim();
  publish();
  lead();
  begin_serving();
}

// Whom this key server knows to be revoked, and etcd has never heard of, was revoked after the backup that etcd was
// restored from; or once more, where the backup says that an earlier revocation was lifted.
void Node::restore_revocations() {
  for (const auto& [whom, since] : memory_.revoked) {
    const auto known = revocations_.find(whom);
    if (known != revocations_.end() && (!known->second.lifted || known->second.since >= since)) continue;
    extra_puts_.push_back(Put{keys_.revoked(whom.first, whom.second), std::to_string(since) + " revoked"});
    revocations_[whom] = {since, false, 0};
  }
  std::map<std::pair<std::string, std::string>, std::int64_t> now;
  for (const auto& [whom, revocation] : revocations_)
    if (!revocation.lifted) now[whom] = revocation.since;
  if (now != memory_.revoked) {
    memory_.revoked = std::move(now);
    memory_changed_ = true;
    save_memory();
  }
  host_.revocations_changed();
}

// ---------------------------------------------------------------- epochs

// False: something of the group has to wait.
bool Node::adopt_epochs(const std::string& id, Group& group, Moment now) {
  bool done = true;
  std::erase_if(group.epochs, [&](const auto& entry) {
    const bool over = entry.second.value.expires_ms + keep_expired_ms < now.unix_ms;
    if (over) slots_.forget({id, entry.first});
    return over;
  });
  for (auto& [number, epoch] : group.epochs) {
    if (number < group.value.active || !usable(epoch, now) || epoch.adopted || epoch.unreadable) continue;
    if (!done || !adopt(id, number, epoch, now)) done = false;
    if (!session_) return false;
  }
  const auto active = group.epochs.find(group.value.active);
  if (group.activated != group.value.active && active != group.epochs.end() && active->second.adopted) {
    group.activated = group.value.active;
    host_.activated(id, group.activated);
    watched_.insert(id);
  }
  return done;
}

bool Node::adopt(const std::string& id, std::uint64_t number, Epoch& epoch, Moment now) {
  const SlotBook::Epoch which{id, number};
  const std::uint32_t size = block_slots(epoch.value.slot_bits);
  const std::uint32_t capacity = epoch_slots(epoch.value.slot_bits);
  if (!epoch.assigned) {
    epoch.assigned = true;
    const auto& list = epoch.value.assigned;
    const auto own = std::find(list.begin(), list.end(), session_->incarnation);
    const auto block = static_cast<std::uint32_t>(own - list.begin());
    if (own != list.end() && block * size < capacity)
      slots_.add(which, block * size, std::min((block + 1) * size, capacity));
    slots_.claimed_to(which, std::min(static_cast<std::uint32_t>(list.size()) * size, capacity));
  }
  const std::uint32_t needed = std::min(host_.slots_needed(id), capacity / 2);
  if (slots_.left(which) < needed && epoch.next_block * size < capacity) {
    want_slots(id, number, needed);
    return false;
  }
  auto content =
      open_epoch(settings_.key, {settings_.cluster_id, id, number, epoch.value.begun_ms, epoch.value.expires_ms},
                 epoch.value.sealed);
  if (content &&
      (content->policy.spi_prefix != epoch.value.spi_prefix || content->policy.spi_slot_bits != epoch.value.slot_bits))
    content = fail("group \"" + id + "\": its SPIs are not those that were sealed");
  if (!content) {
    epoch.unreadable = true;
    host_.note(NodeHost::Weight::error, Event("cluster_epoch_refused", {{"why", content.error().message}}));
    return true;
  }
  const std::chrono::seconds lease(content->policy.authority_lease_s);
  const auto lifetime = epoch.value.expires_ms - epoch.value.begun_ms;
  MadeEpoch made{number, std::move(*content),
                 milliseconds(std::clamp<std::int64_t>(now.unix_ms - epoch.value.begun_ms, 0, lifetime)),
                 milliseconds(std::clamp<std::int64_t>(epoch.value.expires_ms - now.unix_ms, 1, lifetime))};
  if (auto adopted = host_.adopt(id, std::move(made)); !adopted) {
    host_.note(NodeHost::Weight::error, Event("cluster_epoch_failed", {{"why", adopted.error().message}}));
    return false;
  }
  epoch.adopted = true;
  note_lease(lease);
  if (slots_.left(which) < low_water) want_slots(id, number, size);
  return true;
}

// Those who vanished may have had members with it, too.
void Node::note_lease(std::chrono::seconds lease) {
  if (lease <= longest_lease_) return;
  longest_lease_ = lease;
  blind_until_ = std::max(blind_until_, blind_since_ + lease);
  for (auto& [incarnation, gone] : gone_)
    gone.until = std::max(gone.until, gone.since + lease);
}

void Node::group_added(const std::string& group_id) {
  if (!session_) return;
  Group& group = groups_[group_id];
  group.activated = 0;
  for (auto& [number, epoch] : group.epochs)
    epoch.adopted = false;
  touched_.insert(group_id);
  poll();
}

void Node::want_epoch(const std::string& group_id, std::uint64_t seen, const std::string& why) {
  if (seen == 0) return;
  Owed& owed = owed_[group_id];
  owed = {std::max(owed.seen, seen), why == "revocation" || owed.urgent, false};
  poll();  // not only when it is time
}

void Node::installed_here(const std::string& group_id, std::uint64_t epoch) {
  AtValue& here = groups_[group_id].here;
  here.installed = std::max(here.installed, epoch);
  watched_.insert(group_id);
  poll();
}

std::uint64_t Node::highest(const std::string& group_id) const {
  const auto group = groups_.find(group_id);
  // Numbers grow with the time: no group had a higher one when this key server was last told anything.
  if (!session_ || !session_->synced_once)
    return std::max(memory_.highest_epoch, group == groups_.end() ? 0 : group->second.heard_of);
  if (group == groups_.end()) return 0;
  const auto& epochs = group->second.epochs;
  return std::max({group->second.heard_of, group->second.value.highest, epochs.empty() ? 0 : epochs.rbegin()->first});
}

std::uint64_t Node::highest_before_revocation(const std::string& group_id, const store::Revocation& revocation) const {
  const auto noted = revocations_.find({revocation.member_id, revocation.group_id});
  const auto group = groups_.find(group_id);
  if (!session_ || noted == revocations_.end() || noted->second.modified == 0 || group == groups_.end())
    return highest(group_id);
  std::uint64_t newest = 0;
  for (const auto& [number, epoch] : group->second.epochs)
    if (epoch.created < noted->second.modified) newest = number;
  return newest;
}

bool Node::switched_elsewhere(const std::string& group_id, std::uint64_t epoch) const {
  if (!session_ || !session_->synced_once) return false;
  const auto group = groups_.find(group_id);
  const auto now_blind = [&] {
    if (host_.now().steady >= blind_until_) return false;
    if (group == groups_.end()) return generation_ != 0;
    // Who vanished before had no epoch, if there was none.
    const auto& epochs = group->second.epochs;
    return generation_ != 0 || std::any_of(epochs.begin(), epochs.end(), [&](const auto& entry) {
             return entry.second.created < session_->registered;
           });
  };
  if (now_blind()) return false;
  const auto switched = [&](const std::string& incarnation) {
    if (group == groups_.end()) return false;
    const auto at = group->second.at.find(incarnation);
    return at != group->second.at.end() && at->second.switched > epoch;
  };
  for (const auto& [incarnation, peer] : session_->alive)
    if (incarnation != session_->incarnation && !switched(incarnation)) return false;
  const SteadyTime now = host_.now().steady;
  return std::all_of(gone_.begin(), gone_.end(),
                     [&](const auto& entry) { return entry.second.until <= now || switched(entry.first); });
}

// ---------------------------------------------------------------- telling the others

void Node::publish() {
  if (!session_ || session_->publishing) return;
  Transaction tell;
  tell.compares = {still_here()};
  published_.clear();
  wants_under_way_.clear();
  for (auto it = watched_.begin(); it != watched_.end() && tell.success.size() < max_operations / 2;) {
    const auto here = it++;
    Group& group = groups_[*here];
    group.here.switched = std::max(group.here.switched, host_.switched(*here));
    if (group.here != group.told) {
      tell.success.push_back(Put{keys_.at(*here, session_->incarnation), group.here.text(), session_->lease});
      published_.emplace_back(*here, group.here);
    } else if (group.here.switched >= group.value.active) {
      watched_.erase(here);
    }
  }
  for (auto it = owed_.begin(); it != owed_.end() && tell.success.size() < max_operations * 3 / 4;) {
    const auto here = it++;
    Owed& owed = here->second;
    if (groups_[here->first].value.highest > owed.seen) {
      owed_.erase(here);
    } else if (!owed.told) {
      tell.success.push_back(
          Put{keys_.want(here->first), std::to_string(owed.seen) + (owed.urgent ? " urgent" : " wanted")});
      wants_under_way_.emplace_back(here->first, owed.seen);
    }
  }
  extra_under_way_ = std::min(extra_puts_.size(), max_operations - tell.success.size());
  tell.success.insert(tell.success.end(), extra_puts_.begin(),
                      extra_puts_.begin() + static_cast<std::ptrdiff_t>(extra_under_way_));
  if (tell.success.empty()) return;
  // One transaction may not write a key twice; the later wish is the one that counts.
  std::set<std::string> keys;
  for (auto it = tell.success.end(); it != tell.success.begin();) {
    --it;
    if (!keys.insert(std::get<Put>(*it).key).second) it = tell.success.erase(it);
  }
  session_->publishing = true;
  etcd_.transact(std::move(tell), mine(&Node::on_published, host_.now().steady));
}

void Node::on_published(Result<etcd::Reply>&& reply, SteadyTime asked) {
  if (!session_ || asked < session_->since) return;
  session_->publishing = false;
  const auto told = std::exchange(published_, {});
  for (const auto& [id, seen] : std::exchange(wants_under_way_, {}))
    if (const auto owed = owed_.find(id); reply && reply->succeeded && owed != owed_.end() && owed->second.seen == seen)
      owed->second.told = true;
  const std::size_t extra = std::exchange(extra_under_way_, 0);
  if (!reply || !check_revision(*reply) || !reply->succeeded) return;  // it is told again
  for (const auto& [id, value] : told)
    groups_[id].told = value;
  extra_puts_.erase(extra_puts_.begin(), extra_puts_.begin() + static_cast<std::ptrdiff_t>(extra));
  poll();
}

void Node::begin_serving() {
  if (!session_ || session_->serving || !session_->synced_once) return;
  const Moment now = host_.now();
  const bool patient = now.steady < session_->trusted_since + patience;
  if (patient && (!wanted_slots_.empty() || !claims_.empty())) return;
  for (const std::string& id : host_.groups()) {
    const auto& epochs = groups_[id].epochs;
    const bool has_one =
        std::any_of(epochs.begin(), epochs.end(), [](const auto& entry) { return entry.second.adopted; });
    if (patient && !has_one) return;
  }
  session_->serving = true;
  why_cut_off_.clear();
  host_.note(NodeHost::Weight::event, Event("cluster_serving", {{"incarnation", Word{session_->incarnation}}}));
  host_.serve();
}

// ---------------------------------------------------------------- revocations, and the rest of a Store

Result<store::EpochRecord> Node::begin_epoch(const store::NewEpoch&) {
  return fail("epochs are made by the cluster's leader");
}

Result<void> Node::revoke(const store::Revocation& revocation) {
  if (!session_) return fail("cut off from etcd (" + why_cut_off_ + "): ask again, or ask another key server");
  const std::pair<std::string, std::string> whom{revocation.member_id, revocation.group_id};
  std::int64_t since = revocation.since;
  if (const auto known = revocations_.find(whom); known != revocations_.end()) {
    if (known->second.modified == 0) return fail(being_restored);
    if (!known->second.lifted) {
      // Unless another key server lifted it a moment ago.
      Transaction look;
      look.compares = {still_here(),
                       {Compare::What::modified, keys_.revoked(whom.first, whom.second), known->second.modified}};
      const auto same = etcd_.transact_now(std::move(look));
      if (!same) return tl::unexpected(same.error());
      if (same->succeeded) return {};
    }
    since = std::max(since, known->second.since + 1);  // so that nobody takes it for that one
  }
  Transaction note;
  note.compares = {still_here()};
  // With it the newest epochs of that moment, which may not have come here yet: whoever is revoked may hold them (H11).
  const std::string groups = keys_.group(revocation.group_id);
  note.success = {Put{keys_.revoked(whom.first, whom.second), std::to_string(since) + " revoked"},
                  Range{groups, revocation.group_id.empty() ? etcd::end_of(groups) : ""}};
  const auto done = etcd_.transact_now(std::move(note));
  if (!done) return tl::unexpected(done.error());
  if (!done->succeeded) return fail("cut off from etcd: ask again, or ask another key server");
  for (const auto& range : done->ranges) {
    for (const etcd::KeyValue& entry : range.entries) {
      const SharedKey key = parse_shared(keys_, entry.key);
      const auto value = GroupValue::parse(entry.value);
      if (key.kind != "group" || !value) continue;
      Group& group = groups_[key.id];
      group.heard_of = std::max(group.heard_of, value->highest);
    }
  }
  revocations_[whom] = {since, false, done->revision};
  memory_.revoked[whom] = since;
  memory_changed_ = true;
  save_memory();
  return {};
}

Result<bool> Node::reinstate(const std::string& member_id, const std::string& group_id) {
  if (!session_) return fail("cut off from etcd (" + why_cut_off_ + "): ask again, or ask another key server");
  const auto known = revocations_.find({member_id, group_id});
  if (known == revocations_.end() || known->second.lifted) return false;
  if (known->second.modified == 0) return fail(being_restored);
  Transaction note;
  note.compares = {still_here()};
  note.success = {Put{keys_.revoked(member_id, group_id), std::to_string(known->second.since) + " lifted"}};
  const auto done = etcd_.transact_now(std::move(note));
  if (!done) return tl::unexpected(done.error());
  if (!done->succeeded) return fail("cut off from etcd: ask again, or ask another key server");
  known->second.lifted = true;
  known->second.modified = done->revision;
  memory_.revoked.erase({member_id, group_id});
  memory_changed_ = true;
  save_memory();
  return true;
}

Result<std::vector<store::Revocation>> Node::revocations() const {
  std::vector<store::Revocation> all;
  for (const auto& [whom, since] : memory_.revoked)
    all.push_back({whom.first, whom.second, since});
  return all;
}

Result<std::uint32_t> Node::holder_count(const std::string&, std::uint64_t) const {
  return fail("a key server of a cluster does not know all holders");
}

Result<std::uint32_t> Node::slots_of(const std::string&, std::uint64_t, const std::string&) const {
  return fail("a key server of a cluster does not know all slots of a member");
}

}  // namespace sealcast::cluster
