#include "app/daemon/keyserver_commands.h"

#include <algorithm>
#include <limits>

#include "controlplane/admin/commands.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/similar_names.h"

namespace sealcast::daemon {
namespace {

// Logs the caller, its command and whether it was done; the key server logs the consequences.
Result<void> noted(const admin::AdminServer& admin, const char* command, const std::vector<EventField>& about,
                   const Result<void>& done) {
  Event event("operator_command", {{"command", Word{command}}});
  for (const EventField& field : about)
    event.add(field);
  if (const auto caller = admin.caller()) event.add({"uid", caller->user}).add({"pid", caller->process});
  event.add({"done", Word{done ? "yes" : "no"}});
  if (done)
    keyserver::audit(event);
  else
    keyserver::audit_warning(event.add({"why", done.error().message}));
  return done;
}

Result<admin::Done> done(const Result<void>& result) {
  return result.map([] { return admin::Done(); });
}

std::vector<EventField> of_member(const std::string& member, const std::optional<std::string>& group) {
  return {{"member", member}, keyserver::group_field(group)};
}

// A name that nothing is known of is most likely a mistake: it would be refused for ever, and the member that was meant
// would go on (H28).
Result<admin::Revoked> revoke(const admin::AdminServer& admin, keyserver::KeyServer& server,
                              const admin::RevokeRequest& request) {
  if (!request.force) {
    const auto known = server.known_names(request.group);
    if (known.count(request.member) == 0)
      return admin::Revoked{.ok = false, .unknown = true, .similar = keyserver::similar_names(request.member, known)};
  }
  return noted(admin, "revoke", of_member(request.member, request.group), server.revoke(request.member, request.group))
      .map([] { return admin::Revoked{.ok = true}; });
}

Result<admin::AuditAnswer> audit_answer(keyserver::AuditTrail* trail, const admin::AuditRequest& request) {
  if (!trail) return fail("no audit trail is kept: keyserver.audit_events is 0");
  constexpr std::uint64_t most = keyserver::AuditQuery::most_count;
  if (request.count && (*request.count < 1 || *request.count > most))
    return fail("expected \"count\" from 1 to " + std::to_string(most) + ", got " + std::to_string(*request.count));
  keyserver::AuditQuery query{.group = request.group, .member = request.member, .event = request.event};
  constexpr std::uint64_t latest = std::numeric_limits<std::int64_t>::max();
  if (request.since_ms) query.since_ms = static_cast<std::int64_t>(std::min(*request.since_ms, latest));
  query.epoch = request.epoch;
  if (request.count) query.count = static_cast<std::uint32_t>(*request.count);
  return trail->find(query);
}

}  // namespace

Result<std::unique_ptr<keyserver::AuditTrail>> open_audit_trail(const config::KeyserverConfig& config) {
  if (config.audit_events == 0) return nullptr;
  keyserver::AuditTrail::Options options;
  options.path = config.audit;
  options.most_events = config.audit_events;
  return keyserver::AuditTrail::open(options);
}

void handle_keyserver_commands(admin::AdminServer& admin, keyserver::KeyServer& server, keyserver::AuditTrail* trail) {
  // admin and server outlive the handlers.
  admin::answer<admin::RekeyRequest>(admin, [&](const admin::RekeyRequest& request) {
    return done(noted(admin, "rekey", {{"group", request.group}}, server.rekey(request.group)));
  });
  admin::answer<admin::RevokeRequest>(
      admin, [&](const admin::RevokeRequest& request) { return revoke(admin, server, request); });
  admin::answer<admin::ReinstateRequest>(admin, [&](const admin::ReinstateRequest& request) {
    return done(noted(admin, "reinstate", of_member(request.member, request.group),
                      server.reinstate(request.member, request.group)));
  });
  admin::answer<admin::UnlockRequest>(admin, [&](const admin::UnlockRequest& request) {
    return done(noted(admin, "unlock", {{"user", request.user}}, server.unlock(request.user)));
  });
  admin::answer<admin::ClockAcceptRequest>(admin, [&](const admin::ClockAcceptRequest&) {
    return done(noted(admin, "clock-accept", {}, server.accept_clock()));
  });
  admin::answer<admin::AuditRequest>(
      admin, [trail](const admin::AuditRequest& request) { return audit_answer(trail, request); });
  admin::answer<admin::RevocationsRequest>(
      admin, [&server](const admin::RevocationsRequest&) { return server.revocations(); });
}

}  // namespace sealcast::daemon
