// No echo, no loop of sealed traffic (H18): what is heard on red is at home there, and an opened packet from it goes no
// further. And what a gateway may pass at all beside another one on its red segment.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/recent_frames.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/event_ring.h"
#include "dataplane/sa/snapshot.h"
#include "dataplane/sources/local_sources.h"
#include "dataplane/sources/source_table.h"

namespace sealcast::dataplane {

// A source began to be heard on one side within two seconds of the other.
struct SourceMoved {
  IpAddress source;
  Side to = Side::red;
};
using SourceMovedRing = EventRing<SourceMoved, 16>;

// One worker's. It is asked where a flow begins in a burst, not for every packet; the rest is remembered.
class SourceGuard {
 public:
  // All that it is given outlives it. worker: its index, whose tables in all it writes.
  SourceGuard(std::uint32_t worker, const PathSettings& settings, Sources& all, Tally& tally);

  // Before each burst of either side.
  void begin_burst(const Snapshot& snapshot, std::uint32_t now_ms) noexcept {
    standing_ = snapshot.standing;
    now_ms_ = now_ms;
    // All of these only rise, so that their sum is the same only where each is. Once a second every flow is looked at
    // again, so that a source which goes on stays in the table.
    const std::uint32_t sum = all_.generation() + snapshot.standing_changes + (now_ms >> 10);
    generation_ = sum == 0 ? 1 : sum;  // 0: never looked at
  }

  // A packet of a group came in on red. none, or standing_by: it may not be sealed.
  template <typename Address>
  DropReason heard_on_red(const Address& source) noexcept {
    if (standing_ != Standing::works) [[unlikely]] {
      // What the one that works sends to red is not at home here.
      if (standing_ == Standing::listens) note_red(source);
      return DropReason::standing_by;
    }
    Last<Address>& last = of(last_red_, source);
    if (last.source != source || now_ms_ - last.at >= SourceTable::refresh_ms) [[unlikely]] {
      note_red(source);
      last = {source, now_ms_};
    }
    return DropReason::none;
  }

  // A packet of that source was opened. none; or standing_by, local_red_source, local_source: it may not leave on red.
  template <typename Address>
  DropReason may_leave_on_red(const Address& source) noexcept {
    Last<Address>& last = of(last_black_, source);
    if (last.source == source && last.at == generation_) [[likely]]
      return DropReason::none;
    const DropReason reason = judge(source);
    if (reason == DropReason::none) last = {source, generation_};
    return reason;
  }
  // As long as it stays the same, what may_leave_on_red() allowed is allowed.
  std::uint32_t generation() const noexcept { return generation_; }

  // For the control thread.
  SourceMovedRing& moved() noexcept { return moved_; }

 private:
  template <typename Address>
  struct Last {
    Address source{};
    std::uint32_t at = 0;  // milliseconds; a generation
  };
  struct Lasts {
    Last<Address4> ipv4;
    Last<Address6> ipv6;
  };
  static Last<Address4>& of(Lasts& lasts, Address4) noexcept { return lasts.ipv4; }
  static Last<Address6>& of(Lasts& lasts, const Address6&) noexcept { return lasts.ipv6; }

  template <typename Address>
  void note_red(const Address& source) noexcept;
  template <typename Address>
  DropReason judge(const Address& source) noexcept;
  template <typename Address>
  void tell_moved(const Address& source, Side to) noexcept;

  Sources& all_;
  Sources::Tables& own_;
  Tally& tally_;
  const LocalSources pinned_;
  const bool learns_;
  Standing standing_ = Standing::works;
  std::uint32_t now_ms_ = 0, generation_ = 1;  // of the burst
  Lasts last_red_, last_black_;
  SourceMovedRing moved_;
};

}  // namespace sealcast::dataplane
