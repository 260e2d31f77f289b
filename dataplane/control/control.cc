#include "dataplane/control/control.h"

#include <algorithm>
#include <optional>

#include "dataplane/control/control_state.h"

namespace sealcast::dataplane {
namespace {

using Group = DataPlaneGroup;

}  // namespace

Result<std::unique_ptr<DataPlane>> DataPlane::create(DataPlaneOptions options, std::unique_ptr<aead::Engine> engine,
                                                     Publisher& publisher) {
  if (!worker_limits.allow(options.workers))
    return fail("expected " + worker_limits.range() + " workers, got " + std::to_string(options.workers));
  if (options.path.tsc_hz == 0 || !options.now_tsc) return fail("the data plane needs a clock: tsc_hz and now_tsc");
  if (engine == nullptr) return fail("the data plane needs an AEAD engine");
  auto state = std::make_unique<State>(std::move(options), std::move(engine), publisher);
  state->take_standing();
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

RedBeacon& DataPlane::beacon() {
  return *state_->beacon;
}

std::uint32_t DataPlane::workers() const {
  return state_->options.workers;
}

Result<void> DataPlane::protect_all(const std::vector<NamedProtection>& groups) {
  State& state = *state_;
  std::vector<std::string> added;
  std::vector<DropSlot*> slots = *state.group_drops;
  for (const auto& [group_id, protection] : groups) {
    if (auto done = state.add_group(group_id, protection); !done) {
      state.use_drops(std::move(slots));
      state.remove_groups(added);
      return done;
    }
    added.push_back(group_id);
    slots.push_back(state.groups.at(group_id).drops.get());
  }
  state.use_drops(std::move(slots));
  state.publish();
  return {};
}

Result<void> DataPlane::unprotect_all(const std::vector<std::string>& group_ids) {
  std::set<std::string_view> named;
  for (const std::string& group_id : group_ids) {
    SEALCAST_TRY(state_->find_group(group_id));
    if (!named.insert(group_id).second) return fail("group " + group_id + " is to be removed twice");
  }
  if (!group_ids.empty()) state_->remove_groups(group_ids);
  return {};
}

Result<void> DataPlane::install(GroupEpoch given) {
  State& state = *state_;
  SEALCAST_TRY_ASSIGN(auto found, state.find_group(given.group_id));
  Group& group = *found;
  SEALCAST_TRY(check_epoch(given, group.protection, state.options.workers));
  const std::string where = "group " + group.id + " epoch " + std::to_string(given.epoch) + ": ";
  if (group.epochs.count(given.epoch) != 0) return fail(where + "is installed already");
  if (given.active && group.highest && *group.highest > given.epoch)
    return fail(where + "cannot be active: epoch " + std::to_string(*group.highest) +
                " is or was, and epochs never fall (H5)");
  if (!given.outbound.empty()) SEALCAST_TRY(State::check_remembered(group, given.epoch));

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
  epoch->rules.foreign = given.numbers == Numbers::foreign;
  epoch->rules.expires_tsc = state.ticks(given.expires);
  epoch->freshness = given.freshness;
  if (given.clock && given.numbers == Numbers::timed) {
    if (auto good = check_clock(*given.clock, state.options.now()); !good) return fail(where + good.error().message);
    state.set_clock(*epoch, *given.clock);
    epoch->floor = state.floor_now(*epoch, *given.clock, given.in_use);
  }
  if (const auto known = group.accepted.find(given.epoch); known != group.accepted.end())
    epoch->accepted_before = known->second;
  if (const auto known = group.own_history.find(given.epoch); known != group.own_history.end())
    epoch->own_spis = known->second;

  SEALCAST_TRY_ASSIGN(epoch->outbound, make_outbound(state.keys, *epoch, std::move(given.outbound)));
  for (const auto& sa : epoch->outbound)
    epoch->own_spis.insert(sa->spi);
  SEALCAST_TRY_ASSIGN(epoch->inbound,
                      make_inbound(state.keys, *epoch, std::move(given.inbound), state.options.workers));

  state.remember_own(group, *epoch);
  state.by_range.emplace(epoch->range.first, epoch.get());
  group.epochs.emplace(given.epoch, std::move(epoch));
  group.lease_until = std::max(group.lease_until, given.lease_until);
  state.set_deadlines(group);
  if (given.active) group.make_active(given.epoch);
  state.listener->keyed(group.id, true);
  state.publish(group);
  return {};
}

Result<void> DataPlane::add_inbound(const std::string& group_id, std::uint64_t number,
                                    std::vector<sealcast::InboundSa> slots) {
  State& state = *state_;
  SEALCAST_TRY_ASSIGN(auto epoch, state.find_epoch(group_id, number));
  SEALCAST_TRY_ASSIGN(auto made, make_inbound(state.keys, *epoch, std::move(slots), state.options.workers));
  if (made.empty()) return {};
  epoch->inbound.merge(made);
  state.publish(**state.find_group(group_id));
  return {};
}

Result<void> DataPlane::replace_outbound(const std::string& group_id, std::uint64_t number,
                                         std::vector<sealcast::OutboundSa> slots) {
  State& state = *state_;
  SEALCAST_TRY_ASSIGN(auto found, state.find_epoch(group_id, number));
  Epoch& epoch = *found;
  if (!slots.empty() && slots.size() != state.options.workers)
    return fail("group " + group_id + " epoch " + std::to_string(number) +
                ": expected no outbound SA or one per worker (" + std::to_string(state.options.workers) + "), got " +
                std::to_string(slots.size()));
  Group& group = **state.find_group(group_id);
  if (!slots.empty()) SEALCAST_TRY(State::check_remembered(group, number));
  SEALCAST_TRY_ASSIGN(auto made, make_outbound(state.keys, epoch, std::move(slots)));

  // Workers may hold the former SAs until publish() has returned.
  SealingSas former = std::exchange(epoch.outbound, std::move(made));
  state.remember_own(group, epoch);
  std::vector<OpeningSas::node_type> ours_now;  // slots derived in advance, before this member got them
  for (const auto& sa : epoch.outbound)
    ours_now.push_back(epoch.inbound.extract(sa->spi));
  state.set_deadlines(group);
  state.publish(group);
  return {};
}

Result<void> DataPlane::activate(const std::string& group_id, std::uint64_t number) {
  State& state = *state_;
  SEALCAST_TRY(state.find_epoch(group_id, number));
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
  SEALCAST_TRY_ASSIGN(auto group, state_->find_group(group_id));
  group->lease_until = until;
  state_->set_deadlines(*group);
  return {};
}

Result<void> DataPlane::set_clock(const std::string& group_id, std::uint64_t number, const EpochClock& clock) {
  State& state = *state_;
  SEALCAST_TRY_ASSIGN(auto epoch, state.find_epoch(group_id, number));
  const std::string where = "group " + group_id + " epoch " + std::to_string(number) + ": ";
  if (epoch->rules.foreign) return fail(where + "foreign numbers carry no times, so that a clock is of no use");
  if (auto good = check_clock(clock, state.options.now()); !good) return fail(where + good.error().message);
  state.set_clock(*epoch, clock);
  return {};
}

Result<void> DataPlane::retire(const std::string& group_id, std::uint64_t number) {
  State& state = *state_;
  SEALCAST_TRY(state.find_epoch(group_id, number));
  Group& group = **state.find_group(group_id);
  // The epoch, and with it its keys, ends when publish() has returned and no worker uses it. If the same epoch is
  // installed again, it waits for its activation like any other.
  const auto former = group.epochs.extract(number);
  state.by_range.erase(former.mapped()->range.first);
  if (group.active == number) group.active.reset();
  if (group.epochs.empty()) state.listener->keyed(group_id, false);
  state.publish(group);
  State::remember_accepted(group, *former.mapped());
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

Result<void> DataPlane::send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) {
  State& state = *state_;
  SEALCAST_TRY_ASSIGN(auto group, state.find_group(group_id));
  auto frame = sealed_frame(group->protection, state.listener->own(), esp, state.options.path.black_mtu);
  if (!frame) return fail("group " + group_id + ": " + frame.error().message);
  if (!state.listener->send(*frame)) return fail("group " + group_id + ": the black port takes nothing just now");
  return {};
}

DataPlaneEvents DataPlane::take_events() {
  state_->refill_stocks();
  state_->listener->tick(state_->options.now());
  state_->beacon->tick(state_->options.now());

  DataPlaneEvents events;
  events.interests = state_->red->tick(state_->options.now());
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
  TakenDatagram taken;
  for (const auto& worker : state_->workers) {
    while (worker->datagrams().pop(taken)) {
      const Epoch* epoch = state_->epoch_of(taken.spi);
      if (epoch == nullptr) continue;
      const auto* const first = taken.bytes.data();
      events.datagrams.push_back({epoch->group_id, epoch->number, {first, first + taken.length}});
    }
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

}  // namespace sealcast::dataplane
