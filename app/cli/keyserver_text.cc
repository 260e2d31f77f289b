#include "app/cli/keyserver_text.h"

#include <ctime>

#include "app/cli/answer.h"

namespace sealcast::cli {
namespace {

std::string milliseconds(const admin::Number& ms) {
  if (!ms) return "";
  return *ms < 1000 ? fmt::format("{} ms", *ms) : fmt::format("{:.1f} s", static_cast<double>(*ms) / 1000);
}

// Lists are cut by the daemon: all is how many there are.
std::string names(const admin::Names& some, const admin::Number& all) {
  std::string out = list(some, 32);
  if (all && *all > some.size()) out += fmt::format(", … ({} in all)", *all);
  return out;
}

std::string notes_of(const admin::KeyserverGroup& group) {
  std::string out;
  const std::string name = clean(group.group);
  if (group.missing_count.value_or(0) != 0)
    out += name + ": missing: " + names(group.missing, group.missing_count) + "\n";
  if (group.behind_count.value_or(0) != 0) out += name + ": behind: " + names(group.behind, group.behind_count) + "\n";
  if (group.last_rekey && group.last_rekey->unacknowledged.value_or(0) != 0)
    out += name + ": the last rekey did not wait for " + number(group.last_rekey->unacknowledged) +
           " that had not acknowledged in time\n";
  return out;
}

std::vector<std::string> row_of(const admin::KeyserverGroup& group) {
  const admin::ActiveEpoch active = group.active.value_or(admin::ActiveEpoch());
  const std::string slots = number(active.slots_used);
  std::vector<std::string> row{
      group.group,
      digits(active.epoch),
      seconds(active.remaining),
      seconds(group.epoch_lifetime),
      number(group.joined) + (group.joined_here ? " (" + number(group.joined_here) + " here)" : ""),
      number(group.behind_count),
      number(group.expected),
      slots.empty() ? "" : slots + " of " + number(active.slots_capacity)};
  if (group.last_rekey) {
    const admin::RekeyStatus& rekey = *group.last_rekey;
    row.push_back(seconds(rekey.age) + " ago");
    row.push_back(rekey.why);
    row.push_back(rekey.active_after_ms ? milliseconds(rekey.active_after_ms) : "under way");
    row.push_back(rekey.slowest.empty() ? "" : rekey.slowest + ", " + milliseconds(rekey.slowest_after_ms));
  }
  return row;
}

// "waiting for the senders studio, camera2", "waiting 31 s for the leases of senders that are away"
std::string waiting(const admin::Revocations::Progress& group) {
  const std::string servers =
      group.keyservers_awaited.empty()
          ? ""
          : " (key servers: " + list(group.keyservers_awaited, group.keyservers_awaited.size()) + ")";
  if (!group.senders_awaited.empty())
    return "waiting for the senders " + list(group.senders_awaited, group.senders_awaited.size()) + " to switch" +
           servers;
  if (const double left = group.leases_end_in.value_or(0); left > 0)
    return "waiting " + duration(whole(left) + 1) + " for the leases of senders that are away" + servers;
  return "waiting for the next epoch to become active" + servers;
}

std::string utc(std::int64_t unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  char text[32] = "";
  if (gmtime_r(&time, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &parts);
  return text;
}

}  // namespace

std::string keyserver_groups_text(const admin::KeyserverGroups& keyserver) {
  std::vector<Table::Column> columns{{"group"}, {"epoch", Align::right}};
  for (const char* title : {"remaining", "lifetime", "joined", "behind", "expected", "slots"})
    columns.push_back({title, Align::right});
  for (const char* title : {"last rekey", "because", "active after", "slowest member"})
    columns.push_back({title});
  Table table(std::move(columns));
  std::string notes;
  for (const admin::KeyserverGroup& group : keyserver.groups) {
    table.row(row_of(group));
    notes += notes_of(group);
  }
  std::string out = "key server " + clean(keyserver.id) + "\n\n" + table.text();
  if (!notes.empty()) out += "\n" + notes;
  if (!keyserver.cluster) return out;
  const admin::ClusterStatus& cluster = *keyserver.cluster;
  std::string peers;
  for (const auto& server : cluster.servers)
    peers += (peers.empty() ? "" : ", ") + server.name;
  out += "\n" +
         clean("cluster: this is " + cluster.name + ", " + cluster.state +
               "; leader: " + (cluster.leader.empty() ? "none" : cluster.leader) + "; serving: " + peers) +
         "\n";
  if (!cluster.alarm.empty()) out += "ALARM: " + clean(cluster.alarm) + "\n";
  return out;
}

std::string audit_text(const admin::AuditAnswer& answer) {
  Table table({{"time"}, {"level"}, {"event"}, {"group"}, {"member"}, {"details"}});
  for (const auto& event : answer.events) {
    std::string member = event.field("member"), details;
    if (member.empty()) member = event.field("user");
    for (const auto& [name, value] : event.fields)
      if (name != "group" && name != "member" && name != "user")
        details += (details.empty() ? "" : ", ") + name + " " + value;
    table.row({event.time, event.level, event.event, event.field("group"), member, details});
  }
  std::string out = table.empty() ? "no events\n" : table.text();
  if (answer.more.value_or(false)) out = "… there are older ones; --count shows more\n" + out;
  return out;
}

std::string progress_text(const admin::Revocations::Progress& group) {
  const bool complete = group.complete.value_or(false);
  std::string out =
      "group " + clean(group.group) + ": " +
      (complete ? fmt::format("shut out, complete after {:.1f} s", group.after.value_or(0)) : waiting(group));
  // Members that are behind receive nothing until they have the new epoch; they do not keep a revocation from being
  // complete.
  if (!group.members_behind.empty())
    out += "; behind, without the new epoch yet: " + list(group.members_behind, group.members_behind.size());
  return out;
}

std::string revocations_text(const admin::Revocations& revocations) {
  Table table({{"MEMBER"}, {"GROUP"}, {"SINCE"}});
  for (const auto& entry : revocations.revocations)
    table.row({entry.member, entry.group.empty() ? "all" : entry.group, entry.since ? utc(*entry.since) : ""});
  std::string out = table.empty() ? "no member is revoked\n" : table.text();
  for (const auto& group : revocations.groups)
    out += progress_text(group) + "\n";
  return out;
}

std::string unknown_text(const std::string& name, const admin::Names& similar) {
  return "no member or user \"" + clean(name) + "\" is known here, and nothing was revoked; " +
         (similar.empty() ? "sealcast members shows who is joined" : "similar: " + list(similar)) +
         "; --force revokes the name all the same";
}

std::string members_text(const std::vector<admin::ListedMember>& members) {
  if (members.empty()) return "no members\n";
  const bool cluster = std::any_of(members.begin(), members.end(),
                                   [](const admin::ListedMember& one) { return !one.status.keyserver.empty(); });
  std::vector<Table::Column> columns{{"GROUP"}, {"MEMBER"}};
  if (cluster) columns.push_back({"KEY SERVER"});
  for (const Table::Column& column : std::initializer_list<Table::Column>{
           {"ADDRESS"}, {"ROLE"}, {"JOINED", Align::right}, {"SLOTS", Align::right}, {"EPOCH"}})
    columns.push_back(column);
  Table table(std::move(columns));
  for (const auto& [group, newest, status] : members) {
    std::vector<std::string> row{group, status.member};
    if (cluster) row.push_back(status.keyserver);
    // Another key server tells no slots, and no epochs of single members.
    for (const std::string& cell :
         {status.address, status.roles, seconds(status.joined), status.behind ? count(status.slots.size()) : "",
          status.behind ? std::string(*status.behind ? "behind" : "current") : std::string()})
      row.push_back(cell);
    table.row(row);
  }
  return table.text();
}

}  // namespace sealcast::cli
