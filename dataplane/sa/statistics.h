// From the counters that workers write to the values that statistics() hands out, and what outlives an SA: the totals
// of its group. Control thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/sa/counters.h"
#include "dataplane/sa/sa.h"

namespace sealcast::dataplane {

// Bytes of inner IP packets of SAs that are gone; workers count packets only.
struct WorkerBytes {
  std::uint64_t sealed = 0, opened = 0;
};

// What the SAs of a group counted that are gone. Sums stay at their largest value instead of beginning anew: one lying
// sender can make lost as large as it likes.
struct GroupLedger {
  std::uint64_t sealed = 0, sealed_bytes = 0, opened = 0, opened_bytes = 0;
  std::uint64_t lost = 0, reordered = 0, duplicates = 0, late = 0;
  DropTotals drops{};
  std::optional<SteadyTime> heard;

  void close(const SealingSa& sa, std::vector<WorkerBytes>& workers);
  void close(const OpeningSa& sa, std::vector<WorkerBytes>& workers);
};

// When a look at an SA's counters last found them changed.
struct LastHeard {
  std::uint64_t packets = 0;
  std::optional<SteadyTime> when;
  // Returns when.
  std::optional<SteadyTime> look(std::uint64_t packets_now, SteadyTime now);
};

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b);

// Reasons counted, in the order of the enumeration.
std::vector<DropCount> above_zero(const DropTotals& totals);

// group_id, epoch and active are the caller's to set.
SaStatistics statistics_of(const SealingSa& sa);
SaStatistics statistics_of(const OpeningSa& sa);

// Adds an SA's figures to its group's and its worker's.
void add(const SaStatistics& sa, GroupStatistics& group, WorkerStatistics& worker);

}  // namespace sealcast::dataplane
