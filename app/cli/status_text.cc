#include "app/cli/status_text.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "app/cli/table.h"

namespace sealcast::cli {
namespace {

using Json = nlohmann::json;

// What a daemon of another version leaves out is shown as blank, never guessed.
const Json& at(const Json& object, const char* key) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found == object.end() ? nothing : *found;
}
std::string text(const Json& value) {
  if (value.is_string()) return clean(value.get_ref<const std::string&>());
  return value.is_null() ? "" : clean(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}
std::string number(const Json& value) {
  return value.is_number_unsigned() ? count(value.get<std::uint64_t>()) : "";
}
std::string seconds(const Json& value) {
  return value.is_number() ? duration(static_cast<std::int64_t>(std::floor(value.get<double>()))) : "";
}
std::string size(const Json& value) {
  return value.is_number_unsigned() ? bytes_text(value.get<std::uint64_t>()) : "";
}
std::string list(const Json& values, std::size_t most = 8) {
  std::string out;
  if (!values.is_array()) return out;
  for (std::size_t i = 0; i < values.size() && i < most; ++i)
    out += (i == 0 ? "" : ", ") + text(values[i]);
  if (values.size() > most) out += fmt::format(", … ({} in all)", values.size());
  return out;
}
std::string yes(const Json& value) {
  return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : text(value);
}
void line(std::string& out, const char* title, const std::string& value) {
  if (!value.empty()) out += fmt::format("  {}: {}\n", title, value);
}

std::string agent_text(const Json& agent, const Json& sas, const StatusView& view) {
  std::string out;
  for (const Json& group : at(agent, "groups")) {
    out += fmt::format("\ngroup: {}\n", text(at(group, "group")));
    const std::string why = text(at(group, "why"));
    line(out, "state", text(at(group, "state")) + (why.empty() ? "" : " (" + why + ")"));
    line(out, "role", text(at(group, "role")));
    const std::string id = text(at(group, "keyserver_id"));
    line(out, "key server", text(at(group, "keyserver")) + (id.empty() ? "" : " (" + id + ")"));
    line(out, "carriage", text(at(group, "carriage")));
    line(out, "member", text(at(group, "member_id")));
    if (at(group, "epoch").is_number()) {
      line(out, "epoch",
           fmt::format("{} ({}), id {}", text(at(group, "epoch")), text(at(group, "epoch_state")),
                       text(at(group, "epoch_id"))));
      line(out, "remaining", seconds(at(group, "remaining_s")));
      line(out, "lease", seconds(at(group, "lease_remaining_s")));
    }
    line(out, "own SPIs", list(at(group, "own_slots")));
    line(out, "joins",
         fmt::format("{}, failures {}, rekeys {}", number(at(group, "joins")), number(at(group, "failures")),
                     number(at(group, "rekeys"))));
    Table table({{"SPI"},
                 {"direction"},
                 {"epoch"},
                 {"active"},
                 {"packets", Align::right},
                 {"bytes", Align::right},
                 {"number", Align::right},
                 {"replays", Align::right},
                 {"bad tags", Align::right}});
    for (const Json& sa : sas) {
      // Slots derived ahead that nobody uses would hide those in use.
      const bool out_bound = text(at(sa, "direction")) == "out";
      const bool used = at(sa, "packets") != 0 || at(sa, "replays") != 0 || at(sa, "bad_tags") != 0;
      if (at(sa, "group") != at(group, "group") || !(out_bound || used || view.all)) continue;
      table.row({text(at(sa, "spi")), text(at(sa, "direction")), text(at(sa, "epoch")),
                 out_bound ? yes(at(sa, "active")) : "", number(at(sa, "packets")), size(at(sa, "bytes")),
                 number(at(sa, "next_number")), number(at(sa, "replays")), number(at(sa, "bad_tags"))});
    }
    if (!table.empty()) out += "\n" + table.text(2);
  }
  return out;
}

std::string plane_text(const Json& plane, const StatusView& view) {
  std::string out =
      fmt::format("  engine: {}\n  packets: sealed {}, opened {}, bypassed {}\n", text(at(plane, "engine")),
                  number(at(plane, "sealed")), number(at(plane, "opened")), number(at(plane, "bypassed")));
  Table ports({{"port"},
               {"device"},
               {"link"},
               {"rx packets", Align::right},
               {"rx bytes", Align::right},
               {"tx packets", Align::right},
               {"tx bytes", Align::right},
               {"tx dropped", Align::right}});
  for (const Json& port : at(plane, "ports"))
    ports.row({text(at(port, "name")), text(at(port, "device")), at(port, "link_up") == true ? "up" : "down",
               number(at(port, "rx_packets")), size(at(port, "rx_bytes")), number(at(port, "tx_packets")),
               size(at(port, "tx_bytes")), number(at(port, "tx_dropped"))});
  if (!ports.empty()) out += "\n" + ports.text(2);
  Table bypass({{"passing in clear"},
                {"direction"},
                {"frames", Align::right},
                {"bytes", Align::right},
                {"over rate", Align::right},
                {"looped", Align::right}});
  for (const Json& rule : at(plane, "bypass")) {
    const bool used = at(rule, "passed") != 0 || at(rule, "rate_limited") != 0 || at(rule, "looped") != 0;
    if (view.all || used)
      bypass.row({text(at(rule, "rule")), text(at(rule, "direction")), number(at(rule, "passed")),
                  size(at(rule, "passed_bytes")), number(at(rule, "rate_limited")), number(at(rule, "looped"))});
  }
  if (!bypass.empty()) out += "\n" + bypass.text(2);
  Table drops({{"dropped because"}, {"packets", Align::right}});
  for (const Json& drop : at(plane, "drops"))
    if (view.all || at(drop, "packets") != 0) drops.row({text(at(drop, "reason")), number(at(drop, "packets"))});
  if (!drops.empty()) out += "\n" + drops.text(2);
  return out;
}

std::string counters(const Json& by_reason) {
  std::string out;
  if (!by_reason.is_object()) return out;
  for (const auto& [reason, value] : by_reason.items())
    if (value != 0) out += (out.empty() ? "" : ", ") + clean(reason) + " " + number(value);
  return out;
}

std::string keyserver_text(const Json& server) {
  std::string out = fmt::format("key server: {}\n", text(at(server, "id")));
  line(out, "listening", text(at(server, "listen")));
  line(out, "listening, ISAKMP", text(at(server, "listen_isakmp")));
  line(out, "running for", seconds(at(server, "uptime_s")));
  line(out, "members", number(at(server, "members")) + ", connections " + number(at(server, "connections")));
  const std::string failed = counters(at(at(server, "handshakes"), "failed"));
  line(
      out, "handshakes",
      number(at(at(server, "handshakes"), "completed")) + " completed" + (failed.empty() ? "" : "; failed: " + failed));
  line(out, "refused", counters(at(server, "refused")));
  const Json& isakmp = at(server, "isakmp");
  if (isakmp.is_object())
    line(out, "ISAKMP connections",
         number(at(isakmp, "connections")) + ", cookies shown " + number(at(isakmp, "cookies_shown")));
  for (const Json& group : at(server, "groups")) {
    out += fmt::format("\ngroup: {}\n", text(at(group, "group")));
    line(out, "selectors", list(at(group, "selectors")));
    line(out, "suite",
         fmt::format("{}, variant {}, {}", text(at(group, "suite")), text(at(group, "variant")),
                     text(at(group, "mode"))));
    Table epochs({{"epoch"},
                  {"state"},
                  {"id"},
                  {"age", Align::right},
                  {"remaining", Align::right},
                  {"SPI prefix"},
                  {"slots used", Align::right},
                  {"holders", Align::right}});
    for (const Json& epoch : at(group, "epochs"))
      epochs.row({text(at(epoch, "epoch")), text(at(epoch, "state")), text(at(epoch, "epoch_id")),
                  seconds(at(epoch, "age_s")), seconds(at(epoch, "remaining_s")), text(at(epoch, "spi_prefix")),
                  number(at(epoch, "slots_used")), number(at(epoch, "holders"))});
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
    for (const Json& member : at(group, "members")) {
      const Json& report = at(member, "report");
      members.row({text(at(member, "member")), text(at(member, "address")), text(at(member, "carriage")),
                   text(at(member, "roles")), seconds(at(member, "joined_s")), list(at(member, "slots"), 2),
                   yes(at(member, "acknowledged")), number(at(report, "sealed")), number(at(report, "opened")),
                   number(at(report, "dropped"))});
    }
    if (!members.empty()) out += "\n" + members.text(2);
  }
  return out;
}

}  // namespace

Result<std::string> status_text(const std::string& answer, const StatusView& view) {
  const Json status = Json::parse(answer, nullptr, false);
  if (!status.is_object()) return fail("the daemon's answer is no JSON object");
  if (status.contains("error")) return fail("the daemon answers: " + text(at(status, "error")));
  const std::string daemon = text(at(status, "daemon"));
  if (daemon == "keyserver") return keyserver_text(status);
  if (daemon != "gateway") return fail("expected the answer of a gateway or a key server, got \"" + daemon + "\"");
  std::string out = fmt::format("gateway: version {}\n", text(at(status, "version")));
  out += plane_text(at(status, "dataplane"), view);
  out += agent_text(at(status, "agent"), at(at(status, "dataplane"), "sas"), view);
  if (at(status, "keyserver").is_object()) out += "\n" + keyserver_text(at(status, "keyserver"));
  return out;
}

}  // namespace sealcast::cli
