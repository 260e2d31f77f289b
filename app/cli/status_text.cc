#include "app/cli/status_text.h"

#include "app/cli/answer.h"
#include "app/cli/plane_text.h"

namespace sealcast::cli {
namespace {

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
    line(out, "alarm", text(at(group, "alarm")));
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
      // Slots that are derived ahead and unused would hide those in use.
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

// earlier: the same object of an earlier answer, for rates; null: none.
std::string plane_text(const Json& plane, const Json& earlier, const StatusView& view) {
  std::string out =
      fmt::format("  engine: {}\n  packets: sealed {}, opened {}, bypassed {}\n", text(at(plane, "engine")),
                  number(at(plane, "sealed")), number(at(plane, "opened")), number(at(plane, "bypassed")));
  const double between = seconds_between(plane, earlier);
  const auto per_second = [&](const Json& now, const Json& before, const char* key) {
    const auto value = rate(at(now, key), at(before, key), between);
    return value ? packets_rate(*value) : std::string();
  };
  if (between > 0)
    line(out, "packets/s",
         fmt::format("sealed {}, opened {}, bypassed {}", per_second(plane, earlier, "sealed"),
                     per_second(plane, earlier, "opened"), per_second(plane, earlier, "bypassed")));
  line(out, "on the way", detours(plane));
  line(out, "events lost", counters(at(plane, "events_lost")));
  const std::string ports = ports_rows(plane, earlier, 2);
  if (!ports.empty()) out += "\n" + ports;
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

std::string keyserver_text(const Json& server) {
  std::string out = fmt::format("key server: {}\n", text(at(server, "id")));
  line(out, "listening", text(at(server, "listen")));
  line(out, "listening, ISAKMP", text(at(server, "listen_isakmp")));
  line(out, "running for", seconds(at(server, "uptime_s")));
  line(out, "members", number(at(server, "members")) + ", connections " + number(at(server, "connections")));
  if (const Json& cluster = at(server, "cluster"); cluster.is_object()) {
    std::string servers;
    for (const Json& peer : at(cluster, "servers"))
      servers += (servers.empty() ? "" : ", ") + text(at(peer, "name")) + " (" + text(at(peer, "address")) +
                 (at(peer, "leader") == true ? ", leader)" : ")");
    line(out, "cluster",
         fmt::format("{}: {}; etcd at revision {}", text(at(cluster, "name")), text(at(cluster, "state")),
                     text(at(cluster, "revision"))));
    line(out, "ALARM", text(at(cluster, "alarm")));
    line(out, "key servers", servers);
    std::string gone;
    for (const Json& peer : at(cluster, "gone"))
      gone += (gone.empty() ? "" : ", ") + text(at(peer, "name")) + " for " + seconds(at(peer, "gone_s"));
    line(out, "vanished", gone);
  }
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

Result<std::string> status_text(const std::string& answer, const StatusView& view, const std::string& earlier) {
  const auto read = read_answer(answer);
  if (!read) return tl::unexpected(read.error());
  const Json& status = *read;
  const Json before = earlier.empty() ? Json() : Json::parse(earlier, nullptr, false);
  const std::string daemon = text(at(status, "daemon"));
  if (daemon == "keyserver") return keyserver_text(status);
  if (daemon != "gateway") return fail("expected the answer of a gateway or a key server, got \"" + daemon + "\"");
  std::string out = fmt::format("gateway: version {}\n", text(at(status, "version")));
  out += plane_text(at(status, "dataplane"), at(before, "dataplane"), view);
  out += agent_text(at(status, "agent"), at(at(status, "dataplane"), "sas"), view);
  if (at(status, "keyserver").is_object()) out += "\n" + keyserver_text(at(status, "keyserver"));
  return out;
}

}  // namespace sealcast::cli
