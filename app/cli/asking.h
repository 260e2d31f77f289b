// What all commands that ask a running daemon share: which socket, how long to wait, how to report a failure.
#pragma once

#include <optional>
#include <string>

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace sealcast::cli {

// Where docs/configuration.md puts the daemons' sockets.
inline constexpr const char* usual_gateway_socket = "/run/sealcast/gateway.sock";
inline constexpr const char* usual_keyserver_socket = "/run/sealcast/keyserver.sock";

// A command that asks one gateway.
struct Asking {
  std::string socket = usual_gateway_socket;
  bool json = false;
  double timeout_s = 3;
};
void add_asking(CLI::App& command, Asking& asking);

// A number of seconds from least to most; refuses "nan", which passes every comparison.
CLI::Validator seconds_range(double least, double most);

// The answer, or nothing: then standard error has the reason and code is the exit code (docs/operator.md).
std::optional<std::string> ask_daemon(const Asking& asking, const char* command, const std::string& request, int& code);

}  // namespace sealcast::cli
