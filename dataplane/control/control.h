// The data plane's control side: keeps groups, epochs and keys, turns every change into a new snapshot and publishes
// it. One control thread makes all calls here; workers run elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/dataplane_control.h"
#include "base/limits.h"
#include "base/result.h"
#include "dataplane/aead/engine.h"
#include "dataplane/control/what_if.h"
#include "dataplane/neighbours/neighbours.h"
#include "dataplane/path/worker.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

class BlackListener;
class RedBeacon;

// How workers get snapshots; the packet layer implements it with its RCU.
class Publisher {
 public:
  virtual ~Publisher() = default;
  // Makes next the snapshot that every worker uses from its next burst on. Waits until no worker uses the former one:
  // one grace period, or no time if no worker runs. The snapshot stays the caller's.
  virtual void publish(const Snapshot* next) = 0;
};

struct DataPlaneOptions {
  std::uint32_t workers = worker_limits.standard;
  PathSettings path;                                       // path.tsc_hz must be set
  std::function<std::uint64_t()> now_tsc;                  // the clock that bursts are stamped with
  std::function<SteadyTime()> now;                         // empty: steady_clock
  std::optional<NeighbourSettings> beacon = std::nullopt;  // none: other gateways on red do not count
};

class DataPlane final : public DataPlaneControl {
 public:
  // Publishes a first, empty snapshot. publisher outlives the object; no worker may run when it is destroyed.
  static Result<std::unique_ptr<DataPlane>> create(DataPlaneOptions options, std::unique_ptr<aead::Engine> engine,
                                                   Publisher& publisher);
  ~DataPlane() override;

  // For the thread that runs worker index; valid as long as this object.
  Worker& worker(std::uint32_t index);

  // Called by statistics() for both ports' figures; set by the packet layer.
  void set_port_statistics(std::function<std::vector<PortStatistics>()> source);

  // The gateway's own listener on black, which take_events() drives; the packet layer starts and stops it.
  BlackListener& listener();
  // The beacon on red, likewise.
  RedBeacon& beacon();

  std::uint32_t workers() const override;
  Result<void> protect_all(const std::vector<NamedProtection>& groups) override;
  Result<void> unprotect_all(const std::vector<std::string>& group_ids) override;
  Result<void> install(GroupEpoch epoch) override;
  Result<void> add_inbound(const std::string& group_id, std::uint64_t epoch,
                           std::vector<sealcast::InboundSa> slots) override;
  Result<void> replace_outbound(const std::string& group_id, std::uint64_t epoch,
                                std::vector<sealcast::OutboundSa> slots) override;
  Result<void> activate(const std::string& group_id, std::uint64_t epoch) override;
  Result<void> extend_lease(const std::string& group_id, SteadyTime until) override;
  Result<void> set_clock(const std::string& group_id, std::uint64_t epoch, const EpochClock& clock) override;
  Result<void> retire(const std::string& group_id, std::uint64_t epoch) override;
  void drop_all_outbound() override;
  Result<void> send_sealed(const std::string& group_id, const std::vector<std::uint8_t>& esp) override;
  DataPlaneEvents take_events() override;
  DataPlaneStatistics statistics() const override;
  std::vector<SaStatistics> statistics_of_group(const std::string& group_id) const override;

  // The fate of a packet now; changes nothing.
  Result<WhatIfAnswer> what_if(const WhatIfQuestion& question) const;
  // Headers of packets that workers dropped since the last call; lets each worker sample so many more. Workers sample
  // none unless asked.
  std::vector<DropSample> drop_samples(std::uint32_t further);

 private:
  struct State;
  explicit DataPlane(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane
