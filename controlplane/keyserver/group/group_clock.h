// The clock on which the times of epochs run (docs/protocol.md, "The group clock"): this machine's boot-time clock and
// a constant, never stepped. It goes on over restarts of the process, not over one of the machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "controlplane/store/store.h"
#include "handshake/endpoint.h"
#include "handshake/group_keying.h"

namespace sealcast::keyserver {

// The kernel's name for the time since the machine was started; the same text for all processes of that time.
Result<std::string> boot_id();

// What a key server tells its members of the clock: its own, or its cluster's.
class ClockSource {
 public:
  virtual ~ClockSource() = default;
  virtual handshake::ClockReading read() const = 0;  // clock_id 0: it has none, or does not know it
  // For an epoch that begins: a minute ago, so that no correction of a clock ever makes its times negative.
  handshake::EpochZero zero() const;
};

class GroupClock final : public ClockSource {
 public:
  using Now = std::function<std::chrono::nanoseconds()>;  // since the boot that boot_id names

  // The clock of the process before on this store, if that ran since the same boot; else a new one. store and random
  // must outlive it.
  static Result<GroupClock> open(Now now, std::string boot_id, store::Store& store, handshake::Random& random);

  handshake::ClockReading read() const override;
  // A machine that was resumed from a snapshot cannot vouch for its clock any more: a new one.
  Result<void> renew();

 private:
  GroupClock(Now now, std::string boot_id, store::Store& store, handshake::Random& random)
      : now_(std::move(now)), boot_id_(std::move(boot_id)), store_(&store), random_(&random) {}
  std::chrono::milliseconds now() const;

  Now now_;
  std::string boot_id_;
  store::Store* store_;
  handshake::Random* random_;
  std::uint64_t id_ = 0;
  std::chrono::milliseconds offset_{};
};

}  // namespace sealcast::keyserver
