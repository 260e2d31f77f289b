// When a group's next rekey begins.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include "controlplane/keyserver/group/hand_over.h"

namespace sealcast::keyserver {

class RekeySchedule {
 public:
  static constexpr std::chrono::seconds least_pause{10};  // between rekeys that slots or counters ask for

  // hand_over outlives it.
  explicit RekeySchedule(const HandOver& hand_over) : hand_over_(hand_over) {}

  // Empty: none is due. It waits for the hand-over under way.
  std::optional<SteadyTime> next() const { return hand_over_.under_way() ? std::nullopt : at_; }
  bool is_due(SteadyTime now) const { return at_ && *at_ <= now && !hand_over_.under_way(); }
  void set(SteadyTime at) { at_ = at; }
  void clear() { at_.reset(); }
  // Then, or earlier if it is due earlier.
  void by(SteadyTime at) { at_ = at_ ? std::min(*at_, at) : at; }

  // An epoch was begun; its successor is due at `next`.
  void begun(SteadyTime now, SteadyTime next) {
    last_ = now;
    at_ = next;
  }
  // Slots or counters ask for it. Not more often than the pause: many senders in a small block, or one that lies, must
  // not make it go round. Nothing while a hand-over is under way: the next epoch is what they need.
  void soon(SteadyTime now) {
    if (!hand_over_.under_way()) by(std::max(now, last_ + least_pause));
  }
  // A member left. Where members leave one after the other those within `share` have an epoch in common.
  void for_leave(SteadyTime now, std::chrono::milliseconds share) { by(std::max(now, last_ + share)); }

 private:
  const HandOver& hand_over_;
  std::optional<SteadyTime> at_;
  SteadyTime last_{};
};

}  // namespace sealcast::keyserver
