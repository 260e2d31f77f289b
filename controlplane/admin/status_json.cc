#include "controlplane/admin/status_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sealcast::admin {
namespace {

using OrderedJson = nlohmann::ordered_json;

std::string text(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

double seconds_of(SteadyTime when) {
  return std::chrono::duration<double>(when.time_since_epoch()).count();
}

template <typename T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson();
}

OrderedJson list_of(const std::vector<DropCount>& counts) {
  OrderedJson list = OrderedJson::array();
  for (const DropCount& count : counts)
    list.push_back({{"reason", count.reason}, {"packets", count.packets}});
  return list;
}
OrderedJson map_of(const std::vector<DropCount>& counts) {
  OrderedJson map = OrderedJson::object();
  for (const DropCount& count : counts)
    map[count.reason] = count.packets;
  return map;
}

OrderedJson ports_of(const DataPlaneStatistics& statistics) {
  OrderedJson ports = OrderedJson::array();
  for (const PortStatistics& port : statistics.ports)
    ports.push_back({{"name", port.name},
                     {"device", port.device},
                     {"link_up", port.link_up},
                     {"rx_packets", port.rx_packets},
                     {"rx_bytes", port.rx_bytes},
                     {"tx_packets", port.tx_packets},
                     {"tx_bytes", port.tx_bytes},
                     {"tx_dropped", port.tx_dropped}});
  return ports;
}

OrderedJson value_of(const SenderEstimate& sender) {
  return {{"first", sender.first},
          {"last", sender.last},
          {"lost", sender.lost},
          {"missing", sender.missing},
          {"reordered", sender.reordered},
          {"reorder_sum", sender.reorder_sum},
          {"reorder_max", sender.reorder_max},
          {"duplicates", sender.duplicates},
          {"late", sender.late},
          {"silent_s", or_null(sender.silent_s)}};
}

// Slots derived ahead and not used yet: dozens for each epoch of a receiver, with nothing to report.
bool without_packets(const SaStatistics& sa) {
  return !sa.outbound && sa.packets == 0 && sa.replays == 0 && sa.bad_tags == 0 && sa.drops.empty();
}

std::size_t count_without_packets(const DataPlaneStatistics& statistics, std::string_view group = {}) {
  return static_cast<std::size_t>(std::count_if(statistics.sas.begin(), statistics.sas.end(), [&](const auto& sa) {
    return without_packets(sa) && (group.empty() || sa.group_id == group);
  }));
}

OrderedJson sas_of(const DataPlaneStatistics& statistics, bool all, std::string_view group = {}) {
  OrderedJson sas = OrderedJson::array();
  for (const SaStatistics& sa : statistics.sas) {
    if ((!group.empty() && sa.group_id != group) || (!all && without_packets(sa))) continue;
    OrderedJson value{{"group", sa.group_id},
                      {"epoch", sa.epoch},
                      {"spi", fmt::format("0x{:08x}", sa.spi)},
                      {"worker", sa.worker},
                      {"direction", sa.outbound ? "out" : "in"},
                      {"active", sa.active},
                      {"packets", sa.packets},
                      {"bytes", sa.bytes},
                      {"next_number", sa.next_number},
                      {"replays", sa.replays},
                      {"bad_tags", sa.bad_tags},
                      {"drops", map_of(sa.drops)}};
    if (sa.sender) value["sender"] = value_of(*sa.sender);
    sas.push_back(std::move(value));
  }
  return sas;
}

OrderedJson groups_of(const DataPlaneStatistics& statistics) {
  OrderedJson groups = OrderedJson::array();
  for (const GroupStatistics& group : statistics.groups)
    groups.push_back({{"group", group.group_id},
                      {"active_epoch", or_null(group.active_epoch)},
                      {"epochs", group.epochs},
                      {"senders", group.senders},
                      {"sealed", group.sealed},
                      {"sealed_bytes", group.sealed_bytes},
                      {"opened", group.opened},
                      {"opened_bytes", group.opened_bytes},
                      {"lost", group.lost},
                      {"reordered", group.reordered},
                      {"duplicates", group.duplicates},
                      {"late", group.late},
                      {"silent_s", or_null(group.silent_s)},
                      {"drops", map_of(group.drops)}});
  return groups;
}

OrderedJson workers_of(const DataPlaneStatistics& statistics) {
  OrderedJson workers = OrderedJson::array();
  for (const WorkerStatistics& worker : statistics.workers)
    workers.push_back({{"worker", worker.index},
                       {"sealed", worker.sealed},
                       {"sealed_bytes", worker.sealed_bytes},
                       {"opened", worker.opened},
                       {"opened_bytes", worker.opened_bytes},
                       {"bypassed", worker.bypassed},
                       {"bypassed_bytes", worker.bypassed_bytes},
                       {"drops", map_of(worker.drops)}});
  return workers;
}

OrderedJson bypass_of(const DataPlaneStatistics& statistics) {
  OrderedJson bypass = OrderedJson::array();
  for (const BypassStatistics& rule : statistics.bypass)
    bypass.push_back({{"rule", rule.rule},
                      {"direction", rule.direction},
                      {"passed", rule.passed},
                      {"passed_bytes", rule.passed_bytes},
                      {"rate_limited", rule.rate_limited},
                      {"looped", rule.looped},
                      {"last_loop", rule.last_loop}});
  return bypass;
}

// Counts packets that took a special path and went on.
void add_detours(OrderedJson& to, const DataPlaneStatistics& statistics) {
  to["cut"] = statistics.cut;
  to["reassembled"] = statistics.reassembled;
  to["parked"] = statistics.parked;
  to["spread_waits"] = statistics.spread_waits;
}

OrderedJson value_of(const DataPlaneStatistics& statistics) {
  OrderedJson value{{"taken_s", seconds_of(statistics.taken)},
                    {"engine", statistics.engine},
                    {"sealed", statistics.sealed},
                    {"opened", statistics.opened},
                    {"bypassed", statistics.bypassed},
                    {"ports", ports_of(statistics)},
                    {"groups", groups_of(statistics)},
                    {"sas", sas_of(statistics, false)},
                    {"sas_unheard", count_without_packets(statistics)},
                    {"workers", workers_of(statistics)},
                    {"bypass", bypass_of(statistics)},
                    {"drops", list_of(statistics.drops)},
                    {"events_lost", map_of(statistics.events_lost)}};
  add_detours(value, statistics);
  return value;
}

OrderedJson parsed(const std::string& json) {
  OrderedJson value = OrderedJson::parse(json, nullptr, false);
  return value.is_discarded() ? OrderedJson() : value;
}

}  // namespace

std::string to_json(const DataPlaneStatistics& statistics) {
  return text(value_of(statistics));
}

std::string gateway_status(const std::string& version, const std::string& agent_json,
                           const DataPlaneStatistics& statistics, const std::string& keyserver_json) {
  OrderedJson status{
      {"daemon", "gateway"}, {"version", version}, {"agent", parsed(agent_json)}, {"dataplane", value_of(statistics)}};
  if (!keyserver_json.empty()) status["keyserver"] = parsed(keyserver_json);
  return text(status);
}

std::string gateway_part(const DataPlaneStatistics& statistics, const std::string& request_json,
                         const std::string& keyserver_json) {
  const OrderedJson request = parsed(request_json);
  const auto word = [&](const char* key) {
    const auto found = request.is_object() ? request.find(key) : request.end();
    return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const std::string part = word("command");
  OrderedJson answer{{"daemon", "gateway"}, {"taken_s", seconds_of(statistics.taken)}};
  if (part == "ports" || part == "top") {
    answer["ports"] = ports_of(statistics);
    answer["drops"] = list_of(statistics.drops);
    answer["workers"] = workers_of(statistics);
    add_detours(answer, statistics);
    if (part == "top") answer["groups"] = groups_of(statistics);
  } else if (part == "groups") {
    answer["groups"] = groups_of(statistics);
    if (!keyserver_json.empty()) answer["keyserver"] = parsed(keyserver_json);
  } else if (part == "sas") {
    const std::string group = word("group");
    const auto& all = statistics.groups;
    const auto same = [&](const GroupStatistics& one) { return one.group_id == group; };
    if (!group.empty() && std::none_of(all.begin(), all.end(), same))
      return text({{"error", "this gateway has no group \"" + group + "\""}});
    const bool with_all = request.is_object() && request.contains("all") && request["all"] == true;
    answer["sas"] = sas_of(statistics, with_all, group);
    if (!with_all) answer["sas_unheard"] = count_without_packets(statistics, group);
  } else {
    return text({{"error", "expected the command ports, groups, sas or top, got \"" + part + "\""}});
  }
  return text(answer);
}

}  // namespace sealcast::admin
