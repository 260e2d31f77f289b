// The control side's counters: of everything, and of one group.
#include <algorithm>
#include <chrono>

#include "dataplane/control/control_state.h"

namespace sealcast::dataplane {

DataPlaneStatistics DataPlane::statistics() const {
  const State& state = *state_;
  DataPlaneStatistics all;
  all.taken = state.options.now();
  all.engine = state.engine->name();
  DropTotals drops{};
  std::map<std::string, std::uint64_t> lost{{"slots_wanted", 0},  {"counter_limits", 0}, {"bypass_loops", 0},
                                            {"queries_heard", 0}, {"reports_heard", 0},  {"drop_samples", 0},
                                            {"drop_owners", 0},   {"datagrams", 0},      {"sources", 0},
                                            {"sources_moved", 0}, {"beacons_heard", 0}};
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
    all.parked += counters.parked.get();
    DropTotals own{};
    for (std::size_t reason = 0; reason < drops.size(); ++reason)
      drops[reason] += own[reason] = counters.drops[reason].get();
    entry.drops = above_zero(own);
    all.workers.push_back(std::move(entry));
    lost["slots_wanted"] += worker.slots_wanted().lost();
    lost["counter_limits"] += worker.counter_limits().lost();
    lost["bypass_loops"] += worker.bypass_loops().lost();
    lost["queries_heard"] += worker.queries_heard().lost();
    lost["reports_heard"] += worker.reports_heard().lost();
    lost["drop_samples"] += worker.sampler().lost();
    lost["datagrams"] += worker.datagrams().lost();
    lost["sources_moved"] += worker.sources_moved().lost();
    lost["beacons_heard"] += worker.beacons_heard().lost();
    lost["drop_owners"] += worker.drop_stock().unattributed();
  }
  lost["sources"] = state.sources.left_out();
  for (std::size_t i = 1; i < drops.size(); ++i)  // 0 is "none"
    all.drops.push_back({std::string(drop_reasons[i].name), drops[i]});
  for (const auto& [kind, events] : lost)
    all.events_lost.push_back({kind, events});
  if (state.ports) all.ports = state.ports();
  all.bypass = state.listener->statistics();
  all.red_segment = state.beacon->statistics();

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
    std::optional<SteadyTime> received = ended.last_received;
    DropTotals group_drops = ended.drops;
    for (std::uint32_t w = 0; w < state.options.workers; ++w)
      group.drops[w].add_to(group_drops);
    const auto take = [&, &name = id](SaStatistics entry, std::uint64_t number, bool active) {
      entry.group_id = name;  // clang 14 captures no structured binding
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
        if (const auto when = sa.last_received.look(entry.packets, all.taken)) {
          entry.sender->silent_s = std::chrono::duration<double>(all.taken - *when).count();
          received = std::max(received.value_or(*when), *when);
        }
        take(std::move(entry), number, false);
      }
    }
    if (received) totals.silent_s = std::chrono::duration<double>(all.taken - *received).count();
    totals.drops = above_zero(group_drops);
    all.groups.push_back(std::move(totals));
  }
  return all;
}

std::vector<SaStatistics> DataPlane::statistics_of_group(const std::string& group_id) const {
  std::vector<SaStatistics> out;
  const auto found = state_->groups.find(group_id);
  if (found == state_->groups.end()) return out;
  const DataPlaneGroup& group = found->second;
  const SteadyTime now = state_->options.now();
  for (const auto& [number, epoch] : group.epochs) {
    const auto take = [&, epoch_number = number](SaStatistics entry, bool active) {
      entry.group_id = group_id;
      entry.epoch = epoch_number;
      entry.active = active;
      out.push_back(std::move(entry));
    };
    for (const auto& sa : epoch->outbound)
      take(statistics_of(*sa), group.active == number);
    for (const auto& [spi, sa] : epoch->inbound) {
      SaStatistics entry = statistics_of(*sa);
      if (const auto when = sa.last_received.look(entry.packets, now))
        entry.sender->silent_s = std::chrono::duration<double>(now - *when).count();
      take(std::move(entry), false);
    }
  }
  return out;
}

}  // namespace sealcast::dataplane
