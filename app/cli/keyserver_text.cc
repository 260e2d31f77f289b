#include "app/cli/keyserver_text.h"

#include "app/cli/answer.h"

namespace sealcast::cli {
namespace {

std::string milliseconds(const Json& value) {
  if (!value.is_number()) return "";
  const double ms = value.get<double>();
  return ms < 1000 ? fmt::format("{:.0f} ms", ms) : fmt::format("{:.1f} s", ms / 1000);
}

std::string names(const Json& list_of_names, const Json& count_of_all) {
  std::string out = list(list_of_names, 32);
  if (count_of_all.is_number_unsigned() && list_of_names.is_array() &&
      count_of_all.get<std::uint64_t>() > list_of_names.size())
    out += fmt::format(", … ({} in all)", count_of_all.get<std::uint64_t>());
  return out;
}

bool some(const Json& value) {
  return value.is_number_unsigned() && value != 0;
}

}  // namespace

std::string keyserver_groups_text(const Json& keyserver) {
  std::vector<Table::Column> columns{{"group"}, {"epoch", Align::right}};
  for (const char* title : {"remaining", "lifetime", "joined", "behind", "expected", "slots"})
    columns.push_back({title, Align::right});
  for (const char* title : {"last rekey", "because", "active after", "slowest member"})
    columns.push_back({title});
  Table table(std::move(columns));
  std::string notes;
  for (const Json& group : at(keyserver, "groups")) {
    const Json& rekey = at(group, "last_rekey");
    const std::string slots = number(at(group, "slots_used"));
    const bool under_way = rekey.is_object() && at(rekey, "active_after_ms").is_null();
    const std::string slowest = text(at(rekey, "slowest"));
    table.row({text(at(group, "group")), text(at(group, "epoch")), seconds(at(group, "remaining_s")),
               seconds(at(group, "epoch_lifetime_s")), number(at(group, "joined")), number(at(group, "behind_count")),
               number(at(group, "expected")), slots.empty() ? "" : slots + " of " + number(at(group, "slots_capacity")),
               rekey.is_object() ? seconds(at(rekey, "age_s")) + " ago" : "", text(at(rekey, "why")),
               under_way ? "under way" : milliseconds(at(rekey, "active_after_ms")),
               slowest.empty() ? "" : slowest + ", " + milliseconds(at(rekey, "slowest_after_ms"))});
    const std::string name = text(at(group, "group"));
    if (some(at(group, "missing_count")))
      notes += name + ": missing: " + names(at(group, "missing"), at(group, "missing_count")) + "\n";
    if (some(at(group, "behind_count")))
      notes += name + ": behind: " + names(at(group, "behind"), at(group, "behind_count")) + "\n";
    if (some(at(rekey, "unacknowledged")))
      notes += name + ": the last rekey did not wait for " + number(at(rekey, "unacknowledged")) +
               " that had not acknowledged in time\n";
  }
  std::string out = "key server " + text(at(keyserver, "id")) + "\n\n" + table.text();
  if (!notes.empty()) out += "\n" + notes;
  if (const Json& cluster = at(keyserver, "cluster"); cluster.is_object()) {
    std::string peers;
    for (const Json& server : at(cluster, "servers"))
      peers += (peers.empty() ? "" : ", ") + text(at(server, "name"));
    const std::string leader = text(at(cluster, "leader"));
    out += "\ncluster: this is " + text(at(cluster, "name")) + ", " + text(at(cluster, "state")) +
           "; leader: " + (leader.empty() ? "none" : leader) + "; serving: " + peers + "\n";
    if (const std::string alarm = text(at(cluster, "alarm")); !alarm.empty()) out += "ALARM: " + alarm + "\n";
  }
  return out;
}

std::string audit_text(const Json& answer) {
  Table table({{"time"}, {"level"}, {"event"}, {"group"}, {"member"}, {"details"}});
  for (const Json& event : at(answer, "events")) {
    const Json& fields = at(event, "fields");
    std::string member = text(at(fields, "member")), details;
    if (member.empty()) member = text(at(fields, "user"));
    if (fields.is_object())
      for (const auto& [name, value] : fields.items())
        if (name != "group" && name != "member" && name != "user")
          details += (details.empty() ? "" : ", ") + clean(name) + " " + text(value);
    table.row({text(at(event, "time")), text(at(event, "level")), text(at(event, "event")), text(at(fields, "group")),
               member, details});
  }
  std::string out = table.empty() ? "no events\n" : table.text();
  if (at(answer, "more") == true) out = "… there are older ones; --count shows more\n" + out;
  return out;
}

}  // namespace sealcast::cli
