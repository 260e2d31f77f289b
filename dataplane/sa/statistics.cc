#include "dataplane/sa/statistics.h"

#include <algorithm>

namespace sealcast::dataplane {

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  return a > ~b ? ~std::uint64_t{0} : a + b;
}

void GroupLedger::close(const SealingSa& sa, std::vector<WorkerBytes>& workers) {
  sealed += sa.packets();
  sealed_bytes += sa.bytes.get();
  sa.drops.add_to(drops);
  if (sa.worker < workers.size()) workers[sa.worker].sealed += sa.bytes.get();
}

void GroupLedger::close(const OpeningSa& sa, std::vector<WorkerBytes>& workers) {
  opened += sa.packets.get();
  opened_bytes += sa.bytes.get();
  lost = saturating_add(lost, sa.replay.counts().lost.get());
  reordered = saturating_add(reordered, sa.replay.counts().reordered.get());
  duplicates = saturating_add(duplicates, sa.replay.counts().duplicates.get());
  late = saturating_add(late, sa.replay.counts().late.get());
  sa.drops.add_to(drops);
  if (sa.worker < workers.size()) workers[sa.worker].opened += sa.bytes.get();
}

std::optional<SteadyTime> LastReceived::look(std::uint64_t packets_now, SteadyTime now) {
  if (packets_now != packets) {
    packets = packets_now;
    when = now;
  }
  return when;
}

std::vector<DropCount> above_zero(const DropTotals& totals) {
  std::vector<DropCount> counts;
  for (std::size_t i = 1; i < totals.size(); ++i)  // 0 is "none"
    if (totals[i] != 0) counts.push_back({std::string(drop_reasons[i].name), totals[i]});
  return counts;
}

namespace {

template <typename Sa>
SaStatistics common(const Sa& sa) {
  SaStatistics entry;
  entry.spi = sa.spi;
  entry.worker = sa.worker;
  entry.bytes = sa.bytes.get();
  DropTotals drops{};
  sa.drops.add_to(drops);
  entry.drops = above_zero(drops);
  return entry;
}

}  // namespace

SaStatistics statistics_of(const SealingSa& sa) {
  SaStatistics entry = common(sa);
  entry.outbound = true;
  entry.packets = sa.packets();
  entry.next_number = sa.next_number.get();
  return entry;
}

SaStatistics statistics_of(const OpeningSa& sa) {
  SaStatistics entry = common(sa);
  entry.packets = sa.packets.get();
  entry.next_number = sa.replay.highest();
  entry.replays = sa.drops.get(DropReason::replay);
  entry.bad_tags = sa.drops.get(DropReason::bad_tag);
  SenderEstimate sender;
  sender.first = sa.replay.lowest();
  sender.last = sa.replay.highest();
  sender.lost = sa.replay.counts().lost.get();
  // The counters are read one by one while the worker goes on, so that packets in between may be missing.
  const std::uint64_t expected = sa.replay.expected();
  const std::uint64_t known = saturating_add(sender.lost, entry.packets + sa.refused.get());
  sender.missing = std::min<std::uint64_t>(expected > known ? expected - known : 0, sa.replay.size());
  sender.leaps = sa.replay.counts().leaps.get();
  sender.leapt_over = sa.replay.counts().leapt_over.get();
  sender.breaks = sa.replay.counts().breaks.get();
  sender.reordered = sa.replay.counts().reordered.get();
  sender.reorder_sum = sa.replay.counts().reorder_sum.get();
  sender.reorder_max = sa.replay.counts().reorder_max.get();
  sender.duplicates = sa.replay.counts().duplicates.get();
  sender.late = sa.replay.counts().late.get();
  entry.sender = sender;
  return entry;
}

void add(const SaStatistics& sa, GroupStatistics& group, WorkerStatistics& worker) {
  if (sa.outbound) {
    group.sealed += sa.packets;
    group.sealed_bytes += sa.bytes;
    worker.sealed_bytes += sa.bytes;
    return;
  }
  group.opened += sa.packets;
  group.opened_bytes += sa.bytes;
  worker.opened_bytes += sa.bytes;
  if (!sa.sender) return;
  if (sa.packets != 0) ++group.senders;
  group.lost = saturating_add(group.lost, sa.sender->lost);
  group.reordered = saturating_add(group.reordered, sa.sender->reordered);
  group.duplicates = saturating_add(group.duplicates, sa.sender->duplicates);
  group.late = saturating_add(group.late, sa.sender->late);
}

}  // namespace sealcast::dataplane
