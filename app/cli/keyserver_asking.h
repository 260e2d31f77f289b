// How the commands for a key server ask it: at the given socket or, without one, at the first usual one.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "app/exit_code.h"

namespace sealcast::cli {

struct KeyserverAnswer {
  int code = app::ExitCode::ok;  // not ok: the reason is on standard error already
  nlohmann::json value;          // an object
};

// command: for messages.
KeyserverAnswer ask_keyserver(const std::string& command, const std::string& socket, const nlohmann::json& request);

// "sealcast COMMAND: WHY" on standard error; returns code.
int complain(const std::string& command, int code, const std::string& why);

}  // namespace sealcast::cli
