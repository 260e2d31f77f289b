// A session's connection without a socket: the test carries the bytes, runs what was posted, and turns the timer.
#pragma once

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "controlplane/keyserver/connection/transport.h"

namespace sealcast::keyserver::testing {

class FakeTransport : public Transport {
 public:
  void when_readable(Then then) override { readable = std::move(then); }
  Result<std::size_t> read(ByteSpan into) override {
    ++reads;
    if (incoming.empty()) {
      if (peer_ended) return fail("End of file");
      return 0;
    }
    const std::size_t n = std::min(into.size(), incoming.size());
    std::copy_n(incoming.begin(), n, into.begin());
    incoming.erase(incoming.begin(), incoming.begin() + static_cast<std::ptrdiff_t>(n));
    return n;
  }
  bool peer_is_gone() override { return peer_ended && incoming.empty(); }
  void write(ByteView bytes, Written then) override {
    in_flight = bytes;
    written = std::move(then);
  }
  void end_output() override { output_ended = true; }
  void close() override {
    closed = true;
    timer = {};
    readable = {};
  }
  void set_timer(std::chrono::milliseconds delay, Then then) override {
    ++timers_set;
    timer_delay = delay;
    timer = std::move(then);
  }
  void post(Then then) override { posted.push_back(std::move(then)); }

  // The session learns that there is something to read, if it waits for that.
  bool tell_readable() {
    if (!readable || (incoming.empty() && !peer_ended)) return false;
    std::exchange(readable, {})();
    return true;
  }
  bool run_posted() {
    if (posted.empty()) return false;
    const Then first = std::move(posted.front());
    posted.pop_front();
    first();
    return true;
  }
  // The write under way is done; what was written.
  std::optional<Bytes> take_written() {
    if (!written) return std::nullopt;
    Bytes bytes(in_flight.begin(), in_flight.end());
    std::exchange(written, {})({});
    return bytes;
  }
  // Calls nothing any more: what it was handed keeps its session alive, and the session keeps the transport.
  void forget() {
    readable = {};
    timer = {};
    written = {};
    posted.clear();
  }
  void fire_timer() { std::exchange(timer, {})(); }

  Bytes incoming;  // from the peer, not read yet
  bool peer_ended = false;
  int reads = 0;
  ByteView in_flight;
  bool output_ended = false;
  bool closed = false;
  int timers_set = 0;
  std::chrono::milliseconds timer_delay{};
  Then readable, timer;  // empty: not waited for, not set
  Written written;       // empty: no write is under way
  std::deque<Then> posted;
};

}  // namespace sealcast::keyserver::testing
