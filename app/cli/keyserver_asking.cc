#include "app/cli/keyserver_asking.h"

#include <unistd.h>

#include <cstdio>

#include "app/cli/asking.h"
#include "app/cli/table.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;
using nlohmann::json;

// A gateway answers for the key server embedded in it.
constexpr const char* usual_sockets[] = {usual_keyserver_socket, usual_gateway_socket};

}  // namespace

int complain(const std::string& command, int code, const std::string& why) {
  std::fprintf(stderr, "sealcast %s: %s\n", command.c_str(), why.c_str());
  return code;
}

KeyserverAnswer ask_keyserver(const std::string& command, const std::string& named, const json& request) {
  std::string socket = named;
  for (const char* usual : usual_sockets)
    if (socket.empty() && ::access(usual, F_OK) == 0) socket = usual;
  if (socket.empty())
    return {complain(command, ExitCode::unreachable,
                     std::string("no key server here: neither ") + usual_sockets[0] + " nor " + usual_sockets[1] +
                         " exists; start one, or give --socket with its admin_socket"),
            {}};
  const Asking asking{.socket = socket};
  int code = ExitCode::ok;
  const auto text =
      ask_daemon(asking, command.c_str(), request.dump(-1, ' ', false, json::error_handler_t::replace), code);
  if (!text) return {code, {}};
  json value = json::parse(*text, nullptr, false);
  if (!value.is_object()) return {complain(command, ExitCode::failed, socket + ": expected a JSON object"), {}};
  if (const auto error = value.find("error"); error != value.end() && error->is_string())
    return {complain(command, ExitCode::failed, socket + ": " + clean(error->get<std::string>())), {}};
  return {ExitCode::ok, std::move(value)};
}

}  // namespace sealcast::cli
