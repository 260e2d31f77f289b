#include "controlplane/keyserver/status.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace sealcast::keyserver {
namespace {

using nlohmann::json;

double seconds(SteadyTime::duration duration) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) / 1000;
}

std::string spi_text(std::uint32_t spi) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", static_cast<unsigned>(spi));
  return text;
}

std::string_view roles_text(handshake::Role roles) {
  if (roles == handshake::receiver) return "receiver";
  return roles == handshake::sender ? "sender" : "both";
}

json epoch_json(const Epoch& epoch, SteadyTime now) {
  return {{"epoch", epoch.number},
          {"epoch_id", to_hex(epoch.id)},
          {"state", name(epoch.phase)},
          {"age_s", seconds(now - epoch.begun)},
          {"remaining_s", seconds(epoch.expires - now)},
          {"spi_prefix", spi_text(epoch.policy.spi_prefix)},
          {"slots_used", epoch.slots_used()},
          {"slots_capacity", epoch.capacity()},
          {"holders", epoch.granted.size()}};
}

std::uint64_t newest(const GroupState& group) {
  return group.epochs().empty() ? 0 : group.epochs().back().number;
}

json member_json(const Member& member, const GroupState& group, SteadyTime now) {
  json spis = json::array();
  for (const Epoch& epoch : group.epochs()) {
    for (const SlotRun& run : member.slots)
      for (std::uint32_t i = 0; run.epoch == epoch.number && i < run.count; ++i)
        spis.push_back(spi_text(epoch.policy.spi_prefix + run.first + i));
  }
  json out = {{"member", member.identity.name},
              {"address", member.address},
              {"carriage", config::name(member.link->carriage())},
              {"roles", roles_text(member.roles)},
              {"joined_s", seconds(now - member.joined)},
              {"slots", std::move(spis)},
              {"behind", member.acknowledged < newest(group)},
              {"acknowledged", member.acknowledged},
              {"activated", member.activated}};
  if (member.report) {
    out["report"] = {{"epoch", member.report->epoch},
                     {"sealed", member.report->sealed},
                     {"opened", member.report->opened},
                     {"dropped", member.report->dropped},
                     {"age_s", seconds(now - member.reported)}};
  }
  return out;
}

json rekey_json(const RekeyRecord& rekey, SteadyTime now) {
  json out = {{"epoch", rekey.epoch},
              {"why", rekey.why},
              {"age_s", seconds(now - rekey.begun)},
              {"told", rekey.told},
              {"acknowledged", rekey.acknowledged}};
  if (!rekey.slowest.empty()) {
    out["slowest"] = rekey.slowest;
    out["slowest_after_ms"] = rekey.slowest_after.count();
  }
  if (rekey.active_after) {
    out["active_after_ms"] = rekey.active_after->count();
    out["unacknowledged"] = rekey.unacknowledged;
  }
  return out;
}

// Without the members: what fits a line.
json group_summary(const GroupState& group, SteadyTime now) {
  const Attendance attendance = group.attendance();
  json out = {{"group", group.config().id},
              {"suite", handshake::name(group.config().flow.suite)},
              {"variant", group.config().flow.variant},
              {"mode", text(group.config().mode)},
              {"handing_over", group.handing_over()},
              {"epoch_lifetime_s", seconds(group.config().epoch_lifetime)},
              {"authority_lease_s", group.config().authority_lease.count()},
              {"joined", group.members().size()},
              {"expected", attendance.expected},
              {"expected_by", attendance.by_list ? "members" : "holders"},
              {"missing", attendance.missing},
              {"missing_count", attendance.missing_count},
              {"behind", attendance.behind},
              {"behind_count", attendance.behind_count},
              {"selectors", json::array()},
              {"epochs", json::array()}};
  for (const Selector& selector : group.config().selectors)
    out["selectors"].push_back(selector.text());
  for (const Epoch& epoch : group.epochs()) {
    out["epochs"].push_back(epoch_json(epoch, now));
    if (epoch.phase != Phase::active) continue;
    out["epoch"] = epoch.number;
    out["remaining_s"] = seconds(epoch.expires - now);
    out["slots_used"] = epoch.slots_used();
    out["slots_capacity"] = epoch.capacity();
  }
  if (group.last_rekey()) out["last_rekey"] = rekey_json(*group.last_rekey(), now);
  return out;
}

json group_json(const GroupState& group, SteadyTime now) {
  json out = group_summary(group, now);
  out["members"] = json::array();
  for (const auto& [id, member] : group.members())
    out["members"].push_back(member_json(member, group, now));
  return out;
}

json cluster_json(const cluster::Node::Status& status) {
  json out = {{"name", status.name},      {"state", status.state},     {"incarnation", status.incarnation},
              {"leader", status.leader},  {"leading", status.leading}, {"revision", status.revision},
              {"servers", json::array()}, {"gone", json::array()},     {"lease_ttl_s", status.lease_ttl.count()}};
  for (const auto& server : status.servers) {
    json entry = {
        {"name", server.peer.name}, {"address", server.peer.address},       {"leader", server.leader},
        {"self", server.self},      {"known_s", seconds(server.known_for)}, {"incarnation", server.peer.incarnation}};
    // All were seen when etcd last answered; one with an ended lease was not.
    if (status.answered_ago) entry["seen_s"] = seconds(*status.answered_ago);
    out["servers"].push_back(std::move(entry));
  }
  for (const auto& gone : status.gone)
    out["gone"].push_back({{"name", gone.name},
                           {"incarnation", gone.incarnation},
                           {"gone_s", seconds(gone.since)},
                           {"leases_end_in_s", seconds(gone.leases_end_in)}});
  if (status.answered_ago) out["answered_s"] = seconds(*status.answered_ago);
  if (status.lease_left) out["lease_left_s"] = seconds(*status.lease_left);
  if (status.cut_off_for) out["cut_off_s"] = seconds(*status.cut_off_for);
  if (!status.alarm.empty()) out["alarm"] = status.alarm;
  return out;
}

json cluster_json(const cluster::Node::GroupStatus& status) {
  json out = {
      {"highest", status.highest}, {"active", status.active}, {"wanted", status.wanted}, {"servers", json::array()}};
  for (const auto& server : status.servers)
    out["servers"].push_back({{"name", server.name}, {"installed", server.installed}, {"switched", server.switched}});
  return out;
}

json exclusion_json(const GroupState& group, const Exclusion::Progress& exclusion, SteadyTime now) {
  json out = {{"group", group.config().id},
              {"complete", exclusion.complete.has_value()},
              {"since_s", seconds(now - exclusion.since)},
              {"senders_awaited", exclusion.senders_awaited},
              {"members_behind", group.attendance().behind}};
  if (exclusion.complete) out["after_s"] = seconds(*exclusion.complete - exclusion.since);
  if (exclusion.leases_end) out["leases_end_in_s"] = seconds(*exclusion.leases_end - now);
  for (const Epoch& epoch : group.epochs())
    if (epoch.phase == Phase::active) out["epoch"] = epoch.number;
  return out;
}

}  // namespace

std::string revocations_json(const std::vector<store::Revocation>& revocations,
                             const std::vector<const GroupState*>& groups, Moment now) {
  json out = {{"revocations", json::array()}, {"groups", json::array()}};
  for (const store::Revocation& revocation : revocations) {
    json entry = {{"member", revocation.member_id}, {"since", revocation.since}};
    if (!revocation.group_id.empty()) entry["group"] = revocation.group_id;
    out["revocations"].push_back(std::move(entry));
  }
  for (const GroupState* group : groups)
    if (const auto exclusion = group->exclusion(now))
      out["groups"].push_back(exclusion_json(*group, *exclusion, now.steady));
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string to_json(const StatusInput& input, SteadyTime now) {
  json groups = json::array();
  std::size_t members = 0;
  for (const GroupState* group : input.groups) {
    groups.push_back(group_json(*group, now));
    if (input.cluster) groups.back()["cluster"] = cluster_json(input.cluster->group_status(group->config().id));
    members += group->members().size();
  }
  json out = {{"id", input.id},
              {"uptime_s", seconds(now - input.started)},
              {"connections", input.connections},
              {"members", members},
              {"handshakes",
               {{"completed", input.counters.handshakes_completed},
                {"standard", input.counters.standard_clients},
                {"failed", input.counters.failed}}},
              {"refused", input.counters.refused},
              {"groups", std::move(groups)}};
  if (input.listen) out["listen"] = input.listen->text();
  if (input.listen_isakmp) out["listen_isakmp"] = input.listen_isakmp->text();
  if (input.passwords)
    out["passwords"] = {{"users", input.passwords->users()}, {"waiting", input.passwords->waiting()}};
  if (input.cookies)
    out["isakmp"] = {{"connections", input.cookies->opened()}, {"cookies_shown", input.cookies->shown()}};
  if (input.cluster) out["cluster"] = cluster_json(input.cluster->status());
  // Certificate names may hold bytes that are no UTF-8; they are replaced, never thrown upon.
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string groups_json(const StatusInput& input, SteadyTime now) {
  json groups = json::array();
  for (const GroupState* group : input.groups) {
    groups.push_back(group_summary(*group, now));
    if (input.cluster) groups.back()["cluster"] = cluster_json(input.cluster->group_status(group->config().id));
  }
  json out = {{"id", input.id}, {"groups", std::move(groups)}};
  if (input.cluster) out["cluster"] = cluster_json(input.cluster->status());
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace sealcast::keyserver
