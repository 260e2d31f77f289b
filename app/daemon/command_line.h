// The command line that all daemons share: -c FILE, --version, --help.
#pragma once

#include <functional>
#include <string>

namespace sealcast::daemon {

// Calls run with the configuration file's path and returns its exit code; for a wrong command line explains on standard
// error and returns ExitCode::usage.
int run_with_configuration(int argc, char** argv, const std::string& program, const std::string& description,
                           const std::function<int(const std::string& file)>& run);

}  // namespace sealcast::daemon
