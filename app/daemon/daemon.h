// What every Sealcast daemon does for the system: hardening, logs on standard error, signals, readiness and watchdog
// for the service manager.
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"

namespace sealcast::daemon {

// Core dumps off, logs to standard error as "time level text" (no time under a journal, which stamps lines itself) by a
// thread of their own (log_writer.h). As many descriptors as the hard limit allows. SIGPIPE ignored; SIGHUP blocked
// until Lifecycle::run(). The caller must end on a failure: never run with keys unprotected (H14).
Result<void> prepare(const std::string& program);

// Runs the loop until SIGTERM or SIGINT: sends READY=1 first, STOPPING=1 at the end, feeds the watchdog if one is set.
// on_stop runs once in the loop when a stop was asked for; the loop ends when it has no more work, at the latest after
// three seconds. on_reload runs at SIGHUP and logs what it did; a SIGHUP that came since prepare() reloads at once.
class Lifecycle {
 public:
  Lifecycle(asio::io_context& io, std::function<void()> on_stop, std::function<void()> on_reload);
  ~Lifecycle();
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  void run();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::daemon
