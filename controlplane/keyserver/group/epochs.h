// A group's live epochs, oldest first, and how their phases follow each other. Time is handed in.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class Epochs {
 public:
  const std::vector<Epoch>& all() const { return epochs_; }
  bool empty() const { return epochs_.empty(); }
  bool full() const { return epochs_.size() >= max_live_epochs; }
  std::uint64_t newest() const { return epochs_.empty() ? 0 : epochs_.back().number; }   // 0: there is none
  std::uint64_t oldest() const { return epochs_.empty() ? 0 : epochs_.front().number; }  // likewise
  bool lives(std::uint64_t number) const { return find(number) != nullptr; }

  // nullptr: there is none. Good until an epoch is added or removed.
  const Epoch* find(std::uint64_t number) const;
  Epoch* find(std::uint64_t number) { return const_cast<Epoch*>(std::as_const(*this).find(number)); }
  Epoch* active() { return in_phase(epochs_, Phase::active); }
  const Epoch* active() const { return in_phase(epochs_, Phase::active); }
  Epoch* pending() { return in_phase(epochs_, Phase::pending); }

  // Its number is higher than all others.
  Epoch& add(Epoch epoch);
  void remove(std::uint64_t number);
  void clear() { epochs_.clear(); }
  // The oldest that is not active; where all slots for epochs are taken there is one.
  std::uint64_t oldest_inactive() const;

  // The epoch becomes active, and the one that was active old.
  void activate(std::uint64_t number, SteadyTime now);
  // Pending ones before it become old: a later one was activated.
  void skip_pending_before(std::uint64_t number, SteadyTime now);
  // Those to be retired now, oldest first.
  std::vector<std::uint64_t> over(SteadyTime now) const;
  std::optional<SteadyTime> next_deadline() const;

  // The longest and the shortest authority lease that a member may have, where `configured` is given out from now on.
  std::chrono::seconds longest_lease(std::chrono::seconds configured) const;
  std::chrono::seconds shortest_lease(std::chrono::seconds configured) const;

 private:
  std::vector<Epoch> epochs_;
};

}  // namespace sealcast::keyserver
