#include "app/cli/status_text.h"

#include <algorithm>
#include <cmath>

#include "app/cli/answer.h"
#include "app/cli/plane_text.h"

namespace sealcast::cli {
namespace {

void line(std::string& out, const char* title, const std::string& value) {
  if (!value.empty()) out += fmt::format("  {}: {}\n", title, clean(value));
}

// What has passed a threshold, the soonest first.
void validity_lines(std::string& out, std::vector<admin::Validity> validity) {
  std::sort(validity.begin(), validity.end(), [](const auto& a, const auto& b) { return a.left < b.left; });
  for (const admin::Validity& one : validity) {
    if (one.stage.value_or(0) < 50) continue;
    line(out, one.stage == 100 ? "HAS ENDED" : "ends",
         one.stage == 100 ? one.what
                          : fmt::format("{} in {}, {} % of its life are over", one.what, seconds(one.left),
                                        number(one.used_percent)));
  }
}

std::string agent_text(const admin::AgentStatus& agent, const std::vector<SaStatistics>& sas, const StatusView& view) {
  std::string out;
  validity_lines(out, agent.validity);
  for (const admin::AgentGroup& group : agent.groups) {
    out += fmt::format("\ngroup: {}\n", clean(group.group));
    line(out, "state", group.state + (group.why.empty() ? "" : " (" + group.why + ")"));
    line(out, "role", group.role);
    line(out, "key server", group.keyserver + (group.keyserver_id.empty() ? "" : " (" + group.keyserver_id + ")"));
    line(out, "carriage", group.carriage);
    line(out, "member", group.member_id);
    if (group.held) {
      line(out, "epoch",
           fmt::format("{} ({}), id {}", digits(group.held->epoch), group.held->epoch_state, group.held->epoch_id));
      line(out, "remaining", seconds(group.held->remaining));
      line(out, "lease", seconds(group.held->lease_remaining));
      line(out, "clock",
           group.held->clock_error ? fmt::format("known to {:.3f} s", *group.held->clock_error) : "unknown");
    }
    line(out, "alarm", group.alarm);
    if (group.held) line(out, "own SPIs", list(group.held->own_slots));
    line(out, "joins",
         fmt::format("{}, failures {}, rekeys {}", number(group.joins), number(group.failures), number(group.rekeys)));
    std::vector<Table::Column> columns{{"SPI"}, {"direction"}, {"epoch"}, {"active"}};
    for (const auto& figure : sa_figures)
      columns.push_back({figure.title, Align::right});
    Table table(std::move(columns));
    for (const SaStatistics& sa : sas) {
      // Slots that are derived ahead and unused would hide those in use.
      const bool used = sa.packets != 0 || sa.replays != 0 || sa.bad_tags != 0;
      if (sa.group_id != group.group || !(sa.outbound || used || view.all)) continue;
      std::vector<std::string> row{spi_text(sa.spi), sa.outbound ? "out" : "in", std::to_string(sa.epoch),
                                   sa.outbound ? (sa.active ? "yes" : "no") : ""};
      for (const auto& figure : sa_figures)
        row.push_back(shown(figure, sa));
      table.row(std::move(row));
    }
    if (!table.empty()) out += "\n" + table.text(2);
  }
  return out;
}

// "sealed 1,234, opened 89, bypassed 4"
template <typename Text>
std::string plane_line(Text text) {
  std::string out;
  for (const auto& figure : plane_figures)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", figure.title, text(figure));
  return out;
}

std::string plane_text(const DataPlaneStatistics& plane, const DataPlaneStatistics* earlier, const StatusView& view) {
  std::string out = "  engine: " + clean(plane.engine) + "\n";
  line(out, "packets", plane_line([&](const auto& figure) { return shown(figure, plane); }));
  const double between = earlier != nullptr ? seconds_between(plane.taken, earlier->taken) : 0;
  if (between > 0)
    line(out, "packets/s", plane_line([&](const auto& figure) {
           const auto value = rate(plane.*figure.value, earlier->*figure.value, between);
           return value ? packets_rate(*value) : std::string();
         }));
  line(out, "on the way", detours(plane));
  for (const NeighbourStatistics& other : plane.red_segment.neighbours)
    line(out, other.ignored ? "neighbour on red (ignored)" : "alarm, neighbour on red",
         fmt::format("{} (site {}, {}) {}", other.name, other.site, other.mac, other.state));
  line(out, "on red this gateway", plane.red_segment.state);
  line(out, "last source heard on both sides", plane.red_segment.last_moved);
  line(out, "events lost", counters(plane.events_lost));
  const std::string ports = ports_rows({plane, earlier}, 2);
  if (!ports.empty()) out += "\n" + ports;
  std::vector<Table::Column> columns{{"passing in clear"}, {"direction"}};
  for (const auto& figure : bypass_figures)
    columns.push_back({figure.title, Align::right});
  Table bypass(std::move(columns));
  for (const BypassStatistics& rule : plane.bypass) {
    if (!view.all && rule.passed == 0 && rule.rate_limited == 0 && rule.looped == 0) continue;
    std::vector<std::string> row{rule.rule, rule.direction};
    for (const auto& figure : bypass_figures)
      row.push_back(shown(figure, rule));
    bypass.row(std::move(row));
  }
  if (!bypass.empty()) out += "\n" + bypass.text(2);
  Table drops({{"dropped because"}, {"packets", Align::right}});
  for (const DropCount& drop : plane.drops)
    if (view.all || drop.packets != 0) drops.row({drop.reason, count(drop.packets)});
  if (!drops.empty()) out += "\n" + drops.text(2);
  return out;
}

void cluster_lines(std::string& out, const admin::ClusterStatus& cluster) {
  std::string servers;
  for (const auto& peer : cluster.servers)
    servers += (servers.empty() ? "" : ", ") + peer.name + " (" + peer.address +
               (peer.leader.value_or(false) ? ", leader)" : ")");
  line(out, "cluster",
       fmt::format("{}: {}; etcd at revision {}", cluster.name, cluster.state,
                   cluster.revision ? std::to_string(*cluster.revision) : ""));
  line(out, "ALARM", cluster.alarm);
  line(out, "key servers", servers);
  std::string gone;
  for (const auto& peer : cluster.gone)
    gone += (gone.empty() ? "" : ", ") + peer.name + " for " + seconds(peer.gone);
  line(out, "vanished", gone);
}

std::string group_text(const admin::KeyserverGroup& group) {
  std::string out = fmt::format("\ngroup: {}\n", clean(group.group));
  line(out, "selectors", list(group.selectors));
  line(out, "suite",
       fmt::format("{}, variant {}, {}", group.suite, digits(group.variant), group.mode) +
           (group.numbers == "foreign" ? ", foreign numbers" : ""));
  Table epochs({{"epoch"},
                {"state"},
                {"id"},
                {"age", Align::right},
                {"remaining", Align::right},
                {"SPI prefix"},
                {"slots used", Align::right},
                {"holders", Align::right}});
  for (const admin::EpochStatus& epoch : group.epochs)
    epochs.row({digits(epoch.epoch), epoch.state, epoch.epoch_id, seconds(epoch.age), seconds(epoch.remaining),
                epoch.spi_prefix ? spi_text(*epoch.spi_prefix) : "", number(epoch.slots_used), number(epoch.holders)});
  if (!epochs.empty()) out += "\n" + epochs.text(2);
  Table members({{"member"},
                 {"address"},
                 {"carriage"},
                 {"role"},
                 {"joined for", Align::right},
                 {"slots"},
                 {"acknowledged"},
                 {"sealed", Align::right},
                 {"opened", Align::right},
                 {"dropped", Align::right}});
  for (const admin::MemberStatus& member : group.members.value_or(std::vector<admin::MemberStatus>())) {
    const admin::MemberReport report = member.report.value_or(admin::MemberReport());
    members.row({member.member, member.address, member.carriage, member.roles, seconds(member.joined),
                 list(member.slots, 2), digits(member.acknowledged), number(report.sealed), number(report.opened),
                 number(report.dropped)});
  }
  if (!members.empty()) out += "\n" + members.text(2);
  return out;
}

std::string keyserver_text(const admin::KeyserverStatus& server) {
  std::string out = fmt::format("key server: {}\n", clean(server.id));
  line(out, "listening", server.listen);
  line(out, "listening, ISAKMP", server.listen_isakmp);
  line(out, "running for", seconds(server.uptime));
  line(out, "members", number(server.members) + ", connections " + number(server.connections));
  if (server.clock && !server.clock->agrees.value_or(true)) {
    const double apart = server.clock->apart.value_or(0);
    line(out, "ALARM",
         fmt::format("the clock is doubted: it is {} {} what it should be, and newcomers are refused; set it right, or "
                     "say that it is: sealcast clock accept",
                     seconds(std::abs(apart)), apart < 0 ? "behind" : "ahead of"));
  }
  validity_lines(out, server.validity);
  if (server.cluster) cluster_lines(out, *server.cluster);
  const std::string failed = counters(server.handshakes.failed);
  line(out, "handshakes",
       number(server.handshakes.completed) + " completed" + (failed.empty() ? "" : "; failed: " + failed));
  line(out, "refused", counters(server.refused));
  if (server.isakmp)
    line(out, "ISAKMP connections",
         number(server.isakmp->connections) + ", cookies shown " + number(server.isakmp->cookies_shown));
  for (const admin::KeyserverGroup& group : server.groups)
    out += group_text(group);
  return out;
}

}  // namespace

std::string status_text(const admin::StatusRequest::Answer& status, const StatusView& view,
                        const admin::StatusRequest::Answer* earlier) {
  if (const auto* keyserver = std::get_if<admin::KeyserverStatus>(&status)) return keyserver_text(*keyserver);
  const auto& gateway = std::get<admin::GatewayStatus>(status);
  const auto* before = earlier != nullptr ? std::get_if<admin::GatewayStatus>(earlier) : nullptr;
  const DataPlaneStatistics& plane = gateway.dataplane.statistics;
  std::string out = fmt::format("gateway: version {}\n", clean(gateway.version));
  out += plane_text(plane, before != nullptr ? &before->dataplane.statistics : nullptr, view);
  out += agent_text(gateway.agent, plane.sas, view);
  if (gateway.keyserver) out += "\n" + keyserver_text(*gateway.keyserver);
  return out;
}

}  // namespace sealcast::cli
