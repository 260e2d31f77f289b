// What workers read: one picture of policy and SAs, which does not change while they read it (snapshot_pair.h). The SA
// objects it points at hold the little that changes per packet; exactly one worker writes each.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/packet/report_filter.h"
#include "dataplane/policy/policy.h"
#include "dataplane/sa/sa.h"

namespace sealcast::dataplane {

// SPI -> SA, open addressing, power of two, at most half full.
class SpiTable {
 public:
  struct Entry {
    std::uint32_t spi = 0;     // 0 = empty (SPI 0 never appears on the wire)
    std::uint16_t own = 0;     // 1: an SPI this gateway seals under, or did in this epoch
    std::uint16_t worker = 0;  // the only worker that may open under it
    OpeningSa* sa = nullptr;   // null when own
  };

  // Control thread, while no worker reads this table. An entry of the same SPI is replaced.
  void insert(const Entry& entry);
  void erase(std::uint32_t spi);
  // Null: not in the table.
  const Entry* find(std::uint32_t spi) const noexcept {
    for (std::uint32_t i = index(spi);; i = (i + 1) & mask_) {
      const Entry& entry = slots_[i];
      if (entry.spi == spi) return spi == 0 ? nullptr : &entry;
      if (entry.spi == 0) return nullptr;
    }
  }

  // Prefetches what find() reads first.
  void prefetch(std::uint32_t spi) const noexcept { __builtin_prefetch(&slots_[index(spi)]); }
  std::uint32_t size() const noexcept { return size_; }

 private:
  // Fibonacci hashing: consecutive slots of one prefix spread over the table.
  std::uint32_t index(std::uint32_t spi) const noexcept { return (spi * 2654435769U) >> shift_; }

  std::vector<Entry> slots_ = std::vector<Entry>(2);
  std::uint32_t mask_ = 1;
  std::uint32_t shift_ = 31;
  std::uint32_t size_ = 0;
};

// Workers ask for keys of slots up to so many above the highest one in use: enough for the new senders of a few
// seconds, and bounded against attackers.
inline constexpr std::uint32_t slot_window = 64;

// SPIs of one installed epoch. Ranges of installed epochs are disjoint.
struct SpiRange {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  std::uint32_t window_last = 0;      // workers may ask for keys up to this SPI
  const FreshTimes* fresh = nullptr;  // of the epoch; null: every time is
};

// With so few groups, what packets read of a snapshot stays in the caches by itself.
inline constexpr std::size_t few_groups = 512;

// This gateway beside others on its red segment (dataplane/neighbours/). It passes packets only where it works.
enum class Standing : std::uint8_t { works, listens, stands_by };

struct Snapshot {
  Standing standing = Standing::works;
  std::uint32_t standing_changes = 0;  // rises with each
  std::uint64_t version = 0;           // rises by one with each; 0 is none
  std::shared_ptr<const Policy> policy;
  std::shared_ptr<const GroupRanges> stopped_reports;  // of groups in fixed tunnels; null: none
  std::uint32_t workers = 1;
  std::vector<SealingSa*> outbound;  // [group * workers + worker]: the active epoch's; null = none (H10: drop)
  // [group]: one place a worker, for drops of a group's packets without an SA.
  std::shared_ptr<const std::vector<DropSlot*>> group_drops;
  SpiTable spis;
  std::vector<SpiRange> ranges;  // ascending by first

  const SpiRange* range_of(std::uint32_t spi) const noexcept;
};

}  // namespace sealcast::dataplane
