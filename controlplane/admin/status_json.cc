#include "controlplane/admin/status_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace sealcast::admin {
namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json value_of(const DataPlaneStatistics& statistics) {
  Json ports = Json::array();
  for (const PortStatistics& port : statistics.ports)
    ports.push_back({{"name", port.name},
                     {"device", port.device},
                     {"link_up", port.link_up},
                     {"rx_packets", port.rx_packets},
                     {"rx_bytes", port.rx_bytes},
                     {"tx_packets", port.tx_packets},
                     {"tx_bytes", port.tx_bytes},
                     {"tx_dropped", port.tx_dropped}});
  Json sas = Json::array();
  for (const SaStatistics& sa : statistics.sas)
    sas.push_back({{"group", sa.group_id},
                   {"epoch", sa.epoch},
                   {"spi", fmt::format("0x{:08x}", sa.spi)},
                   {"direction", sa.outbound ? "out" : "in"},
                   {"active", sa.active},
                   {"packets", sa.packets},
                   {"bytes", sa.bytes},
                   {"next_number", sa.next_number},
                   {"replays", sa.replays},
                   {"bad_tags", sa.bad_tags}});
  Json bypass = Json::array();
  for (const BypassStatistics& rule : statistics.bypass)
    bypass.push_back({{"rule", rule.rule},
                      {"direction", rule.direction},
                      {"passed", rule.passed},
                      {"passed_bytes", rule.passed_bytes},
                      {"rate_limited", rule.rate_limited},
                      {"looped", rule.looped},
                      {"last_loop", rule.last_loop}});
  Json drops = Json::array();
  for (const DropCount& drop : statistics.drops)
    drops.push_back({{"reason", drop.reason}, {"packets", drop.packets}});
  return {{"engine", statistics.engine},     {"sealed", statistics.sealed}, {"opened", statistics.opened},
          {"bypassed", statistics.bypassed}, {"ports", std::move(ports)},   {"sas", std::move(sas)},
          {"bypass", std::move(bypass)},     {"drops", std::move(drops)}};
}

Json parsed(const std::string& json) {
  Json value = Json::parse(json, nullptr, false);
  return value.is_discarded() ? Json() : value;
}

}  // namespace

std::string to_json(const DataPlaneStatistics& statistics) {
  return text(value_of(statistics));
}

std::string gateway_status(const std::string& version, const std::string& agent_json,
                           const DataPlaneStatistics& statistics, const std::string& keyserver_json) {
  Json status{
      {"daemon", "gateway"}, {"version", version}, {"agent", parsed(agent_json)}, {"dataplane", value_of(statistics)}};
  if (!keyserver_json.empty()) status["keyserver"] = parsed(keyserver_json);
  return text(status);
}

}  // namespace sealcast::admin
