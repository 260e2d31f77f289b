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
  // Why the next one, or the one that was due last, begins: for the log and the status. A literal.
  const char* why() const { return why_; }
  void clear() { at_.reset(); }
  // The one that was due could not begin, or nothing came of it: it is tried again then.
  void again(SteadyTime at) { at_ = at; }
  // Then, unless one is due earlier.
  void by(SteadyTime at, const char* why) {
    if (at_ && *at_ <= at) return;
    at_ = at;
    why_ = why;
  }

  // An epoch was begun; its successor is due at `next`.
  void begun(SteadyTime now, SteadyTime next) {
    last_ = now;
    at_ = next;
    why_ = "lifetime";
  }
  // Slots or counters ask for it. Not more often than the pause: many senders in a small block, or one that lies, must
  // not make it go round. Nothing while a hand-over is under way: the next epoch is what they need.
  void soon(SteadyTime now, const char* why) {
    if (!hand_over_.under_way()) by(std::max(now, last_ + least_pause), why);
  }
  // A member left. Where members leave one after the other those within `share` have an epoch in common.
  void for_leave(SteadyTime now, std::chrono::milliseconds share) { by(std::max(now, last_ + share), "a member left"); }

 private:
  const HandOver& hand_over_;
  std::optional<SteadyTime> at_;
  const char* why_ = "lifetime";
  SteadyTime last_{};
};

}  // namespace sealcast::keyserver
