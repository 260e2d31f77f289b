// The hand-over of a group from one epoch to the next: which members it waits for, until when, and how it went.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "base/dataplane_control.h"
#include "controlplane/keyserver/group/rekey_record.h"

namespace sealcast::keyserver {

class HandOver {
 public:
  // To a pending epoch. It ends at `deadline` at the latest, unless members are waited for after a restart.
  void begin(std::uint64_t epoch, SteadyTime deadline);
  bool under_way() const { return now_.has_value(); }
  std::uint64_t epoch() const { return now_ ? now_->epoch : 0; }  // 0: none is under way
  // The epoch is active or over. False: the hand-over under way is to another one and goes on.
  bool end(std::uint64_t epoch);
  void drop() { now_.reset(); }

  const std::set<std::string>& awaited() const { return now_->awaited; }
  void await(const std::string& member) { now_->awaited.insert(member); }
  void no_longer_await(const std::string& member);
  // The member has installed the epoch.
  void acknowledged(const std::string& member, std::uint64_t epoch, SteadyTime now);
  // Whether all have, and the time before which it may not end is over.
  bool is_complete(SteadyTime now) const;
  // However soon all have acknowledged, it does not end before that.
  void not_before(SteadyTime time) { now_->not_before = time; }
  // When it ends by itself; empty: none is under way, or that time came and was reported.
  std::optional<SteadyTime> due() const;
  // That nothing is awaited any more; true: it was not reported before.
  bool report();

  // After a restart: members are on their way back until then, and lose packets if it ends earlier.
  void wait_for_return(SteadyTime until);
  // Such a hand-over ends at this time at the latest: those that are not back must not hold it up.
  void stop_waiting_for_return(SteadyTime end);
  // Such a hand-over may end at this time, because no sender is away. It may be taken back by sender_goes_on().
  void shorten(SteadyTime end);
  // Whether it is such a hand-over, and no sender said that it goes on under an earlier epoch.
  bool may_shorten() const { return now_ && now_->patience && !now_->sender_goes_on; }
  bool waits_for_return() const { return now_ && now_->patience; }
  // A sender that is back goes on under the epoch: its receivers need their time to come back.
  void sender_goes_on(std::uint64_t epoch);

  // Begins a record of it.
  void record(std::uint64_t epoch, const std::string& why, SteadyTime begun, std::size_t told);
  // The epoch became active, while `missing` members had not acknowledged it. nullptr: there is no record of it.
  const RekeyRecord* record_active(std::uint64_t epoch, std::size_t missing, SteadyTime now);
  // Of the last one, under way or done; empty: none since the start of this process.
  const std::optional<RekeyRecord>& last() const { return last_; }

 private:
  struct Now {
    std::uint64_t epoch = 0;
    SteadyTime deadline;
    std::set<std::string> awaited = {};  // members that have not acknowledged, or, after a restart, not come back
    bool reported = false;
    std::optional<SteadyTime> patience = {};  // after a restart: how long it may wait for those awaited
    SteadyTime not_before = {};
    bool sender_goes_on = false;
  };
  std::optional<Now> now_;
  std::optional<RekeyRecord> last_;
};

}  // namespace sealcast::keyserver
