// A bad network's effect on frames, decided from a seed alone: no clock, no device. Every directed link (from port, to
// port) has a generator of its own, so that a link's decisions depend only on the seed, the link and how many frames it
// carried: the same test run twice loses the same frames.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "base/result.h"

namespace sealcast::wire {

struct Impairments {
  double drop = 0;                  // probability, 0..1
  double duplicate = 0;             // probability that a frame is delivered twice
  double reorder = 0;               // probability that a frame is overtaken …
  std::uint32_t reorder_depth = 3;  // … by this many later frames of its link, 1..64
  double delay_ms = 0;              // added to every frame, 0..10000
  double jitter_ms = 0;             // the delay varies by up to this much either way; never changes the order
};

// Refuses probabilities outside 0..1, negative times, depth 0.
Result<void> validate(const Impairments& impairments);

// The fate of one frame on one link.
struct Decision {
  std::uint32_t copies = 1;        // 0 = dropped
  std::uint32_t overtaken_by = 0;  // frames that go first; 0 = in order
  double delay_ms = 0;
};

// One directed link's decisions.
class LinkDice {
 public:
  LinkDice(std::uint64_t seed, std::uint32_t from, std::uint32_t to);
  // Draws the same number of random values for any impairments, so that switching one on does not change another's
  // decisions.
  Decision next(const Impairments& impairments);

 private:
  double uniform();  // [0, 1)
  std::mt19937_64 generator_;
};

// Frames under way on one link; Frame is a small value (a pointer to a packet buffer, or a number in tests).
template <typename Frame>
class LinkQueue {
 public:
  // The longest that a frame waits for frames to overtake it.
  static constexpr std::uint64_t overtake_patience_ns = 20'000'000;

  // now_ns is monotone over the calls. A frame that must be overtaken waits for that many later put() calls.
  void put(Frame frame, const Decision& decision, std::uint64_t now_ns) {
    std::uint64_t release = now_ns + static_cast<std::uint64_t>(decision.delay_ms * 1e6);
    if (decision.overtaken_by != 0) {  // held frames do not count as overtaking
      held_.push_back({std::move(frame), release, decision.overtaken_by});
      return;
    }
    if (release < last_release_) release = last_release_;
    last_release_ = release;
    ordered_.push_back({std::move(frame), release, 0});
    for (auto it = held_.begin(); it != held_.end();) {
      if (--it->wait != 0) {
        ++it;
        continue;
      }
      if (it->release > last_release_) last_release_ = it->release;
      ordered_.push_back({std::move(it->frame), last_release_, 0});
      it = held_.erase(it);
    }
  }

  // The next frame that is due; it stays in the queue until pop().
  std::optional<Frame> peek(std::uint64_t now_ns) const {
    if (!ordered_.empty()) {
      if (ordered_.front().release <= now_ns) return ordered_.front().frame;
    } else if (!held_.empty() && now_ns >= overtake_patience_ns &&
               held_.front().release <= now_ns - overtake_patience_ns) {
      return held_.front().frame;
    }
    return std::nullopt;
  }
  // Removes what peek() returned.
  void pop() {
    if (!ordered_.empty()) {
      ordered_.pop_front();
    } else {
      held_.pop_front();
    }
  }

  std::size_t size() const { return ordered_.size() + held_.size(); }

 private:
  struct Waiting {
    Frame frame;
    std::uint64_t release;  // ns
    std::uint32_t wait;     // later frames still to come
  };
  std::deque<Waiting> ordered_;
  std::deque<Waiting> held_;
  std::uint64_t last_release_ = 0;
};

// Which ports receive from each other. "0,1/2" makes two islands; a port in none receives from no other.
class Partition {
 public:
  static Result<Partition> parse(const std::string& text, std::uint32_t ports);
  Partition() = default;  // all ports receive from all
  bool connected(std::uint32_t from, std::uint32_t to) const;
  std::string text() const { return text_; }  // "" = whole

 private:
  std::string text_;
  std::map<std::uint32_t, std::uint32_t> island_;
};

}  // namespace sealcast::wire
