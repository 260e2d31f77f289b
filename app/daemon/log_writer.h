// Log lines that never keep their writer waiting (H29): a thread of its own writes them to a descriptor whose reader
// may stall, as a journal on a full disk does. What finds no room is lost and counted, and a line says so where they
// lack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace sealcast::daemon {

class LogWriter {
 public:
  static constexpr std::size_t most_waiting = 1024 * 1024;  // bytes of lines that wait

  // The line, with its newline, that tells how many were lost. Called by one thread at a time.
  using LostLine = std::function<std::string(std::uint64_t count)>;
  // The descriptor stays the caller's.
  LogWriter(int fd, LostLine lost_line, std::size_t most = most_waiting);
  // Waits half a second at most for what was said so far to be written. A write that still stalls is left behind.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // The line with its newline. From any thread; returns at once.
  void push(std::string line);
  // Lines that were not written, since the beginning.
  std::uint64_t lost() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// From now on the process waits at a crash a tenth of a second for all of its writers. Call it once.
void write_logs_at_a_crash();

}  // namespace sealcast::daemon
