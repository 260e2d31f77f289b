// The client of AdminServer, for the command line tool: blocking, with one deadline for all steps.
#pragma once

#include <chrono>
#include <string>

#include "base/result.h"

namespace sealcast::admin {

// Sends one request line to the daemon behind the UNIX socket at path and returns its one answer line, without the
// newline. Errors name the path and the remedy: no such socket, no daemon behind it, permission, deadline passed.
Result<std::string> ask(const std::string& path, const std::string& request_json, std::chrono::milliseconds deadline);

}  // namespace sealcast::admin
