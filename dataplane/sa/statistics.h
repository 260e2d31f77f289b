// From the counters that workers write to the values that statistics() returns, and what is left of an ended SA: its
// share of its group's totals. Control thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/sa/counters.h"
#include "dataplane/sa/sa.h"

namespace sealcast::dataplane {

// Bytes of inner IP packets of ended SAs; workers count packets only.
struct WorkerBytes {
  std::uint64_t sealed = 0, opened = 0;
};

// The counts of a group's ended SAs. Sums stop at their largest value instead of wrapping: one lying sender can make
// lost as large as it likes.
struct GroupLedger {
  std::uint64_t sealed = 0, sealed_bytes = 0, opened = 0, opened_bytes = 0;
  std::uint64_t lost = 0, reordered = 0, duplicates = 0, late = 0;
  DropTotals drops{};
  std::optional<SteadyTime> last_received;

  void close(const SealingSa& sa, std::vector<WorkerBytes>& workers);
  void close(const OpeningSa& sa, std::vector<WorkerBytes>& workers);
};

// When a reading of an SA's counters last differed from the one before.
struct LastReceived {
  std::uint64_t packets = 0;
  std::optional<SteadyTime> when;
  // Returns that time.
  std::optional<SteadyTime> look(std::uint64_t packets_now, SteadyTime now);
};

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b);

// Counts above 0, in the order of the enumeration.
std::vector<DropCount> above_zero(const DropTotals& totals);

// The caller must set group_id, epoch and active.
SaStatistics statistics_of(const SealingSa& sa);
SaStatistics statistics_of(const OpeningSa& sa);

// Adds an SA's figures to its group's and its worker's.
void add(const SaStatistics& sa, GroupStatistics& group, WorkerStatistics& worker);

}  // namespace sealcast::dataplane
