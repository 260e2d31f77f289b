// sealcast: the operator's tool.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "app/cli/commands.h"
#include "app/cli/table.h"
#include "app/exit_code.h"

int main(int argc, char** argv) {
  using namespace sealcast::cli;
  using sealcast::app::ExitCode;
  CLI::App app("Operates Sealcast: makes certificates, checks configuration files, shows what the daemons do.",
               "sealcast");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("sealcast ") + SEALCAST_VERSION);
  Command chosen;
  const Choose choose = [&chosen](Command command) { chosen = std::move(command); };
  add_pki(app, choose);
  add_passwd(app, choose);
  add_check(app, choose);
  add_status(app, choose);
  add_keyserver_commands(app, choose);
  add_plane(app, choose);
  add_audit(app, choose);
  add_trace(app, choose);
  app.add_subcommand("version", "Say which version this is")->callback([&chosen] {
    chosen = [] {
      std::printf("sealcast %s\n", SEALCAST_VERSION);
      return ExitCode::ok;
    };
  });
  // CLI11 would say that a command is missing.
  const auto commands = std::as_const(app).get_subcommands(nullptr);
  const auto is_asked_for = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && std::none_of(commands.begin(), commands.end(), is_asked_for)) {
    std::string all;
    for (const CLI::App* command : commands)
      all += (all.empty() ? "" : ", ") + command->get_name();
    std::fprintf(stderr, "sealcast: expected one of the commands %s; got \"%s\"\n", all.c_str(),
                 sealcast::cli::clean(argv[1]).c_str());
    return ExitCode::usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11 has no other way to report
    return app.exit(error) == 0 ? ExitCode::ok : ExitCode::usage;
  }
  const int code = chosen ? chosen() : ExitCode::usage;
  // An answer that was not written (a full disk behind a redirection) is no success.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fprintf(stderr, "sealcast: cannot write the output: %s\n", std::strerror(errno));
    return code == ExitCode::ok ? ExitCode::failed : code;
  }
  return code;
}
