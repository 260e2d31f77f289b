// A key server's clocks: the time that it judges certificates and lists by, whatever happens to the wall clock (H19),
// and whether this machine was resumed from a snapshot (H9).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock_trust.h"
#include "base/loop.h"
#include "base/result.h"
#include "controlplane/admin/messages.h"
#include "controlplane/keyserver/clock_watch.h"
#include "controlplane/store/store.h"

namespace sealcast::keyserver {

class Clocks {
 public:
  // What reads the clocks: nanoseconds since boot, seconds since 1970, and the real-time less the boot-time clock.
  struct Sources {
    std::function<std::chrono::nanoseconds()> boot;
    std::function<std::int64_t()> unix_now;
    std::function<std::chrono::nanoseconds()> difference;  // empty: the system's
  };
  Clocks(Sources sources, std::chrono::seconds tolerance)
      : sources_(std::move(sources)), snapshots_(sources_.difference), trust_(tolerance) {}
  void set_tolerance(std::chrono::seconds tolerance) { trust_.set_tolerance(tolerance); }

  // For a store that opens: goes on from what a process before believed. boot_id: of sources.boot.
  std::int64_t start(const std::optional<store::WallClock>& before, std::string boot_id);
  // Where what is believed is kept from now on; it outlives this. nullptr: nowhere.
  void keep_in(store::Store* store) { store_ = store; }

  // Seconds since 1970 to judge by: the wall clock while it agrees with the boot-time clock.
  std::int64_t unix_now() const;
  bool agrees() const { return trust_.agrees(read()); }
  // Something was judged by it.
  void hold();
  // Now and then: says when the clock is doubted, and when it is not any more.
  void look();
  // An operator says that the wall clock is right.
  Result<void> accept();
  admin::ClockStatus status() const;

  // Whether the clocks moved against each other since the last look, as they do where a snapshot is resumed.
  bool jumped() { return snapshots_.jumped(); }

 private:
  ClockTrust::Reading read() const;
  void keep();

  Sources sources_;
  ClockWatch snapshots_;
  ClockTrust trust_;
  std::string boot_id_;
  store::Store* store_ = nullptr;
  ClockTrust::Time kept_{};                     // ahead() as it lies in the store
  ClockTrust::Time keep_again_{};               // on the boot-time clock
  std::optional<ClockTrust::Time> doubt_told_;  // on the boot-time clock; empty: it agreed at the last look
};

}  // namespace sealcast::keyserver
