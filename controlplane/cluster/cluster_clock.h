// The group clock of a cluster (docs/cluster.md, "One clock for all"): the leader's, which the others measure through
// etcd. A new leader goes on with what it has measured, and says with every reading how far it may be off; where it
// has measured nothing good, it begins a clock of its own, and all groups get new epochs. Times that are handed in are
// of this machine's boot-time clock, which goes on while it sleeps.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "controlplane/clock/clock_estimates.h"
#include "controlplane/cluster/cluster_view.h"
#include "controlplane/cluster/records.h"
#include "controlplane/etcd/etcd.h"
#include "handshake/endpoint.h"
#include "handshake/group_keying.h"

namespace sealcast::cluster {

class ClusterClock {
 public:
  using BootTime = SteadyTime;
  using Outcome = clock::ClockEstimates::Outcome;
  // A key server whose readings may be further off serves no member.
  static constexpr std::chrono::milliseconds largest_error{1000};
  // A new leader goes on with a clock that it knows as well as this; members that send want theirs within 400 ms.
  static constexpr std::chrono::milliseconds largest_inherited_error{250};

  // Both must outlive it.
  ClusterClock(const ClusterView& view, handshake::Random& random) : view_(view), random_(random) {}

  // The question to the leader, when it is time for one: a key that this key server writes. The leader's next reading
  // answers all that were written before it. One is under way at a time.
  std::optional<etcd::Transaction> question(BootTime now);
  void questioned(const etcd::Reply* reply);  // what etcd answered to it; nullptr: nothing
  bool waits() const { return under_way_.has_value() || !unanswered_.empty(); }
  // The reading that the view shows, read now. no_clock: it answers nothing that this key server asked.
  Outcome measure(BootTime now);

  // At the leader, with every transaction of its own: its reading, where others have asked, or the clock is new.
  std::optional<etcd::Put> reading_to_write(BootTime now);
  // The clock of the epochs that this leader makes; it has one once reading_to_write() was called. That epochs of
  // other clocks are replaced is for Leader to do.
  std::uint64_t led_id() const { return led_ ? led_->id : 0; }
  handshake::EpochZero zero(BootTime now) const;

  // With error_ms; clock_id 0: nothing is known of the clock.
  handshake::ClockReading read(BootTime now) const;
  bool good(BootTime now) const;  // within largest_error
  void look(BootTime now);        // when all is read: another key server may lead now
  void session_over();            // no answer comes any more
  // The machine was resumed from a snapshot: nothing that was measured holds any more.
  void forget();

 private:
  struct Led {
    std::uint64_t id = 0;
    std::chrono::nanoseconds offset{};  // to this machine's boot time
    std::uint32_t error_ms = 0;         // against the readings of leaders before
  };
  struct Question {
    etcd::Revision revision = 0;  // at which it was written
    BootTime asked{};
  };
  void begin_leading(BootTime now);

  const ClusterView& view_;
  handshake::Random& random_;
  clock::ClockEstimates estimates_;
  std::optional<Led> led_;
  std::optional<BootTime> under_way_;  // when it was asked
  std::deque<Question> unanswered_;    // in the order of revisions
  BootTime next_{};
  std::string asked_leader_;  // its incarnation
};

}  // namespace sealcast::cluster
