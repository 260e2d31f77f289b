// sealcast-keyserver: makes the group keys and hands them to members by the modified TLS handshake.
#include <spdlog/spdlog.h>

#include <asio/io_context.hpp>
#include <string>

#include "app/daemon/command_line.h"
#include "app/daemon/daemon.h"
#include "app/daemon/keyserver_commands.h"
#include "app/exit_code.h"
#include "controlplane/admin/commands.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/key_server.h"

namespace {

using sealcast::app::ExitCode;
using sealcast::config::KeyserverConfig;

// The configuration; nothing once every problem is logged.
std::optional<KeyserverConfig> load(const std::string& file, const std::string& context) {
  auto loaded = sealcast::config::load_keyserver_config(file);
  for (const auto& problem : loaded.errors)
    spdlog::error("{}{}", context, problem.text());
  for (const auto& warning : loaded.warnings)
    spdlog::warn("{}{}", context, warning.text());
  return std::move(loaded.value);
}

// With the daemon's name and version.
template <typename Status>
Status answer(Status status) {
  status.daemon = "keyserver";
  status.version = SEALCAST_VERSION;
  return status;
}

// "port 7400", "port 7400 and 7500 (ISAKMP)", "port 7500 (ISAKMP)"
std::string ports(const sealcast::keyserver::KeyServer& server) {
  const std::uint16_t isakmp = server.port(sealcast::config::Carriage::isakmp);
  std::string out = "port ";
  if (server.port() != 0) out += std::to_string(server.port());
  if (isakmp != 0) out += (server.port() != 0 ? " and " : "") + std::to_string(isakmp) + " (ISAKMP)";
  return out;
}

int run(const std::string& file) {
  if (auto prepared = sealcast::daemon::prepare("sealcast-keyserver"); !prepared) {
    spdlog::error("{}", prepared.error().message);
    return ExitCode::failed;
  }
  auto config = load(file, "");
  if (!config) return ExitCode::bad_configuration;

  auto trail = sealcast::daemon::open_audit_trail(*config);
  if (!trail) {
    spdlog::error("{}", trail.error().message);
    return ExitCode::failed;
  }
  asio::io_context io(1);
  sealcast::keyserver::KeyServer server(io, *config);
  if (auto started = server.start(); !started) {
    spdlog::error("{}", started.error().message);
    return ExitCode::failed;
  }
  sealcast::admin::AdminServer admin(io, config->admin_socket.value_or(""));
  using sealcast::admin::GroupsRequest;
  using sealcast::admin::StatusRequest;
  sealcast::admin::answer<StatusRequest>(admin, [&server](const StatusRequest&) { return answer(server.status()); });
  sealcast::admin::answer<GroupsRequest>(admin, [&server](const GroupsRequest&) { return answer(server.groups()); });
  sealcast::daemon::handle_keyserver_commands(admin, server, trail->get());
  if (auto started = admin.start(); !started) {
    spdlog::error("{}", started.error().message);
    return ExitCode::failed;
  }
  const auto stop = [&] {
    admin.stop();
    server.stop();
  };
  const auto reload = [&] {
    const auto again = load(file, "reload refused: ");
    if (!again) return;
    if (auto taken = server.reload(*again); !taken)
      spdlog::error("reload refused: {}", taken.error().message);
    else
      spdlog::info("{} was read again", file);
  };
  sealcast::daemon::Lifecycle lifecycle(io, stop, reload);
  spdlog::info("sealcast-keyserver {} is running, {}", SEALCAST_VERSION, ports(server));
  lifecycle.run();
  return ExitCode::ok;
}

}  // namespace

int main(int argc, char** argv) {
  return sealcast::daemon::run_with_configuration(
      argc, argv, "sealcast-keyserver",
      "Sealcast key server: hands group keys to members over a modified TLS handshake.", run);
}
