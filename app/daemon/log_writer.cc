#include "app/daemon/log_writer.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

namespace sealcast::daemon {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_goodbye = 500ms;
constexpr int longest_crash_wait_ms = 100;

std::atomic<std::size_t> unwritten{0};  // lines of all writers; a crash waits for them

void write_all(int fd, const std::string& line) {
  for (std::size_t done = 0; done < line.size();) {
    const ssize_t n = ::write(fd, line.data() + done, line.size() - done);
    if (n < 0 && errno == EAGAIN) std::this_thread::sleep_for(10ms);
    if (n < 0 && errno != EINTR && errno != EAGAIN) return;  // no reader any more
    if (n > 0) done += static_cast<std::size_t>(n);
  }
}

extern "C" void wait_for_the_log(int signal) {
  const timespec step{0, 1'000'000};
  for (int i = 0; i < longest_crash_wait_ms && unwritten.load() != 0; ++i)
    nanosleep(&step, nullptr);
  raise(signal);  // its default action: SA_RESETHAND
}

}  // namespace

struct LogWriter::State {
  State(int to, LostLine tell, std::size_t size) : fd(to), lost_line(std::move(tell)), most(size) {}

  const int fd;
  const LostLine lost_line;
  const std::size_t most;
  mutable std::mutex mutex;
  std::condition_variable wake, written;
  std::deque<std::string> waiting;
  std::size_t bytes = 0;   // of waiting
  std::uint64_t gap = 0;   // lost since the last line that was taken
  std::uint64_t lost = 0;  // in all
  bool stopping = false;
  bool ended = false;

  void take(std::string line) {
    bytes += line.size();
    waiting.push_back(std::move(line));
    ++unwritten;
  }
  void tell_gap() {
    if (gap != 0) take(lost_line(std::exchange(gap, 0)));
  }

  void run() {
    std::unique_lock lock(mutex);
    for (;;) {
      if (waiting.empty()) tell_gap();
      wake.wait(lock, [this] { return stopping || !waiting.empty(); });
      if (waiting.empty()) break;
      const std::string line = std::move(waiting.front());
      waiting.pop_front();
      lock.unlock();
      write_all(fd, line);
      lock.lock();
      bytes -= line.size();
      --unwritten;
    }
    ended = true;
    written.notify_all();
  }
};

LogWriter::LogWriter(int fd, LostLine lost_line, std::size_t most)
    : state_(std::make_shared<State>(fd, std::move(lost_line), most)) {
  // Detached, so that a write that never ends keeps no process from its end. It has a share of the state.
  std::thread([state = state_] { state->run(); }).detach();
}

LogWriter::~LogWriter() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->wake.notify_one();
  state_->written.wait_for(lock, longest_goodbye, [this] { return state_->ended; });
}

void LogWriter::push(std::string line) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->bytes + line.size() > state_->most) {
      ++state_->gap;
      ++state_->lost;
      return;
    }
    state_->tell_gap();
    state_->take(std::move(line));
  }
  state_->wake.notify_one();
}

std::uint64_t LogWriter::lost() const {
  const std::lock_guard lock(state_->mutex);
  return state_->lost;
}

void write_logs_at_a_crash() {
  struct sigaction action {};
  action.sa_handler = wait_for_the_log;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE}) {
    struct sigaction present {};
    if (sigaction(signal, nullptr, &present) == 0 && present.sa_handler == SIG_DFL) sigaction(signal, &action, nullptr);
  }
}

}  // namespace sealcast::daemon
