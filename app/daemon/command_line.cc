#include "app/daemon/command_line.h"

#include <CLI/CLI.hpp>

#include "app/exit_code.h"

namespace sealcast::daemon {

int run_with_configuration(int argc, char** argv, const std::string& program, const std::string& description,
                           const std::function<int(const std::string& file)>& run) {
  CLI::App app(description, program);
  std::string file;
  app.add_option("-c,--config", file, "configuration file (TOML); `sealcast check FILE` validates it")->required();
  app.set_version_flag("--version", program + " " + SEALCAST_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // the only exception here: CLI11 has no other way to report
    return app.exit(error) == 0 ? app::ExitCode::ok : app::ExitCode::usage;
  }
  return run(file);
}

}  // namespace sealcast::daemon
