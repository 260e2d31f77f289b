// The further groups that a member has asked for on its connection (GroupJoin, docs/protocol.md "Further groups on a
// connection") and that wait for their turn, the oldest first. One group in a turn, so that the other connections have
// theirs (H13).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/keyserver/connection/slot_wait.h"

namespace sealcast::keyserver {

class JoinQueue {
 public:
  static constexpr std::size_t most_waiting = 64;  // each costs a line on disk (H13)
  enum class Asked : std::uint8_t { waits, twice, too_many };

  Asked ask(const std::string& group_id);
  // A Leave came before the group's turn. False: the group does not wait.
  bool withdraw(const std::string& group_id) { return std::erase(waiting_, group_id) != 0; }
  // Whether ask() was ever called: from then on a Leave may be late.
  bool used() const { return used_; }
  void clear() { waiting_.clear(); }

  // True: a turn is to be taken for the oldest group; it ends with take().
  bool begin_turn();
  // In a turn: true as SlotWait::wait().
  bool wait_for_slots(SessionHost& host, std::function<void()> then);
  // Ends the turn with the group that it was for; nothing if that was withdrawn and none follows it.
  std::optional<std::string> take();

 private:
  std::vector<std::string> waiting_;
  bool used_ = false;
  bool turn_ = false;
  SlotWait slots_;  // of this turn
};

}  // namespace sealcast::keyserver
