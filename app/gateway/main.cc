// sealcast-gateway: turns plain multicast into ESP and back, keyed by the key server of each group.
#include <spdlog/spdlog.h>

#include <asio/io_context.hpp>
#include <string>

#include "app/daemon/command_line.h"
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
  const auto reload = [&file, &gateway] {
    const auto again = sealcast::config::load_gateway_config(file);
    for (const auto& problem : again.errors)
      spdlog::error("reload refused: {}", problem.text());
    if (!again.ok()) return;
    if (auto taken = gateway.reload(*again.value); !taken) {
      spdlog::error("reload refused: {}", taken.error().message);
      return;
    }
    spdlog::info(
        "{} was read again: the groups{}; certificates and revocation lists are read at every connection, anything "
        "else "
        "needs a restart",
        file, again.value->keyserver ? ", and the embedded key server" : "");
  };
  sealcast::daemon::Lifecycle lifecycle(
      io, [&gateway] { gateway.stop(); }, reload);
  spdlog::info("sealcast-gateway {} is running", SEALCAST_VERSION);
  lifecycle.run();
  return ExitCode::ok;
}

}  // namespace

int main(int argc, char** argv) {
  return sealcast::daemon::run_with_configuration(
      argc, argv, "sealcast-gateway",
      "Sealcast gateway: encrypts and decrypts multicast between a red and a black network.", run);
}
