// The control side's state; for control.cc and control_statistics.cc alone.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "dataplane/control/control.h"
#include "dataplane/membership/black_listener.h"
#include "dataplane/membership/red_listeners.h"
#include "dataplane/neighbours/red_beacon.h"
#include "dataplane/policy/selector_index.h"
#include "dataplane/sa/epoch.h"
#include "dataplane/sa/snapshot_pair.h"

namespace sealcast::dataplane {

// The own SPIs of so many epochs per group are remembered beyond their life, so that none ever seals twice (H9).
inline constexpr std::size_t remembered_epochs = 64;

// One protected group.
struct DataPlaneGroup {
  std::string id;
  std::uint32_t index = 0;
  GroupProtection protection;
  std::optional<std::uint64_t> active;   // epoch that seals; none after it was retired
  std::optional<std::uint64_t> highest;  // ever active; never falls (H5)
  SteadyTime lease_until = SteadyTime::min();
  std::shared_ptr<GroupLedger> ledger = std::make_shared<GroupLedger>();
  std::unique_ptr<DropSlot[]> drops;  // one per worker; counts drops of the group's packets without an SA
  std::map<std::uint64_t, std::shared_ptr<Epoch>> epochs;
  std::map<std::uint64_t, std::set<std::uint32_t>> own_history;
  std::optional<std::uint64_t> forgotten;  // highest epoch that left own_history: no epoch up to it seals again
  std::map<std::uint64_t, HighestNumbers> accepted;  // of epochs that left; so that they open nothing twice

  void make_active(std::uint64_t number) { active = highest = number; }
};

struct DataPlane::State {
  using Group = DataPlaneGroup;

  State(DataPlaneOptions given, std::unique_ptr<aead::Engine> aead_engine, Publisher& where)
      : options(std::move(given)),
        engine(std::move(aead_engine)),
        publisher(where),
        keys(*engine),
        sources(options.workers, options.path.bypass_seed) {
    if (!options.now) options.now = [] { return std::chrono::steady_clock::now(); };
    for (std::uint32_t i = 0; i < options.workers; ++i)
      workers.push_back(std::make_unique<Worker>(i, options.path, *engine, sources));
    std::vector<Worker*> all;
    for (const auto& worker : workers)
      all.push_back(worker.get());
    red = std::make_unique<RedListeners>(all, selectors);
    beacon = std::make_unique<RedBeacon>(all, options.beacon, [this] { take_standing(); });
    listener = std::make_unique<BlackListener>(std::move(all), options.path);
    listener->on_query(
        [this](std::span<const std::uint8_t> frame, SteadyTime now) { red->query_on_black(frame, now); });
    refill_stocks();
  }

  void refill_stocks() {
    for (const auto& worker : workers)
      worker->drop_stock().refill();
  }

  // The end of a time span in ticks of the bursts' clock. The past is 0: over at any time.
  std::uint64_t ticks(SteadyTime when) const {
    const auto left = when - options.now();
    if (left <= SteadyTime::duration::zero()) return 0;
    const long double seconds = std::chrono::duration<long double>(left).count();
    const long double ticks = seconds * static_cast<long double>(options.path.tsc_hz);
    const std::uint64_t now = options.now_tsc();
    const auto room = static_cast<long double>(~std::uint64_t{0} - now);
    return ticks >= room ? ~std::uint64_t{0} : now + static_cast<std::uint64_t>(ticks);
  }

  // The workers' clock.
  std::uint32_t now_ms() const { return TickScale(options.path.tsc_hz).milliseconds(options.now_tsc()); }
  void set_clock(Epoch& epoch, const EpochClock& clock) const { epoch.set_clock(clock, options.now(), now_ms()); }
  // Numbers of this moment. In use: packets sent before it, by any clock within the error, are below; else those sent
  // after it are above, also of a sender whose clock is behind as far as it may be.
  std::uint64_t floor_now(const Epoch& epoch, const EpochClock& clock, bool in_use) const {
    const std::int64_t time = now_ms() - epoch.zero_ms;
    const std::int64_t floor =
        in_use ? time + clock.error.count() : time - clock.error.count() - longest_sender_error.count();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(floor, 0)) << 32;
  }

  void set_deadlines(const Group& group) {
    const std::uint64_t lease = ticks(group.lease_until);
    for (const auto& [number, epoch] : group.epochs) {
      for (const auto& sa : epoch->outbound)
        sa->seal_until_tsc.store(std::min(epoch->rules.expires_tsc, lease), std::memory_order_relaxed);
    }
  }

  // Makes one group's picture. Its cost does not grow with other groups.
  void picture(const Group& group) {
    GroupPicture next;
    next.group = group.index;
    for (const auto& [number, epoch] : group.epochs) {
      epoch->update_window();
      next.ranges.push_back(epoch->range);
      next.ranges.back().fresh = &epoch->fresh;
      for (const auto& [spi, sa] : epoch->inbound)
        next.spis.push_back({spi, 0, static_cast<std::uint16_t>(sa->worker), sa.get()});
      for (const std::uint32_t spi : epoch->own_spis)
        next.spis.push_back({spi, 1, 0, nullptr});
      if (group.active != number) continue;
      for (const auto& sa : epoch->outbound)
        next.outbound.push_back(sa.get());
    }
    snapshots.set(std::move(next));
  }

  // Returns when no worker uses the former snapshot: only then may the objects in its pictures end.
  void publish() {
    snapshots.publish([this](const Snapshot* next) { publisher.publish(next); });
  }
  // What this gateway may do beside others on red, for the workers.
  void take_standing() {
    snapshots.change([standing = beacon->standing(), changes = ++standing_changes](Snapshot& snapshot) {
      snapshot.standing = standing;
      snapshot.standing_changes = changes;
    });
    publish();
  }
  void publish(const Group& group) {
    picture(group);
    publish();
  }

  Result<Group*> find_group(const std::string& id) {
    const auto found = groups.find(id);
    if (found == groups.end()) return fail("group " + id + " is not protected; expected protect() before any key");
    return &found->second;
  }

  Result<Epoch*> find_epoch(const std::string& id, std::uint64_t number) {
    SEALCAST_TRY_ASSIGN(auto group, find_group(id));
    const auto found = group->epochs.find(number);
    if (found == group->epochs.end()) return fail("group " + id + " has no epoch " + std::to_string(number));
    return found->second.get();
  }

  const Epoch* epoch_of(std::uint32_t spi) const { return overlapping(spi, spi); }
  // An installed epoch with SPIs among first..last.
  const Epoch* overlapping(std::uint32_t first, std::uint32_t last) const {
    const auto above = by_range.upper_bound(last);
    if (above == by_range.begin()) return nullptr;
    const Epoch* const candidate = std::prev(above)->second;
    return candidate->range.last >= first ? candidate : nullptr;
  }

  void remember_own(Group& group, Epoch& epoch) {
    for (const auto& sa : epoch.outbound)
      epoch.own_spis.insert(sa->spi);
    if (epoch.own_spis.empty()) return;
    group.own_history[epoch.number] = epoch.own_spis;
    while (group.own_history.size() > remembered_epochs) {
      const auto lowest = group.own_history.begin();
      group.forgotten = std::max(group.forgotten.value_or(0), lowest->first);
      group.own_history.erase(lowest);
    }
  }

  // To be called when no worker uses the epoch any more.
  static void remember_accepted(Group& group, const Epoch& epoch) {
    if (HighestNumbers numbers = epoch.accepted(); !numbers.empty()) group.accepted[epoch.number] = std::move(numbers);
    while (group.accepted.size() > remembered_epochs)
      group.accepted.erase(group.accepted.begin());
  }

  Result<void> add_group(const std::string& group_id, const GroupProtection& protection) {
    if (groups.count(group_id) != 0) return fail("group " + group_id + " is protected already");
    if (auto valid = check_protection(protection); !valid)
      return fail("group " + group_id + ": " + valid.error().message);
    for (const Selector& selector : protection.selectors) {
      if (const auto* met = selectors.overlapping(selector))
        return fail("group " + group_id + ": selector " + selector.text() + " overlaps " + met->selector.text() +
                    " of group " + met->group_id + "; a packet must belong to one group only (H16)");
    }
    SEALCAST_TRY(listener->protect(group_id, protection));
    for (const Selector& selector : protection.selectors)
      selectors.add(selector, group_id);
    if (protection.on_demand) red->add(group_id);
    Group& group = groups[group_id];
    group.id = group_id;
    group.index = next_index++;
    if (const auto before = removed.find(group_id); before != removed.end()) {
      group.own_history = std::move(before->second.own_history);
      group.forgotten = before->second.forgotten;
      group.highest = before->second.highest;
      group.accepted = std::move(before->second.accepted);
      removed.erase(before);
    }
    group.protection = protection;
    group.drops = std::make_unique<DropSlot[]>(options.workers);
    snapshots.protect(protection.selectors, group.index);
    return {};
  }

  // The groups' places in the snapshots stay empty: workers may still hold these indices, which must never mean another
  // group.
  void remove_groups(const std::vector<std::string>& group_ids) {
    std::vector<std::map<std::string, Group>::node_type> former;
    std::vector<std::uint32_t> indices;
    std::vector<DropSlot*> slots = *group_drops;
    for (const std::string& group_id : group_ids) {
      former.push_back(groups.extract(group_id));
      Group& group = former.back().mapped();
      removed[group_id] = {group.own_history, group.forgotten, group.highest, {}};
      for (const auto& [number, epoch] : group.epochs)
        by_range.erase(epoch->range.first);
      for (const Selector& selector : group.protection.selectors)
        selectors.remove(selector, group_id);
      listener->unprotect(group_id, group.protection);
      indices.push_back(group.index);
      slots.at(group.index) = removed_groups_drops.get();
    }
    red->remove(group_ids);
    std::vector<std::pair<Selector, std::uint32_t>> left;
    for (const auto& [id, other] : groups)
      for (const Selector& selector : other.protection.selectors)
        left.emplace_back(selector, other.index);
    snapshots.unprotect(std::move(indices), std::move(left));
    use_drops(std::move(slots));
    publish();  // when it returns no worker uses the groups: they, and their keys, end here
    for (auto& node : former) {
      Group& group = node.mapped();
      for (const auto& [number, epoch] : group.epochs)
        remember_accepted(group, *epoch);
      removed[node.key()].accepted = std::move(group.accepted);
    }
  }

  void use_drops(std::vector<DropSlot*> slots) {
    group_drops = std::make_shared<const std::vector<DropSlot*>>(std::move(slots));
    snapshots.change([drops = group_drops, reports = listener->stopped_reports()](Snapshot& snapshot) {
      snapshot.group_drops = drops;
      snapshot.stopped_reports = reports;
    });
  }

  // Whether SPIs offered for sealing in this epoch can still be told from those used before (H9).
  static Result<void> check_remembered(const Group& group, std::uint64_t number) {
    if (!group.forgotten || number > *group.forgotten) return {};
    return fail("group " + group.id + " epoch " + std::to_string(number) +
                ": its used SPIs are remembered only above epoch " + std::to_string(*group.forgotten) +
                "; expected a newer epoch to seal in (H9)");
  }

  DataPlaneOptions options;
  std::unique_ptr<aead::Engine> engine;
  Publisher& publisher;
  KeyStore keys;
  Sources sources;  // before the workers, which fill it
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<RedBeacon> beacon;
  std::unique_ptr<BlackListener> listener;  // after the workers that it sends through
  std::map<std::string, Group> groups;
  std::uint32_t next_index = 0;
  // What is kept of a removed group, in case it comes back.
  struct Removed {
    std::map<std::uint64_t, std::set<std::uint32_t>> own_history;
    std::optional<std::uint64_t> forgotten, highest;
    std::map<std::uint64_t, HighestNumbers> accepted;
  };
  std::map<std::string, Removed> removed;
  SelectorIndex selectors;                         // of all groups
  std::unique_ptr<RedListeners> red;               // likewise
  std::map<std::uint32_t, const Epoch*> by_range;  // installed epochs by their first SPI
  std::shared_ptr<const std::vector<DropSlot*>> group_drops = std::make_shared<const std::vector<DropSlot*>>();
  std::unique_ptr<DropSlot[]> removed_groups_drops = std::make_unique<DropSlot[]>(options.workers);
  SnapshotPair snapshots{options.workers};
  std::uint32_t standing_changes = 0;
  std::function<std::vector<PortStatistics>()> ports;
};

}  // namespace sealcast::dataplane
