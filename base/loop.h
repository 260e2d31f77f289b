// Time, timers and turns: what a part of the control plane that waits asks of its surroundings. The product's is an
// Asio loop (base/asio_loop.h). A test or a simulator puts its own in its place: then time passes only where it says
// so.
//
// One thread runs the loop. The clocks and post() may be used from any thread, all else from that one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/dataplane_control.h"

namespace sealcast {

// Destroying it cancels it.
class Timer {
 public:
  using Then = std::function<void()>;

  virtual ~Timer() = default;
  // Calls then once, from the loop, at that time or later. Takes the place of what was set before: that is not called
  // any more, even where its time had come.
  virtual void set(SteadyTime at, Then then) = 0;
  virtual void cancel() = 0;
};

class Loop {
 public:
  using Then = std::function<void()>;

  virtual ~Loop() = default;
  virtual SteadyTime now() const = 0;
  virtual std::chrono::milliseconds unix_time() const = 0;  // steps when the system's clock is set
  std::int64_t unix_now() const {                           // seconds
    return std::chrono::duration_cast<std::chrono::seconds>(unix_time()).count();
  }
  // Calls then in a turn of its own, in the order of the calls; never from inside this one.
  virtual void post(Then then) = 0;
  // Must not outlive the loop.
  virtual std::unique_ptr<Timer> timer() = 0;
};

}  // namespace sealcast
