// What a member asked the key server, and when: an answer proves that the key server was there after the question
// (LEASE-1). No socket and no clock.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/dataplane_control.h"

namespace sealcast::member {

class Keepalives {
 public:
  // A connection whose key server proved to have been there at `proven`; the first question is due at once.
  void joined(SteadyTime proven, SteadyTime now) {
    asked_.clear();
    sent_ = 0;
    due_ = now;
    proven_ = std::max(proven_, proven);
  }

  bool due(SteadyTime now) const { return now >= due_; }
  // The number to ask with; the next question is due at `next`.
  std::uint64_t ask(SteadyTime now, SteadyTime next) {
    due_ = next;
    // What is dropped is older than what is kept; its answer proves less.
    if (asked_.size() == most_asked) asked_.pop_front();
    asked_.push_back({++sent_, now});
    return sent_;
  }

  std::uint64_t sent() const { return sent_; }
  struct Answer {
    bool expected = false;            // such a number was sent
    std::optional<SteadyTime> asked;  // when, if this is its first answer
  };
  // The lease runs from the moment of the question, not from that at which the answer came: an attacker that holds
  // answers back gains nothing.
  Answer answered(std::uint64_t number) {
    Answer answer{number <= sent_, {}};
    if (!answer.expected) return answer;
    for (; !asked_.empty() && asked_.front().number <= number; asked_.pop_front()) {
      answer.asked = asked_.front().at;
      proven_ = std::max(proven_, asked_.front().at);
    }
    return answer;
  }

  // The last moment at which the key server is known to have been there.
  SteadyTime proven() const { return proven_; }

 private:
  static constexpr std::size_t most_asked = 16;  // without an answer so far
  struct Asked {
    std::uint64_t number;
    SteadyTime at;
  };
  std::deque<Asked> asked_;
  std::uint64_t sent_ = 0;
  SteadyTime due_{}, proven_{};
};

}  // namespace sealcast::member
