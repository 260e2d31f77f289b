// What one worker counts. Drops count for the worker and for the SA or group that they belong to, and become samples
// for an operator.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/packet/frame.h"
#include "dataplane/path/drop_sample.h"
#include "dataplane/sa/counter.h"
#include "dataplane/sa/counters.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// Written by the worker alone.
struct alignas(cache_line) WorkerCounters {
  Counter sealed, opened, bypassed;
  Counter bypassed_bytes;                        // of frames
  Counter parked;                                // waited for the key of their slot, whatever became of them
  std::array<Counter, drop_reason_count> drops;  // by DropReason
};

class Tally {
 public:
  // worker: the index of the worker that counts here.
  explicit Tally(std::uint32_t worker) : worker_(worker) {}

  // ---- The worker.

  void sealed(std::uint64_t packets) noexcept { counters_.sealed.add(packets); }
  void opened(std::uint64_t packets) noexcept { counters_.opened.add(packets); }
  void parked() noexcept { counters_.parked.add(1); }
  void bypassed(std::uint32_t frame_bytes) noexcept {
    counters_.bypassed.add(1);
    counters_.bypassed_bytes.add(frame_bytes);
  }
  void count(DropReason reason) noexcept { counters_.drops[static_cast<std::size_t>(reason)].add(1); }

  // Gives a frame that came in on that side its verdict, and counts it.
  void drop(Frame& frame, DropReason reason, Side side) noexcept {
    frame.verdict = Verdict::drop;
    frame.reason = reason;
    count(reason);
    sampler_.drop(side, reason, frame);
  }
  // Counts a drop for its SA; none is not counted. Returns the reason, for drop() or count(). It is out of line so that
  // the code of packets that pass keeps its registers.
  template <typename Sa>
  [[gnu::noinline, gnu::cold]] DropReason charge(Sa& sa, DropReason reason) noexcept {
    if (reason != DropReason::none) sa.drops.add(reason, stock_);
    return reason;
  }
  // The same for a group of the snapshot.
  [[gnu::noinline, gnu::cold]] DropReason charge_group(const Snapshot& snapshot, std::uint32_t group,
                                                       DropReason reason) noexcept {
    (*snapshot.group_drops)[group][worker_].add(reason, stock_);
    return reason;
  }

  // ---- Any thread reads the counters; the control thread refills the stock and takes the samples.

  const WorkerCounters& counters() const { return counters_; }
  DropStock& stock() { return stock_; }
  DropSampler& sampler() { return sampler_; }

 private:
  WorkerCounters counters_;
  const std::uint32_t worker_;
  DropStock stock_;
  DropSampler sampler_;
};

}  // namespace sealcast::dataplane
