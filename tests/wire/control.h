// Commands from outside: one line in, one line out, over a UNIX socket. README.md lists them.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "tests/wire/hub.h"

namespace sealcast::wire {

// Executes one command line and returns the answer without its line end: "ok", "error: …" or, for stats, one line of
// JSON.
std::string answer(Hub& hub, const std::string& line);

// Listens until destroyed; any number of clients, one thread of its own. hub outlives it.
class ControlSocket {
 public:
  static Result<std::unique_ptr<ControlSocket>> listen(const std::string& path, Hub& hub);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

 private:
  struct State;
  explicit ControlSocket(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::wire
