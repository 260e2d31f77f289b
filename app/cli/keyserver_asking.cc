#include "app/cli/keyserver_asking.h"

#include <unistd.h>

namespace sealcast::cli {

std::optional<Asking> keyserver_at(const std::string& command, const std::string& socket, bool json, int& code) {
  Asking asking{.socket = socket, .json = json};
  // A gateway answers for the key server embedded in it.
  for (const char* usual : {usual_keyserver_socket, usual_gateway_socket})
    if (asking.socket.empty() && ::access(usual, F_OK) == 0) asking.socket = usual;
  if (!asking.socket.empty()) return asking;
  code = complain(command, app::ExitCode::unreachable,
                  std::string("no key server here: neither ") + usual_keyserver_socket + " nor " +
                      usual_gateway_socket + " exists; start one, or give --socket with its admin_socket");
  return std::nullopt;
}

}  // namespace sealcast::cli
