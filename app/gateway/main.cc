// sealcast-gateway: turns plain multicast into ESP and back, keyed by the key server of each group.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <asio/io_context.hpp>
#include <cstdio>
#include <string>

#include "app/daemon/daemon.h"
#include "app/exit_code.h"
#include "app/gateway/gateway.h"
#include "controlplane/config/config.h"

namespace {

using sealcast::app::ExitCode;

int run(const std::string& file) {
  if (auto prepared = sealcast::daemon::prepare("sealcast-gateway"); !prepared) {
    spdlog::error("{}", prepared.error().message);
    return ExitCode::failed;
  }
  auto loaded = sealcast::config::load_gateway_config(file);
  for (const auto& problem : loaded.errors)
    spdlog::error("{}", problem.text());
  for (const auto& warning : loaded.warnings)
    spdlog::warn("{}", warning.text());
  if (!loaded.ok()) return ExitCode::bad_configuration;

  asio::io_context io(1);
  sealcast::gateway::Gateway gateway(io, std::move(*loaded.value), SEALCAST_VERSION);
  if (auto started = gateway.start(); !started) {
    spdlog::error("{}", started.error().message);
    return ExitCode::failed;
  }
  const auto reload = [&file] {
    const auto again = sealcast::config::load_gateway_config(file);
    for (const auto& problem : again.errors)
      spdlog::error("reload refused: {}", problem.text());
    if (again.ok()) {
      spdlog::warn(
          "{} is valid; certificates and revocation lists are read at every connection, anything else needs a restart",
          file);
    }
  };
  sealcast::daemon::Lifecycle lifecycle(
      io, [&gateway] { gateway.stop(); }, reload);
  spdlog::info("sealcast-gateway {} is running", SEALCAST_VERSION);
  lifecycle.run();
  return ExitCode::ok;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Sealcast gateway: encrypts and decrypts multicast between a red and a black network.",
               "sealcast-gateway");
  std::string file;
  app.add_option("-c,--config", file, "configuration file (TOML); `sealcast check FILE` validates it")->required();
  app.set_version_flag("--version", std::string("sealcast-gateway ") + SEALCAST_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // the only exception here: CLI11 has no other way to report
    const int code = app.exit(error);
    return code == 0 ? ExitCode::ok : ExitCode::usage;
  }
  return run(file);
}
