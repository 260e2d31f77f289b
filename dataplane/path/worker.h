// The packet path of one worker: bursts of frames in, verdicts out. Run to completion, no allocation, lock, log,
// exception, system call or store to a shared line per packet. Knows no device and no clock.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/aead/engine.h"
#include "dataplane/packet/frame.h"
#include "dataplane/path/clear_path.h"
#include "dataplane/path/host_frame.h"
#include "dataplane/path/missing_keys.h"
#include "dataplane/path/opener.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/sealer.h"
#include "dataplane/path/source_guard.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// Holds the parts of the path and gives each burst to the one for its side.
class Worker {
 public:
  // settings, engine and sources, which are all workers', outlive the worker. index is this worker's place: 0 ..
  // workers-1.
  Worker(std::uint32_t index, const PathSettings& settings, const aead::Engine& engine, Sources& sources);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Frames received on red; those with Verdict::forward are to be sent on black, in order. now_tsc is read once per
  // burst. The snapshot is the one the worker obtained since its last quiescent point.
  void red_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot);
  // Frames received on black (or handed over by another worker); those with Verdict::forward go to red.
  void black_burst(std::span<Frame> frames, std::uint64_t now_tsc, const Snapshot& snapshot);

  // Some frames wait for the key of their slot (Verdict::park): unpark() has to be called before every black_burst.
  bool parks() const { return !missing_keys_.empty(); }
  // Parked frames whose wait is over, with their verdicts as after black_burst: opened where the snapshot brought the
  // key, in the order they arrived, or dropped. Returns how many; to be called until 0, so that no later packet of a
  // slot overtakes them.
  std::size_t unpark(std::span<Frame> out, std::uint64_t now_tsc, const Snapshot& snapshot) noexcept;
  // When the worker ends: parked frames, as dropped. Returns how many; 0: there are no more.
  std::size_t give_back(std::span<Frame> out) noexcept { return missing_keys_.give_back(out); }

  const WorkerCounters& counters() const { return tally_.counters(); }

  // Events for the control thread.
  SpiRing& slots_wanted() { return missing_keys_.slots_wanted(); }
  SpiRing& counter_limits() { return sealer_.counter_limits(); }
  // Control thread: fills the stock of drop counters and takes the headers of dropped packets.
  DropStock& drop_stock() { return tally_.stock(); }
  DropSampler& sampler() { return tally_.sampler(); }
  const Bypass& bypass() const { return clear_path_.bypass(); }
  BypassLoopRing& bypass_loops() { return clear_path_.loops(); }
  // Queries from black, for the gateway's own listener there. Frames of that listener for black, which the packet layer
  // fetches and sends.
  HostFrameRing& queries_heard() { return clear_path_.queries_heard(); }
  HostFrameRing& to_black() { return to_black_; }
  // Reports and queries that came in on red.
  ReportRing& reports_heard() { return clear_path_.reports_heard(); }
  // Beacons that came in on red, and those of this gateway, which the packet layer fetches and sends.
  HostFrameRing& beacons_heard() { return clear_path_.beacons_heard(); }
  HostFrameRing& to_red() { return to_red_; }
  SourceMovedRing& sources_moved() { return source_guard_.moved(); }
  // What came for the gateways themselves, of any group.
  TakenDatagramRing& datagrams() { return opener_.datagrams(); }

 private:
  Tally tally_;
  ClearPath clear_path_;
  MissingKeys missing_keys_;
  SourceGuard source_guard_;
  Sealer sealer_;
  Opener opener_;
  HostFrameRing to_black_, to_red_;
};

}  // namespace sealcast::dataplane
