// A child process with its standard input and output on pipes, for tests that start and kill programs.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace sealcast::wire {

class Process {
 public:
  // Starts the program; standard error goes to error_file, or to the test's own if that is empty. running() is false if
  // it could not be started.
  explicit Process(const std::vector<std::string>& command, const std::string& error_file = "");
  ~Process();  // SIGKILL if still there
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  bool running() const { return pid_ > 0; }
  // The next line of output without its end; "" if none came in time or the output ended.
  std::string line(std::chrono::milliseconds patience = std::chrono::seconds(20));
  void say(const std::string& text);          // writes a line
  std::string ask(const std::string& text) {  // writes a line, reads one
    say(text);
    return line();
  }
  // Sends the signal and waits for the end: the exit status, or minus the number of the signal that ended it.
  int end(int signal);
  int wait();

 private:
  int pid_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string buffer_;
};

}  // namespace sealcast::wire
