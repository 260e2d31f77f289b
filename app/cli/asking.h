// What all commands that ask a running daemon share: which socket, how long to wait, how to report a failure.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "app/exit_code.h"
#include "controlplane/admin/messages.h"

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace sealcast::cli {

// Where docs/configuration.md puts the daemons' sockets.
inline constexpr const char* usual_gateway_socket = "/run/sealcast/gateway.sock";
inline constexpr const char* usual_keyserver_socket = "/run/sealcast/keyserver.sock";

// How to ask one daemon.
struct Asking {
  std::string socket = usual_gateway_socket;
  bool json = false;
  double timeout_s = 3;
};
// Adds the options of a command that asks one gateway.
void add_asking(CLI::App& command, Asking& asking);

// A number of seconds from least to most; refuses "nan", which passes every comparison.
CLI::Validator seconds_range(double least, double most);

// "sealcast COMMAND: WHY" on standard error; returns code.
int complain(const std::string& command, int code, const std::string& why);

// The daemon's answer line, or nothing: then standard error has the reason and code is the exit code
// (docs/operator.md).
std::optional<std::string> ask_line(const Asking& asking, const std::string& command, const std::string& request,
                                    int& code);

// "COMMAND: the daemon does not tell …": figures that a daemon of another version leaves out are 0 in its answer.
void warn_of_untold(const std::string& command, const Asking& asking, const admin::Names& untold);

template <typename Request>
struct Asked {
  std::string line;  // the daemon's own JSON
  typename Request::Answer value;
};

// Nothing as above, also for an answer that is an error or none of this kind. command: for messages.
template <typename Request>
std::optional<Asked<Request>> ask(const Asking& asking, const std::string& command, const Request& request, int& code) {
  auto line = ask_line(asking, command, admin::request_json(request), code);
  if (!line) return std::nullopt;
  auto read = admin::read_answer<Request>(*line);
  if (!read) {
    code = complain(command, app::ExitCode::failed, asking.socket + ": " + read.error().message);
    return std::nullopt;
  }
  if (!asking.json) warn_of_untold(command, asking, read->untold);
  return Asked<Request>{std::move(*line), std::move(read->value)};
}

}  // namespace sealcast::cli
