#include "app/daemon/daemon.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <asio/executor_work_guard.hpp>
#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <mutex>

#include "app/daemon/log_writer.h"
#include "base/secret.h"

namespace sealcast::daemon {

namespace {

// A SIGHUP without a handler ends the process. So it is blocked from the first moment on, until run() is ready to
// reload; threads started meanwhile never take it.
void block_reload(bool block) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, nullptr);
}

std::string text_of(spdlog::formatter& formatter, const spdlog::details::log_msg& message) {
  spdlog::memory_buf_t line;
  formatter.format(message, line);
  return {line.data(), line.size()};
}

// Standard error, without waiting for what reads it (H29).
class StandardError final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StandardError(const std::string& pattern)
      : base_sink(std::make_unique<spdlog::pattern_formatter>(pattern)),
        writer_(STDERR_FILENO, [formatter = std::make_shared<spdlog::pattern_formatter>(pattern)](std::uint64_t count) {
          const std::string text =
              "log_lines_lost count=" + std::to_string(count) + " why=\"what reads standard error did not take them\"";
          return text_of(*formatter, {"", spdlog::level::warn, text});
        }) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override { writer_.push(text_of(*formatter_, message)); }
  void flush_() override {}

 private:
  LogWriter writer_;
};

// Each connection takes a descriptor, and a service begins with a soft limit of 1024. Nothing here uses select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);  // where it fails, the key server counts what there is
}

}  // namespace

Result<void> prepare(const std::string& program) {
  std::signal(SIGPIPE, SIG_IGN);
  block_reload(true);
  const char* const pattern = std::getenv("JOURNAL_STREAM") != nullptr ? "%l: %v" : "%Y-%m-%dT%H:%M:%S.%e %l %v";
  spdlog::set_default_logger(std::make_shared<spdlog::logger>(program, std::make_shared<StandardError>(pattern)));
  write_logs_at_a_crash();
  raise_descriptor_limit();
  return harden_process();
}

struct Lifecycle::State {
  asio::io_context& io;
  std::function<void()> on_stop;
  std::function<void()> on_reload;
  asio::signal_set stop_signals;
  asio::signal_set reload_signal;
  asio::steady_timer watchdog;
  bool stopping = false;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::chrono::microseconds watchdog_period{0};

  State(asio::io_context& loop, std::function<void()> stop, std::function<void()> reload)
      : io(loop),
        on_stop(std::move(stop)),
        on_reload(std::move(reload)),
        stop_signals(loop),
        reload_signal(loop),
        watchdog(loop),
        work(asio::make_work_guard(loop)) {}

  void wait_for_stop() {
    stop_signals.async_wait([this](const asio::error_code& error, int signal) {
      if (error) return;
      spdlog::info("stopping: {}", signal == SIGTERM ? "SIGTERM" : "SIGINT");
      sd_notify(0, "STOPPING=1");
      asio::error_code ignored;
      reload_signal.cancel(ignored);
      watchdog.cancel();
      on_stop();
      work.reset();
      stopping = true;
      io.stop();  // run() goes on for a bounded time, so that goodbyes are still sent
    });
  }

  void wait_for_reload() {
    reload_signal.async_wait([this](const asio::error_code& error, int) {
      if (error) return;
      // systemd takes a reload's end only with the time of its beginning (sd_notify(3), Type=notify-reload).
      const auto now =
          std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch());
      sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count())).c_str());
      on_reload();
      sd_notify(0, "READY=1");
      wait_for_reload();
    });
  }

  void feed_watchdog() {
    sd_notify(0, "WATCHDOG=1");
    watchdog.expires_after(watchdog_period);
    watchdog.async_wait([this](const asio::error_code& error) {
      if (!error) feed_watchdog();
    });
  }
};

Lifecycle::Lifecycle(asio::io_context& io, std::function<void()> on_stop, std::function<void()> on_reload)
    : state_(std::make_unique<State>(io, std::move(on_stop), std::move(on_reload))) {
  asio::error_code ignored;  // adding a valid signal number cannot fail
  state_->stop_signals.add(SIGTERM, ignored);
  state_->stop_signals.add(SIGINT, ignored);
  state_->reload_signal.add(SIGHUP, ignored);
}

Lifecycle::~Lifecycle() = default;

void Lifecycle::run() {
  state_->wait_for_stop();
  state_->wait_for_reload();
  block_reload(false);
  std::uint64_t period = 0;
  if (sd_watchdog_enabled(0, &period) > 0) {
    state_->watchdog_period = std::chrono::microseconds(period / 2);
    state_->feed_watchdog();
  }
  sd_notify(0, "READY=1");
  state_->io.run();
  if (!state_->stopping) return;
  state_->io.restart();
  state_->io.run_for(std::chrono::seconds(3));
}

}  // namespace sealcast::daemon
