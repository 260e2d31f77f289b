// Which member is served next while many join at once (H13). A handshake costs about a millisecond, so after a restart
// thousands of members are seconds of work. They wait here, outside the loop: what is begun goes before what is not,
// four turns to one, so that few are half served when their time is over, and none that begins and dawdles keeps others
// out; members that are joined already are served between two short slices; and none more is accepted while too many
// wait.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "base/loop.h"

namespace sealcast::keyserver {

class HandshakeTurns : public std::enable_shared_from_this<HandshakeTurns> {
 public:
  using Turn = std::function<void()>;

  explicit HandshakeTurns(Loop& loop) : loop_(loop) {}

  // turn is called once, later, from the loop. begun: this connection has had a turn before.
  void wait(Turn turn, bool begun);
  // Of a connection that is joined and asks for a further group. Shares what begun ones leave with the newcomers.
  void wait_further(Turn turn);
  // Newcomers that wait for their first turn.
  std::size_t newcomers() const { return fresh_.size(); }
  // So many that no further connection should be accepted; when_room is called once as soon as there are fewer.
  bool crowded() const { return fresh_.size() >= most_newcomers; }
  void call_when_room(std::function<void()> when_room) { when_room_.push_back(std::move(when_room)); }
  void stop();

  static constexpr std::size_t most_newcomers = 1024;
  static constexpr unsigned begun_in_a_row = 4;  // where others wait, too

 private:
  void serve_soon();
  void serve();
  std::deque<Turn>& next();

  Loop& loop_;
  std::deque<Turn> begun_, fresh_, further_;
  bool further_turn_ = false;
  unsigned in_a_row_ = 0;  // turns of begun ones
  std::deque<std::function<void()>> when_room_;
  bool posted_ = false;
};

}  // namespace sealcast::keyserver
