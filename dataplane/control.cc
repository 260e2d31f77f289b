#include "dataplane/control.h"

#include <algorithm>
#include <optional>

#include "dataplane/black_listener.h"
#include "dataplane/epoch.h"
#include "dataplane/snapshot_pair.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t max_workers = 16;
// Epochs per group whose own SPIs are remembered beyond their life, so that none ever seals twice (H9).
constexpr std::size_t remembered_epochs = 64;

struct Group {
  std::string id;
  std::uint32_t index = 0;
  GroupProtection protection;
  std::optional<std::uint64_t> active;   // epoch that seals; none after it was retired
  std::optional<std::uint64_t> highest;  // ever active; never falls (H5)
  SteadyTime lease_until = SteadyTime::min();
  std::shared_ptr<GroupLedger> ledger = std::make_shared<GroupLedger>();
  std::unique_ptr<DropSlot[]> drops;  // a place a worker; what is dropped of the group without an SA
  std::map<std::uint64_t, std::shared_ptr<Epoch>> epochs;
  std::map<std::uint64_t, std::set<std::uint32_t>> own_history;
  std::optional<std::uint64_t> forgotten;  // highest epoch no longer in own_history: nothing seals in it or below again

  void make_active(std::uint64_t number) { active = highest = number; }
};

}  // namespace

struct DataPlane::State {
  State(DataPlaneOptions given, std::unique_ptr<aead::Engine> aead_engine, Publisher& where)
      : options(std::move(given)), engine(std::move(aead_engine)), publisher(where), keys(*engine) {
    if (!options.now) options.now = [] { return std::chrono::steady_clock::now(); };
    for (std::uint32_t i = 0; i < options.workers; ++i)
      workers.push_back(std::make_unique<Worker>(i, options.path, *engine));
    std::vector<Worker*> all;
    for (const auto& worker : workers)
      all.push_back(worker.get());
    listener = std::make_unique<BlackListener>(std::move(all), options.path);
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

  void set_deadlines(const Group& group) {
    const std::uint64_t lease = ticks(group.lease_until);
    for (const auto& [number, epoch] : group.epochs) {
      for (const auto& sa : epoch->outbound)
        sa->seal_until_tsc.store(std::min(epoch->rules.expires_tsc, lease), std::memory_order_relaxed);
    }
  }

  // Of one group. Its cost does not grow with other groups.
  void picture(const Group& group) {
    GroupPicture next;
    next.group = group.index;
    for (const auto& [number, epoch] : group.epochs) {
      epoch->update_window();
      next.ranges.push_back(epoch->range);
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

  // Returns when no worker uses the former snapshot: only then may what the former pictures point at end.
  void publish() {
    snapshots.publish([this](const Snapshot* next) { publisher.publish(next); });
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
    auto group = find_group(id);
    if (!group) return tl::unexpected<Error>(group.error());
    const auto found = (*group)->epochs.find(number);
    if (found == (*group)->epochs.end()) return fail("group " + id + " has no epoch " + std::to_string(number));
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

  // Whether SPIs offered for sealing in this epoch can still be told from those used before (H9).
  static Result<void> check_remembered(const Group& group, std::uint64_t number) {
    if (!group.forgotten || number > *group.forgotten) return {};
    return fail("group " + group.id + " epoch " + std::to_string(number) +
                ": which SPIs were in use is known above epoch " + std::to_string(*group.forgotten) +
                " only; expected a newer epoch to seal in (H9)");
  }

  DataPlaneOptions options;
  std::unique_ptr<aead::Engine> engine;
  Publisher& publisher;
  KeyStore keys;
  std::vector<std::unique_ptr<Worker>> workers;
  std::unique_ptr<BlackListener> listener;  // after the workers it speaks through
  std::map<std::string, Group> groups;
  std::map<std::uint32_t, const Epoch*> by_range;  // installed epochs by their first SPI
  std::shared_ptr<const std::vector<DropSlot*>> group_drops = std::make_shared<const std::vector<DropSlot*>>();
  SnapshotPair snapshots{options.workers};
  std::function<std::vector<PortStatistics>()> ports;
};

Result<std::unique_ptr<DataPlane>> DataPlane::create(DataPlaneOptions options, std::unique_ptr<aead::Engine> engine,
                                                     Publisher& publisher) {
  if (options.workers == 0 || options.workers > max_workers)
    return fail("expected 1 to 16 workers, got " + std::to_string(options.workers));
  if (options.path.tsc_hz == 0 || !options.now_tsc) return fail("the data plane needs a clock: tsc_hz and now_tsc");
  if (engine == nullptr) return fail("the data plane needs an AEAD engine");
  auto state = std::make_unique<State>(std::move(options), std::move(engine), publisher);
  state->publish();
  return std::unique_ptr<DataPlane>(new DataPlane(std::move(state)));
}

DataPlane::DataPlane(std::unique_ptr<State> state) : state_(std::move(state)) {}

DataPlane::~DataPlane() = default;

Worker& DataPlane::worker(std::uint32_t index) {
  return *state_->workers.at(index);
}

void DataPlane::set_port_statistics(std::function<std::vector<PortStatistics>()> source) {
  state_->ports = std::move(source);
}

BlackListener& DataPlane::listener() {
  return *state_->listener;
}

std::uint32_t DataPlane::workers() const {
  return state_->options.workers;
}

Result<void> DataPlane::protect(const std::string& group_id, const GroupProtection& protection) {
  State& state = *state_;
  if (state.groups.count(group_id) != 0) return fail("group " + group_id + " is protected already");
  if (auto valid = check_protection(protection); !valid)
    return fail("group " + group_id + ": " + valid.error().message);
  for (const Selector& selector : protection.selectors) {
    for (const auto& [other_id, other] : state.groups) {
      for (const Selector& theirs : other.protection.selectors) {
        if (overlap(selector, theirs))
          return fail("group " + group_id + ": selector " + selector.text() + " overlaps " + theirs.text() +
                      " of group " + other_id + "; a packet must belong to one group only (H16)");
      }
    }
  }
  if (auto ok = state.listener->protect(group_id, protection); !ok) return ok;
  Group& group = state.groups[group_id];
  group.id = group_id;
  group.index = static_cast<std::uint32_t>(state.groups.size() - 1);
  group.protection = protection;
  state.snapshots.protect(protection.selectors, group.index);
  group.drops = std::make_unique<DropSlot[]>(state.options.workers);
  std::vector<DropSlot*> slots = *state.group_drops;
  slots.push_back(group.drops.get());
  state.group_drops = std::make_shared<const std::vector<DropSlot*>>(std::move(slots));
  state.snapshots.change([drops = state.group_drops, reports = state.listener->stopped_reports()](Snapshot& snapshot) {
    snapshot.group_drops = drops;
    snapshot.stopped_reports = reports;
  });
  state.publish();
  return {};
}

Result<void> DataPlane::install(GroupEpoch given) {
  State& state = *state_;
  auto found = state.find_group(given.group_id);
  if (!found) return tl::unexpected<Error>(found.error());
  Group& group = **found;
  if (auto ok = check_epoch(given, group.protection, state.options.workers); !ok) return ok;
  const std::string where = "group " + group.id + " epoch " + std::to_string(given.epoch) + ": ";
  if (group.epochs.count(given.epoch) != 0) return fail(where + "is installed already");
  if (given.active && group.highest && *group.highest > given.epoch)
    return fail(where + "cannot be active: epoch " + std::to_string(*group.highest) +
                " is or was, and epochs never fall (H5)");
  if (!given.outbound.empty())
    if (auto ok = State::check_remembered(group, given.epoch); !ok) return ok;

  auto epoch = std::make_shared<Epoch>();
  epoch->group_id = given.group_id;
  epoch->number = given.epoch;
  epoch->replay_window = given.replay_window;
  epoch->ledger = group.ledger;
  epoch->range.first = given.spi_prefix;
  epoch->range.last = given.spi_prefix | ((1U << given.spi_slot_bits) - 1);
  if (const Epoch* other = state.overlapping(epoch->range.first, epoch->range.last); other != nullptr)
    return fail(where + "its SPIs overlap those of group " + other->group_id + " epoch " +
                std::to_string(other->number) + " (H12)");
  for (const Selector& selector : given.selectors) {
    if (selector.destination.address.family == 4) {
      epoch->rules.rules.push_back(compile(selector, group.index));
    } else {
      epoch->rules.rules6.push_back(compile_for<Address6>(selector, group.index));
    }
  }
  epoch->rules.mode = given.mode;
  if (group.protection.outer) epoch->rules.outer = compile_outer(*group.protection.outer);
  const std::vector<Selector>& ours_all = group.protection.selectors;
  epoch->rules.same_as_policy = std::all_of(ours_all.begin(), ours_all.end(), [&](const Selector& ours) {
    return std::any_of(given.selectors.begin(), given.selectors.end(),
                       [&](const Selector& theirs) { return theirs.covers(ours); });
  });
  epoch->rules.expires_tsc = state.ticks(given.expires);
  if (const auto known = group.own_history.find(given.epoch); known != group.own_history.end())
    epoch->own_spis = known->second;

  auto outbound = make_outbound(state.keys, *epoch, std::move(given.outbound));
  if (!outbound) return tl::unexpected<Error>(outbound.error());
  epoch->outbound = std::move(*outbound);
  for (const auto& sa : epoch->outbound)
    epoch->own_spis.insert(sa->spi);
  auto inbound = make_inbound(state.keys, *epoch, std::move(given.inbound), state.options.workers);
  if (!inbound) return tl::unexpected<Error>(inbound.error());
  epoch->inbound = std::move(*inbound);

  state.remember_own(group, *epoch);
  state.by_range.emplace(epoch->range.first, epoch.get());
  group.epochs.emplace(given.epoch, std::move(epoch));
  group.lease_until = std::max(group.lease_until, given.lease_until);
  state.set_deadlines(group);
  if (given.active) group.make_active(given.epoch);
  state.publish(group);
  return {};
}

Result<void> DataPlane::add_inbound(const std::string& group_id, std::uint64_t number,
                                    std::vector<sealcast::InboundSa> slots) {
  State& state = *state_;
  auto epoch = state.find_epoch(group_id, number);
  if (!epoch) return tl::unexpected<Error>(epoch.error());
  auto made = make_inbound(state.keys, **epoch, std::move(slots), state.options.workers);
  if (!made) return tl::unexpected<Error>(made.error());
  if (made->empty()) return {};
  (*epoch)->inbound.merge(*made);
  state.publish(**state.find_group(group_id));
  return {};
}

Result<void> DataPlane::replace_outbound(const std::string& group_id, std::uint64_t number,
                                         std::vector<sealcast::OutboundSa> slots) {
  State& state = *state_;
  auto found = state.find_epoch(group_id, number);
  if (!found) return tl::unexpected<Error>(found.error());
  Epoch& epoch = **found;
  if (!slots.empty() && slots.size() != state.options.workers)
    return fail("group " + group_id + " epoch " + std::to_string(number) +
                ": expected no outbound SA or one per worker (" + std::to_string(state.options.workers) + "), got " +
                std::to_string(slots.size()));
  Group& group = **state.find_group(group_id);
  if (!slots.empty())
    if (auto ok = State::check_remembered(group, number); !ok) return ok;
  auto made = make_outbound(state.keys, epoch, std::move(slots));
  if (!made) return tl::unexpected<Error>(made.error());

  // What workers may still hold lives until publish() returned.
  SealingSas former = std::exchange(epoch.outbound, std::move(*made));
  state.remember_own(group, epoch);
  std::vector<OpeningSas::node_type> ours_now;  // slots derived in advance that were then granted to us
  for (const auto& sa : epoch.outbound)
    ours_now.push_back(epoch.inbound.extract(sa->spi));
  state.set_deadlines(group);
  state.publish(group);
  return {};
}

Result<void> DataPlane::activate(const std::string& group_id, std::uint64_t number) {
  State& state = *state_;
  auto epoch = state.find_epoch(group_id, number);
  if (!epoch) return tl::unexpected<Error>(epoch.error());
  Group& group = **state.find_group(group_id);
  if (group.active == number) return {};
  if (group.highest && *group.highest > number)
    return fail("group " + group_id + " epoch " + std::to_string(number) + " cannot be activated: epoch " +
                std::to_string(*group.highest) + " is or was active, and epochs never fall (H5)");
  group.make_active(number);
  state.publish(group);
  return {};
}

Result<void> DataPlane::extend_lease(const std::string& group_id, SteadyTime until) {
  auto group = state_->find_group(group_id);
  if (!group) return tl::unexpected<Error>(group.error());
  (*group)->lease_until = until;
  state_->set_deadlines(**group);
  return {};
}

Result<void> DataPlane::retire(const std::string& group_id, std::uint64_t number) {
  State& state = *state_;
  if (auto epoch = state.find_epoch(group_id, number); !epoch) return tl::unexpected<Error>(epoch.error());
  Group& group = **state.find_group(group_id);
  // The epoch, and with it its keys, ends when publish() has returned and no worker uses it. Should the same epoch come
  // again, it waits for its activation like any other.
  const auto former = group.epochs.extract(number);
  state.by_range.erase(former.mapped()->range.first);
  if (group.active == number) group.active.reset();
  state.publish(group);
  return {};
}

void DataPlane::drop_all_outbound() {
  State& state = *state_;
  std::vector<SealingSas> former;
  for (auto& [id, group] : state.groups) {
    for (auto& [number, epoch] : group.epochs)
      former.push_back(std::exchange(epoch->outbound, {}));
    state.picture(group);
  }
  state.publish();
}

DataPlaneEvents DataPlane::take_events() {
  state_->refill_stocks();
  for (const auto& [id, group] : state_->groups)
    state_->listener->keyed(id, !group.epochs.empty());
  state_->listener->tick(state_->options.now());

  DataPlaneEvents events;
  std::set<std::uint32_t> slots;
  std::set<std::uint32_t> limits;
  std::uint32_t spi = 0;
  for (const auto& worker : state_->workers) {
    while (worker->slots_wanted().pop(spi))
      slots.insert(spi);
    while (worker->counter_limits().pop(spi))
      limits.insert(spi);
  }
  for (const std::uint32_t wanted : slots) {
    const Epoch* epoch = state_->epoch_of(wanted);
    if (epoch == nullptr || epoch->inbound.count(wanted) != 0) continue;  // retired, or answered meanwhile
    events.slots_wanted.push_back({epoch->group_id, epoch->number, wanted - epoch->range.first});
  }
  for (const std::uint32_t limited : limits) {
    const Epoch* epoch = state_->epoch_of(limited);
    if (epoch != nullptr) events.counter_limits.push_back({epoch->group_id, epoch->number, limited});
  }
  return events;
}

Result<WhatIfAnswer> DataPlane::what_if(const WhatIfQuestion& question) const {
  const State& state = *state_;
  WhatIfPlane plane;
  plane.settings = &state.options.path;
  plane.engine = state.engine.get();
  plane.snapshot = &state.snapshots.current();
  plane.now_tsc = state.options.now_tsc();
  plane.groups = state.groups.size();
  plane.group = [&](std::uint32_t index) {
    for (const auto& [id, group] : state.groups)
      if (group.index == index) return WhatIfPlane::GroupView{id, group.protection.selectors};
    return WhatIfPlane::GroupView{};
  };
  plane.owner = [&](std::uint32_t spi) -> std::optional<std::pair<std::string, std::uint64_t>> {
    const Epoch* epoch = state.epoch_of(spi);
    if (epoch == nullptr) return std::nullopt;
    return std::pair(epoch->group_id, epoch->number);
  };
  return dataplane::what_if(plane, question);
}

std::vector<DropSample> DataPlane::drop_samples(std::uint32_t further) {
  std::vector<DropSample> samples;
  DropSample sample;
  for (const auto& worker : state_->workers) {
    while (worker->sampler().pop(sample))
      samples.push_back(sample);
    worker->sampler().grant(std::min<std::uint32_t>(further, DropSampler::capacity));
  }
  return samples;
}

DataPlaneStatistics DataPlane::statistics() const {
  const State& state = *state_;
  DataPlaneStatistics all;
  all.taken = state.options.now();
  all.engine = state.engine->name();
  DropTotals drops{};
  std::map<std::string, std::uint64_t> lost{{"slots_wanted", 0},  {"counter_limits", 0}, {"bypass_loops", 0},
                                            {"queries_heard", 0}, {"drop_samples", 0},   {"drop_owners", 0}};
  for (std::uint32_t i = 0; i < state.workers.size(); ++i) {
    Worker& worker = *state.workers[i];
    const WorkerCounters& counters = worker.counters();
    WorkerStatistics entry;
    entry.index = i;
    entry.sealed = counters.sealed.get();
    entry.opened = counters.opened.get();
    entry.bypassed = counters.bypassed.get();
    entry.bypassed_bytes = counters.bypassed_bytes.get();
    entry.sealed_bytes = state.keys.ended[i].sealed;
    entry.opened_bytes = state.keys.ended[i].opened;
    all.sealed += entry.sealed;
    all.opened += entry.opened;
    all.bypassed += entry.bypassed;
    DropTotals own{};
    for (std::size_t reason = 0; reason < drops.size(); ++reason)
      drops[reason] += own[reason] = counters.drops[reason].get();
    entry.drops = above_zero(own);
    all.workers.push_back(std::move(entry));
    lost["slots_wanted"] += worker.slots_wanted().lost();
    lost["counter_limits"] += worker.counter_limits().lost();
    lost["bypass_loops"] += worker.bypass_loops().lost();
    lost["queries_heard"] += worker.queries_heard().lost();
    lost["drop_samples"] += worker.sampler().lost();
    lost["drop_owners"] += worker.drop_stock().unattributed();
  }
  for (std::size_t i = 1; i < drops.size(); ++i)  // 0 is "none"
    all.drops.push_back({std::string(drop_reasons[i].name), drops[i]});
  for (const auto& [kind, events] : lost)
    all.events_lost.push_back({kind, events});
  if (state.ports) all.ports = state.ports();
  all.bypass = state.listener->statistics();

  for (const auto& [id, group] : state.groups) {
    const GroupLedger& ended = *group.ledger;
    GroupStatistics totals;
    totals.group_id = id;
    totals.active_epoch = group.active;
    totals.epochs = static_cast<std::uint32_t>(group.epochs.size());
    totals.sealed = ended.sealed;
    totals.sealed_bytes = ended.sealed_bytes;
    totals.opened = ended.opened;
    totals.opened_bytes = ended.opened_bytes;
    totals.lost = ended.lost;
    totals.reordered = ended.reordered;
    totals.duplicates = ended.duplicates;
    totals.late = ended.late;
    std::optional<SteadyTime> heard = ended.heard;
    DropTotals group_drops = ended.drops;
    for (std::uint32_t w = 0; w < state.options.workers; ++w)
      group.drops[w].add_to(group_drops);
    const auto take = [&](SaStatistics entry, std::uint64_t number, bool active) {
      entry.group_id = id;
      entry.epoch = number;
      entry.active = active;
      add(entry, totals, all.workers[entry.worker]);
      all.sas.push_back(std::move(entry));
    };
    for (const auto& [number, epoch] : group.epochs) {
      for (const auto& sa : epoch->outbound) {
        sa->drops.add_to(group_drops);
        take(statistics_of(*sa), number, group.active == number);
      }
      for (const auto& [spi, sa] : epoch->inbound) {
        sa->drops.add_to(group_drops);
        SaStatistics entry = statistics_of(*sa);
        if (const auto when = sa.heard.look(entry.packets, all.taken)) {
          entry.sender->silent_s = std::chrono::duration<double>(all.taken - *when).count();
          heard = std::max(heard.value_or(*when), *when);
        }
        take(std::move(entry), number, false);
      }
    }
    if (heard) totals.silent_s = std::chrono::duration<double>(all.taken - *heard).count();
    totals.drops = above_zero(group_drops);
    all.groups.push_back(std::move(totals));
  }
  return all;
}

}  // namespace sealcast::dataplane
