// How the commands for a key server ask it: at the given socket or, without one, at the first usual one.
#pragma once

#include <optional>
#include <string>

#include "app/cli/asking.h"

namespace sealcast::cli {

// How to ask the key server at `socket`; empty: at its usual socket or that of the gateway it is embedded in. Nothing
// if there is neither: then standard error has the reason and code is the exit code. command: for messages.
std::optional<Asking> keyserver_at(const std::string& command, const std::string& socket, bool json, int& code);

}  // namespace sealcast::cli
