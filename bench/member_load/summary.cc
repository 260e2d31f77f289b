#include "bench/member_load/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sealcast::load {
namespace {

using Json = nlohmann::ordered_json;

double kib_each(const Summary& summary) {
  if (summary.joining.members == 0 || summary.resident_after < summary.resident_before) return 0;
  return static_cast<double>(summary.resident_after - summary.resident_before) / 1024 / summary.joining.members;
}

// The unit of the figures: members, or members of one of their groups.
std::string_view each(const Summary& summary) {
  return summary.groups == 1 ? "member" : "member and group";
}

Json json_of(const Spread& spread) {
  return {{"samples", spread.samples}, {"p50_ms", spread.p50}, {"p99_ms", spread.p99}, {"max_ms", spread.max}};
}

double rate(const Joining& joining) {
  return joining.seconds > 0 ? joining.members / joining.seconds : 0;
}

Json json_of(const Joining& joining) {
  return {{"members", joining.members},   {"seconds", joining.seconds},
          {"joins_per_s", rate(joining)}, {"server_cpu_s", joining.server_cpu_s},
          {"failures", joining.failures}, {"handshake", json_of(joining.handshake)}};
}

Json json_of(const Rekeying& rekey) {
  return {{"epoch", rekey.epoch},
          {"acknowledged", json_of(rekey.acknowledged)},
          {"all_active_ms", rekey.all_active_ms},
          {"server_cpu_ms", rekey.server_cpu_ms}};
}

std::string text_of(const Joining& joining) {
  return fmt::format(
      "{} in {:.2f} s, {:.0f} a second; key server's CPU {:.2f} s, {:.2f} ms each; a connection p50 {:.0f}, p99 "
      "{:.0f}, max {:.0f} ms; {} attempts failed\n",
      joining.members, joining.seconds, rate(joining), joining.server_cpu_s,
      joining.members ? joining.server_cpu_s * 1000 / joining.members : 0, joining.handshake.p50, joining.handshake.p99,
      joining.handshake.max, joining.failures);
}

std::string text_of(const Rekeying& rekey) {
  return fmt::format(
      "acknowledged by {}: p50 {:.0f}, p99 {:.0f}, slowest {:.0f} ms; all told to switch after {:.0f} ms; key server's "
      "CPU "
      "{:.0f} ms\n",
      rekey.acknowledged.samples, rekey.acknowledged.p50, rekey.acknowledged.p99, rekey.acknowledged.max,
      rekey.all_active_ms, rekey.server_cpu_ms);
}

}  // namespace

Spread spread_of(std::vector<double> samples) {
  Spread out;
  out.samples = samples.size();
  if (samples.empty()) return out;
  std::sort(samples.begin(), samples.end());
  out.p50 = samples[(samples.size() - 1) / 2];
  out.p99 = samples[(samples.size() - 1) * 99 / 100];
  out.max = samples.back();
  return out;
}

std::string text(const Summary& summary) {
  std::string out = fmt::format("members   {}, {} of them may send; {} groups each, {} connections\n", summary.members,
                                summary.senders, summary.groups, summary.connections);
  out += "joining   " + text_of(summary.joining);
  out += fmt::format("          members' CPU {:.2f} s; {} bytes to them, {} from them\n", summary.members_cpu_s,
                     summary.bytes_to_members, summary.bytes_from_members);
  out += fmt::format("memory    key server {:.1f} MiB, {:.1f} before: {:.1f} KiB a {}\n",
                     static_cast<double>(summary.resident_after) / 1048576,
                     static_cast<double>(summary.resident_before) / 1048576, kib_each(summary), each(summary));
  for (const Rekeying& rekey : summary.rekeys)
    out += "rekey     " + text_of(rekey);
  if (summary.holding.seconds > 0)
    out +=
        fmt::format("steady    {:.1f} s: key server {:.1f} % of a core, {} bytes; {} left, {} crashed, and came back\n",
                    summary.holding.seconds, summary.holding.server_cpu_percent, summary.holding.bytes,
                    summary.holding.left, summary.holding.crashed);
  if (summary.surged) {
    out += "surge     half of them vanish and come back: " + text_of(summary.surge);
    out += "          meanwhile the others' rekey " + text_of(summary.surge_rekey);
  }
  if (summary.stormed) {
    out += fmt::format("storm     key server gone for {:.0f} ms; back ", summary.down_ms) + text_of(summary.storm);
  }
  for (const auto& [why, times] : summary.why)
    out += fmt::format("{:>9} x {}\n", times, why);
  return out;
}

std::string table(const Summary& summary) {
  std::string out = summary.groups == 1 ? fmt::format("| | {} members |\n|---|---|\n", summary.members)
                                        : fmt::format("| | {} members of {} groups, {} connections |\n|---|---|\n",
                                                      summary.members, summary.groups, summary.connections);
  const auto row = [&](std::string_view what, const std::string& value) {
    out += fmt::format("| {} | {} |\n", what, value);
  };
  // The slowest of all rekeys: users must plan for it.
  const auto worst = [&](auto of) {
    double most = 0;
    for (const Rekeying& rekey : summary.rekeys)
      most = std::max(most, of(rekey));
    return fmt::format("{:.2f} s", most / 1000);
  };
  const Joining& joining = summary.joining;
  row("joins a second, members on the same machine", fmt::format("{:.0f}", rate(joining)));
  if (joining.members != 0)
    row("key server's CPU for a join", fmt::format("{:.1f} ms", joining.server_cpu_s * 1000 / joining.members));
  row("members' CPU for all joins", fmt::format("{:.2f} s", summary.members_cpu_s));
  row("bytes of all joins, to and from the members",
      fmt::format("{}, {}", summary.bytes_to_members, summary.bytes_from_members));
  row(fmt::format("memory for a {}", each(summary)), fmt::format("{:.1f} KiB", kib_each(summary)));
  if (!summary.rekeys.empty()) {
    row("rekey: key server's CPU", worst([](const Rekeying& rekey) { return rekey.server_cpu_ms; }));
    row("rekey: the slowest member's acknowledgement",
        worst([](const Rekeying& rekey) { return rekey.acknowledged.max; }));
    row("rekey: the last member is told to switch", worst([](const Rekeying& rekey) { return rekey.all_active_ms; }));
  }
  if (summary.holding.seconds > 0)
    row(fmt::format("keepalives and reports, {:.0f} members a second come and go",
                    static_cast<double>(summary.holding.left + summary.holding.crashed) / summary.holding.seconds),
        fmt::format("{:.0f} % of a core", summary.holding.server_cpu_percent));
  if (summary.surged) {
    row("surge: half vanish and are back after", fmt::format("{:.1f} s", summary.surge.seconds));
    row("surge: slowest acknowledgement of the others' rekey",
        fmt::format("{:.2f} s", summary.surge_rekey.acknowledged.max / 1000));
    row("surge: the last of the others is told to switch",
        fmt::format("{:.2f} s", summary.surge_rekey.all_active_ms / 1000));
  }
  if (summary.stormed) row("storm: everybody back after kill -9", fmt::format("{:.1f} s", summary.storm.seconds));
  return out;
}

std::string json(const Summary& summary) {
  Json out{{"members", summary.members},
           {"senders", summary.senders},
           {"groups", summary.groups},
           {"connections", summary.connections},
           {"joining", json_of(summary.joining)},
           {"memory",
            {{"before_bytes", summary.resident_before},
             {"after_bytes", summary.resident_after},
             {"kib_a_member", kib_each(summary)}}},
           {"members_cpu_s", summary.members_cpu_s},
           {"bytes", {{"to_members", summary.bytes_to_members}, {"from_members", summary.bytes_from_members}}}};
  out["rekeys"] = Json::array();
  for (const Rekeying& rekey : summary.rekeys)
    out["rekeys"].push_back(json_of(rekey));
  out["steady"] = {{"seconds", summary.holding.seconds},
                   {"server_cpu_percent", summary.holding.server_cpu_percent},
                   {"bytes", summary.holding.bytes},
                   {"left", summary.holding.left},
                   {"crashed", summary.holding.crashed}};
  if (summary.surged) {
    out["surge"] = json_of(summary.surge);
    out["surge"]["rekey"] = json_of(summary.surge_rekey);
  }
  if (summary.stormed) {
    out["storm"] = json_of(summary.storm);
    out["storm"]["down_ms"] = summary.down_ms;
  }
  out["troubles"] = summary.why;
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace sealcast::load
