#include "controlplane/keyserver/status.h"

namespace sealcast::keyserver {
namespace {

double seconds(SteadyTime::duration duration) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) / 1000;
}

std::string_view roles_text(handshake::Role roles) {
  if (roles == handshake::receiver) return "receiver";
  return roles == handshake::sender ? "sender" : "both";
}

admin::EpochStatus status_of(const Epoch& epoch, SteadyTime now) {
  return {.epoch = epoch.number,
          .epoch_id = to_hex(epoch.id),
          .state = std::string(name(epoch.phase)),
          .age = seconds(now - epoch.begun),
          .remaining = seconds(epoch.expires - now),
          .spi_prefix = epoch.policy.spi_prefix,
          .slots_used = epoch.slots_used(),
          .slots_capacity = epoch.capacity(),
          .holders = epoch.granted.size()};
}

std::uint64_t newest(const GroupState& group) {
  return group.epochs().empty() ? 0 : group.epochs().back().number;
}

admin::MemberStatus status_of(const Member& member, const GroupState& group, SteadyTime now) {
  admin::MemberStatus out{.member = member.identity.name,
                          .address = member.address,
                          .carriage = std::string(config::name(member.link->carriage())),
                          .roles = std::string(roles_text(member.roles)),
                          .joined = seconds(now - member.joined),
                          .behind = member.acknowledged < newest(group),
                          .acknowledged = member.acknowledged,
                          .activated = member.activated};
  for (const Epoch& epoch : group.epochs()) {
    for (const SlotRun& run : member.slots)
      for (std::uint32_t i = 0; run.epoch == epoch.number && i < run.count; ++i)
        out.slots.push_back(epoch.policy.spi_prefix + run.first + i);
  }
  if (member.report)
    out.report = {.epoch = member.report->epoch,
                  .sealed = member.report->sealed,
                  .opened = member.report->opened,
                  .dropped = member.report->dropped,
                  .age = seconds(now - member.reported)};
  return out;
}

admin::Number count_of(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(time.count());
}

admin::RekeyStatus status_of(const RekeyRecord& rekey, SteadyTime now) {
  admin::RekeyStatus out{.epoch = rekey.epoch,
                         .why = rekey.why,
                         .age = seconds(now - rekey.begun),
                         .told = rekey.told,
                         .acknowledged = rekey.acknowledged,
                         .slowest = rekey.slowest};
  if (!rekey.slowest.empty()) out.slowest_after_ms = count_of(rekey.slowest_after);
  if (rekey.active_after) {
    out.active_after_ms = count_of(*rekey.active_after);
    out.unacknowledged = rekey.unacknowledged;
  }
  return out;
}

admin::ClusterStatus status_of(const cluster::Node::Status& status) {
  admin::ClusterStatus out{.name = status.name,
                           .state = status.state,
                           .incarnation = status.incarnation,
                           .leader = status.leader,
                           .leading = status.leading,
                           .revision = status.revision,
                           .lease_ttl = static_cast<std::uint64_t>(status.lease_ttl.count()),
                           .alarm = status.alarm};
  for (const auto& server : status.servers) {
    admin::ClusterStatus::Server entry{.name = server.peer.name,
                                       .address = server.peer.address,
                                       .leader = server.leader,
                                       .self = server.self,
                                       .known = seconds(server.known_for),
                                       .incarnation = server.peer.incarnation};
    // All were seen when etcd last answered; one with an ended lease was not.
    if (status.answered_ago) entry.seen = seconds(*status.answered_ago);
    out.servers.push_back(std::move(entry));
  }
  for (const auto& gone : status.gone)
    out.gone.push_back({gone.name, gone.incarnation, seconds(gone.since), seconds(gone.leases_end_in)});
  if (status.answered_ago) out.answered = seconds(*status.answered_ago);
  if (status.lease_left) out.lease_left = seconds(*status.lease_left);
  if (status.cut_off_for) out.cut_off = seconds(*status.cut_off_for);
  if (status.clock_error_ms) out.clock_error = *status.clock_error_ms / 1000.0;
  return out;
}

admin::ClusterGroup status_of(const cluster::Node::GroupStatus& status) {
  admin::ClusterGroup out{.highest = status.highest, .active = status.active, .wanted = status.wanted};
  for (const auto& server : status.servers)
    out.servers.push_back({server.name, server.installed, server.switched});
  return out;
}

using OtherServers = std::vector<std::pair<std::string, cluster::AttendeeList>>;

Elsewhere elsewhere(const OtherServers& others) {
  Elsewhere out;
  for (const auto& [server, list] : others)
    for (const auto& [name, attendee] : list)
      out[name] = out[name] || attendee.joined;
  return out;
}

// The members that are joined at other key servers, as those told.
void add_members(const OtherServers& others, std::int64_t unix_now, std::vector<admin::MemberStatus>& out) {
  for (const auto& [server, list] : others) {
    for (const auto& [name, attendee] : list) {
      if (!attendee.joined) continue;
      admin::MemberStatus& entry = out.emplace_back();
      entry.member = name;
      entry.keyserver = server;
      entry.address = attendee.address;
      entry.roles = std::string(roles_text(static_cast<handshake::Role>(attendee.roles)));
      entry.joined = static_cast<double>(std::max<std::int64_t>(unix_now - attendee.since, 0));
    }
  }
}

// Without the members: what fits a line.
admin::KeyserverGroup summary_of(const GroupState& group, const StatusInput& input, SteadyTime now) {
  const config::KeyserverGroup& config = group.config();
  std::optional<cluster::Node::GroupStatus> cluster;
  if (input.cluster) cluster = input.cluster->group_status(config.id);
  const Attendance attendance =
      attendance_of(config, group.roster(), newest(group), cluster ? elsewhere(cluster->elsewhere) : Elsewhere());
  admin::KeyserverGroup out{.group = config.id,
                            .suite = std::string(handshake::name(config.flow.suite)),
                            .variant = config.flow.variant,
                            .mode = text(config.mode),
                            .numbers = text(config.numbers),
                            .handing_over = group.handing_over(),
                            .epoch_lifetime = seconds(config.epoch_lifetime),
                            .authority_lease = static_cast<std::uint64_t>(config.authority_lease.count()),
                            .joined = attendance.joined,
                            .expected = attendance.expected,
                            .expected_by = attendance.by_list ? "members" : "holders",
                            .missing = attendance.missing,
                            .missing_count = attendance.missing_count,
                            .behind = attendance.behind,
                            .behind_count = attendance.behind_count};
  for (const Selector& selector : config.selectors)
    out.selectors.push_back(selector.text());
  for (const Epoch& epoch : group.epochs()) {
    out.epochs.push_back(status_of(epoch, now));
    if (epoch.phase == Phase::active)
      out.active = {epoch.number, seconds(epoch.expires - now), epoch.slots_used(), epoch.capacity()};
  }
  if (group.last_rekey()) out.last_rekey = status_of(*group.last_rekey(), now);
  if (cluster) out.joined_here = group.members().size();
  if (cluster) out.cluster = status_of(*cluster);
  return out;
}

admin::Revocations::Progress status_of(const GroupState& group, const Exclusion::Progress& exclusion,
                                       const StatusInput& input, SteadyTime now) {
  admin::Revocations::Progress out{
      .group = group.config().id,
      .complete = exclusion.complete.has_value(),
      .since = seconds(now - exclusion.since),
      .senders_awaited = exclusion.senders_awaited,
      .members_behind = attendance_of(group.config(), group.roster(), newest(group)).behind};
  if (input.cluster && !exclusion.complete) {
    const auto cluster = input.cluster->group_status(group.config().id);
    for (const auto& server : cluster.servers)
      if (server.switched < cluster.highest) out.keyservers_awaited.push_back(server.name);
    for (const auto& gone : input.cluster->status().gone)
      out.keyservers_awaited.push_back(gone.name + " (vanished)");
  }
  if (exclusion.complete) out.after = seconds(*exclusion.complete - exclusion.since);
  if (exclusion.leases_end) out.leases_end_in = seconds(*exclusion.leases_end - now);
  for (const Epoch& epoch : group.epochs())
    if (epoch.phase == Phase::active) out.epoch = epoch.number;
  return out;
}

}  // namespace

admin::Revocations revocations_status(const std::vector<store::Revocation>& revocations, const StatusInput& input,
                                      SteadyTime now) {
  admin::Revocations out;
  for (const store::Revocation& revocation : revocations)
    out.revocations.push_back({revocation.member_id, revocation.since, revocation.group_id});
  for (const GroupState* group : input.groups)
    if (const auto exclusion = group->exclusion({now, input.unix_now}))
      out.groups.push_back(status_of(*group, *exclusion, input, now));
  return out;
}

admin::KeyserverStatus whole_status(const StatusInput& input, SteadyTime now) {
  admin::KeyserverStatus out{.id = input.id,
                             .uptime = seconds(now - input.started),
                             .connections = input.connections,
                             .handshakes = {.completed = input.counters.handshakes_completed,
                                            .standard = input.counters.standard_clients,
                                            .failed = input.counters.failed},
                             .refused = input.counters.refused};
  std::uint64_t members = 0;
  for (const GroupState* group : input.groups) {
    auto& entry = out.groups.emplace_back(summary_of(*group, input, now));
    entry.members.emplace();
    for (const auto& [id, member] : group->members())
      entry.members->push_back(status_of(member, *group, now));
    if (input.cluster) {
      for (admin::MemberStatus& member : *entry.members)
        member.keyserver = input.cluster->status().name;
      add_members(input.cluster->group_status(group->config().id).elsewhere, input.unix_now, *entry.members);
    }
    members += group->members().size();
  }
  out.members = members;
  if (input.listen) out.listen = input.listen->text();
  if (input.listen_isakmp) out.listen_isakmp = input.listen_isakmp->text();
  if (input.passwords)
    out.passwords = {input.passwords->users(), input.passwords->waiting(), input.passwords->locked()};
  if (input.cookies) out.isakmp = {input.cookies->opened(), input.cookies->shown()};
  if (input.cluster) out.cluster = status_of(input.cluster->status());
  out.clock = input.clock;
  out.validity = input.validity;
  return out;
}

admin::KeyserverGroups groups_status(const StatusInput& input, SteadyTime now) {
  admin::KeyserverGroups out{.id = input.id};
  for (const GroupState* group : input.groups)
    out.groups.push_back(summary_of(*group, input, now));
  if (input.cluster) out.cluster = status_of(input.cluster->status());
  return out;
}

}  // namespace sealcast::keyserver
