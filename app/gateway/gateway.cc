#include "app/gateway/gateway.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <asio/steady_timer.hpp>
#include <cctype>
#include <filesystem>

#include "app/daemon/keyserver_commands.h"
#include "app/gateway/drop_watch.h"
#include "app/gateway/key_export.h"
#include "app/gateway/neighbour_watch.h"
#include "app/gateway/reload_check.h"
#include "app/gateway/trace.h"
#include "controlplane/admin/admin_server.h"
#include "controlplane/admin/commands.h"
#include "controlplane/admin/plane_answers.h"
#include "controlplane/keyserver/key_server.h"
#include "controlplane/member/member_agent.h"
#include "controlplane/pki/inspect.h"
#include "dataplane/dpdk/gateway.h"
#include "dataplane/dpdk/telemetry.h"

namespace sealcast::gateway {
namespace {

void log_line(dataplane::LogLevel level, std::string_view text) {
  switch (level) {
    case dataplane::LogLevel::debug:
      return spdlog::debug("data plane: {}", text);
    case dataplane::LogLevel::info:
      return spdlog::info("data plane: {}", text);
    case dataplane::LogLevel::warning:
      return spdlog::warn("data plane: {}", text);
    case dataplane::LogLevel::error:
      return spdlog::error("data plane: {}", text);
  }
}

// The host interface passes packets of the configured key servers, by address, and of the one in this process.
dataplane::HostOptions host_options(const config::GatewayConfig& config) {
  const config::HostInterfaceConfig& given = *config.black.host;
  dataplane::HostOptions out{given.interface, given.address, given.prefix_length, {}, {}};
  for (const auto& group : config.member.groups)
    for (const auto& server : group.keyservers)
      if (const auto address = IpAddress::parse(server.host)) out.remote.push_back({*address, server.port});
  if (config.keyserver)
    for (const auto& listen : {config.keyserver->listen, config.keyserver->listen_isakmp})
      if (listen) out.local.push_back({listen->address, listen->port});
  return out;
}

bool known_server(const config::GatewayConfig& config, const config::HostPort& server) {
  return std::any_of(config.member.groups.begin(), config.member.groups.end(), [&](const auto& group) {
    return std::find(group.keyservers.begin(), group.keyservers.end(), server) != group.keyservers.end();
  });
}

// A folder name made from the admin socket's path, which is unique to this gateway on its machine.
std::string telemetry_name(const std::string& admin_socket) {
  std::string name = "sealcast-" + std::filesystem::path(admin_socket).stem().string();
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-') c = '_';
  return name.substr(0, 48);
}

// The member's name: the certificate's, else the first group's user.
std::string own_name(const config::MemberConfig& member) {
  if (!member.certificate.empty())
    if (const auto pem = config::read_pem(member.certificate, "certificate"))
      if (std::string name = pki::first_name(*pem); !name.empty()) return name;
  const auto user = std::find_if(member.groups.begin(), member.groups.end(),
                                 [](const config::MemberGroup& group) { return !group.user.empty(); });
  return user == member.groups.end() ? "gateway" : user->user;
}

dataplane::GatewayOptions options(const config::GatewayConfig& config) {
  dataplane::GatewayOptions out;
  out.red = {config.red.device, static_cast<std::uint16_t>(config.red.mtu)};
  out.black = {config.black.device, static_cast<std::uint16_t>(config.black.mtu)};
  out.red_address6 = config.red.address6;
  out.reassemble = config.black.reassemble;
  out.workers = config.workers;
  out.spread = config.spread;
  out.cores = config.cores;
  out.engine = std::string(config::name(config.engine));
  out.memory_mb = config.memory_mb;
  out.idle_nap_us = config.idle_nap_us;
  if (config.telemetry) out.telemetry = telemetry_name(config.admin_socket);
  out.local_red_sources = config.red.local_sources;
  out.mark_red = true;
  out.learn_sources = config.red.learn_sources;
  if (config.red.beacon.enabled) {
    const std::string name = own_name(config.member);
    out.beacon = {.name = name,
                  .site = config.member.site.value_or(name),
                  .ignored = config.red.beacon.ignored,
                  .vlans = config.red.beacon.vlans};
  }
  out.bypass = with_defaults(config.bypass);
  out.black_address4 = config.black.address4;
  out.black_address6 = config.black.address6;
  if (config.black.host) out.black_host = host_options(config);
  out.log = log_line;
  return out;
}

}  // namespace

struct Gateway::State {
  State(asio::io_context& loop, config::GatewayConfig file, std::string name)
      : io(loop), config(std::move(file)), version(std::move(name)) {}

  asio::io_context& io;
  config::GatewayConfig config;
  std::string version;
  // Destroyed in reverse order: an object that calls another stands below it.
  std::unique_ptr<dataplane::GatewayDataPlane> data_plane;
  std::unique_ptr<KeyExport> key_export;
  std::unique_ptr<keyserver::AuditTrail> audit_trail;
  std::unique_ptr<keyserver::KeyServer> key_server;
  std::unique_ptr<member::MemberAgent> agent;
  std::unique_ptr<admin::AdminServer> admin;
  DropWatch drop_watch{config.red.device, config.black.mtu};
  NeighbourWatch neighbour_watch;
  asio::steady_timer drop_timer{io};
  bool stopping = false;

  DataPlaneControl& control() { return key_export ? *key_export : data_plane->control(); }

  void watch_drops() {
    if (stopping) return;
    auto statistics = data_plane->control().statistics();
    for (const auto& line : drop_watch.look(statistics))
      spdlog::warn("{}", line);
    for (const auto& line : neighbour_watch.look(statistics.red_segment))
      line.alarm ? spdlog::warn("alarm: {}", line.text) : spdlog::info("{}", line.text);
    if (config.telemetry) dataplane::publish_telemetry(std::move(statistics));
    drop_timer.expires_after(std::chrono::seconds(1));
    drop_timer.async_wait([this](const asio::error_code& error) {
      if (!error) watch_drops();
    });
  }

  admin::GatewayStatus status(bool all) {
    admin::GatewayStatus out{
        .version = version, .agent = agent->status(), .dataplane = admin::plane_status(control().statistics(), all)};
    if (key_server) out.keyserver = key_server->status();
    return out;
  }

  // Before it starts.
  void answer_admin() {
    using namespace admin;
    if (key_server) daemon::handle_keyserver_commands(*admin, *key_server, audit_trail.get());
    answer<StatusRequest>(*admin, [this](const StatusRequest& request) { return status(request.all); });
    answer<PortsRequest>(*admin, [this](const PortsRequest&) { return PortsAnswer{control().statistics()}; });
    answer<TopRequest>(*admin, [this](const TopRequest&) { return TopAnswer{control().statistics()}; });
    answer<SasRequest>(*admin,
                       [this](const SasRequest& request) { return sas_answer(control().statistics(), request); });
    answer<GroupsRequest>(*admin, [this](const GroupsRequest&) {
      PlaneGroups groups{control().statistics()};
      if (key_server) groups.keyserver = key_server->groups();
      return groups;
    });
    answer<WhatIfRequest>(*admin, [this](const WhatIfRequest& request) -> Result<WhatIfAnswer> {
      const auto question = question_of(request);
      if (!question) return tl::unexpected(question.error());
      return data_plane->what_if(*question).map([](const auto& answer) { return answer_of(answer); });
    });
    answer<DropsRequest>(*admin, [this](const DropsRequest& request) {
      return answer_of(data_plane->drop_samples(further_of(request)));
    });
  }
};

Gateway::Gateway(asio::io_context& io, config::GatewayConfig config, std::string version)
    : state_(std::make_unique<State>(io, std::move(config), std::move(version))) {}

Gateway::~Gateway() = default;

Result<void> Gateway::start() {
  auto& s = *state_;

  auto data_plane = dataplane::GatewayDataPlane::create(options(s.config));
  if (!data_plane) return tl::unexpected(data_plane.error());
  s.data_plane = std::move(*data_plane);

  if (s.config.export_keys) {
    auto exporter = KeyExport::open(*s.config.export_keys, s.data_plane->control());
    if (!exporter) return tl::unexpected(exporter.error());
    s.key_export = std::move(*exporter);
  }

  // Before the agent, so that its first attempt finds the key server listening.
  if (s.config.keyserver) {
    auto trail = daemon::open_audit_trail(*s.config.keyserver);
    if (!trail) return tl::unexpected(trail.error());
    s.audit_trail = std::move(*trail);
    s.key_server = std::make_unique<keyserver::KeyServer>(s.io, *s.config.keyserver);
    if (auto started = s.key_server->start(); !started) return started;
  }

  // Policy is in force before any port can receive (H10).
  s.agent = std::make_unique<member::MemberAgent>(s.io, member::MemberSettings{s.config.member, s.config.state, {}},
                                                  s.control());
  if (auto started = s.agent->start(); !started) return started;

  if (auto started = s.data_plane->start(); !started) return started;

  s.watch_drops();

  s.admin = std::make_unique<admin::AdminServer>(s.io, s.config.admin_socket);
  s.answer_admin();
  return s.admin->start();
}

Result<void> Gateway::reload(const config::GatewayConfig& config) {
  auto& s = *state_;
  if (config.keyserver.has_value() != (s.key_server != nullptr))
    return fail(std::string("keyserver.embedded can't change while the gateway runs; restart it"));
  // The host interface's filter is fixed when it is made.
  if (s.config.black.host)
    for (const config::MemberGroup& group : config.member.groups)
      for (const auto& server : group.keyservers)
        if (!known_server(s.config, server))
          return fail("group \"" + group.id + "\": the host interface does not know the key server " + server.text() +
                      "; restart the gateway. Nothing was taken over");
  if (auto good = check_against_bypass(s.config.bypass, config.member.groups); !good)
    return fail(good.error().message + ". Nothing was taken over");
  if (s.key_server)
    if (auto taken = s.key_server->reload(*config.keyserver); !taken) return taken;
  auto taken = s.agent->reload(config.member);
  if (taken) s.config.member = config.member;
  return taken;
}

void Gateway::stop() {
  auto& s = *state_;
  s.stopping = true;
  s.drop_timer.cancel();
  if (s.admin) s.admin->stop();
  if (s.agent) s.agent->stop();
  if (s.key_server) s.key_server->stop();
  if (s.data_plane) s.data_plane->stop();
}

}  // namespace sealcast::gateway
