#include "controlplane/keyserver/connection/handshake_turns.h"

#include <chrono>
#include <utility>

namespace sealcast::keyserver {
namespace {

constexpr std::chrono::milliseconds slice{2};  // then all others have a turn

}  // namespace

void HandshakeTurns::wait(Turn turn, bool begun) {
  (begun ? begun_ : fresh_).push_back(std::move(turn));
  serve_soon();
}

void HandshakeTurns::wait_further(Turn turn) {
  further_.push_back(std::move(turn));
  serve_soon();
}

// Empty: none waits.
std::deque<HandshakeTurns::Turn>& HandshakeTurns::next() {
  const bool others = !further_.empty() || !fresh_.empty();
  if (!begun_.empty() && (!others || in_a_row_ < begun_in_a_row)) {
    ++in_a_row_;
    return begun_;
  }
  in_a_row_ = 0;
  further_turn_ = !further_.empty() && (fresh_.empty() || !further_turn_);
  return further_turn_ ? further_ : fresh_;
}

void HandshakeTurns::stop() {
  begun_.clear();
  further_.clear();
  fresh_.clear();
  when_room_.clear();
}

void HandshakeTurns::serve_soon() {
  if (std::exchange(posted_, true)) return;
  loop_.post([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->serve();
  });
}

void HandshakeTurns::serve() {
  posted_ = false;
  const auto end = loop_.now() + slice;
  do {
    auto& waiting = next();
    if (waiting.empty()) break;
    const Turn turn = std::move(waiting.front());
    waiting.pop_front();
    turn();
  } while (loop_.now() < end);
  if (!crowded())
    for (auto& called : std::exchange(when_room_, {}))
      called();
  if (!begun_.empty() || !fresh_.empty() || !further_.empty()) serve_soon();
}

}  // namespace sealcast::keyserver
