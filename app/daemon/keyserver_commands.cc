#include "app/daemon/keyserver_commands.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::daemon {
namespace {

using nlohmann::json;

std::string answer(const Result<void>& done) {
  const json out = done ? json{{"ok", true}} : json{{"error", done.error().message}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

// The text field of a request; empty if there is none. A field of another kind is an error.
Result<std::optional<std::string>> field(const json& request, const char* name) {
  const auto found = request.find(name);
  if (found == request.end()) return std::nullopt;
  if (!found->is_string()) return fail(std::string("expected \"") + name + "\" to be a text, got " + found->dump());
  return found->get<std::string>();
}

// Calls use(value of required, value of optional).
template <typename Use>
std::string with_fields(const std::string& request, const char* required, const char* optional, Use use) {
  const json parsed = json::parse(request, nullptr, false);
  if (!parsed.is_object()) return answer(fail("expected a JSON object"));
  const auto first = field(parsed, required);
  if (!first) return answer(tl::unexpected(first.error()));
  if (!*first) return answer(fail(std::string("expected \"") + required + "\", got none"));
  const auto second = field(parsed, optional);
  if (!second) return answer(tl::unexpected(second.error()));
  return answer(use(**first, *second));
}

// Logs the caller, its command and whether it was done; the key server logs the consequences.
Result<void> noted(const admin::AdminServer& admin, const char* command, const std::vector<EventField>& about,
                   Result<void> done) {
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

std::vector<EventField> of_member(const std::string& member, const std::optional<std::string>& group) {
  return {{"member", member}, keyserver::group_field(group)};
}

std::string audit_answer(keyserver::AuditTrail* trail, const std::string& request) {
  if (!trail) return answer(fail("no audit trail is kept: keyserver.audit_events is 0"));
  const json parsed = json::parse(request, nullptr, false);
  if (!parsed.is_object()) return answer(fail("expected a JSON object"));
  keyserver::AuditQuery query;
  for (const auto& [name, into] :
       {std::pair{"group", &query.group}, std::pair{"member", &query.member}, std::pair{"event", &query.event}}) {
    const auto text = field(parsed, name);
    if (!text) return answer(tl::unexpected(text.error()));
    *into = text->value_or("");
  }
  const auto whole = [&](const char* name) -> Result<std::optional<std::uint64_t>> {
    const auto found = parsed.find(name);
    if (found == parsed.end()) return std::nullopt;
    if (!found->is_number_unsigned()) return fail(std::string("expected \"") + name + "\" to be a whole number");
    return found->get<std::uint64_t>();
  };
  const auto since = whole("since_ms");
  const auto count = whole("count");
  if (!since || !count) return answer(tl::unexpected((!since ? since : count).error()));
  constexpr std::uint64_t most = keyserver::AuditQuery::most_count;
  if (*count && (**count < 1 || **count > most))
    return answer(fail("expected \"count\" from 1 to " + std::to_string(most) + ", got " + std::to_string(**count)));
  constexpr std::uint64_t latest = std::numeric_limits<std::int64_t>::max();
  if (*since) query.since_ms = static_cast<std::int64_t>(std::min(**since, latest));
  if (*count) query.count = static_cast<std::uint32_t>(**count);
  auto found = trail->find_json(query);
  return found ? *std::move(found) : answer(tl::unexpected(found.error()));
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
  admin.handle("rekey", [&](const std::string& request) {
    return with_fields(request, "group", "member", [&](const std::string& group, const std::optional<std::string>&) {
      return noted(admin, "rekey", {{"group", group}}, server.rekey(group));
    });
  });
  admin.handle("revoke", [&](const std::string& request) {
    return with_fields(request, "member", "group", [&](const std::string& member, const auto& group) {
      return noted(admin, "revoke", of_member(member, group), server.revoke(member, group));
    });
  });
  admin.handle("reinstate", [&](const std::string& request) {
    return with_fields(request, "member", "group", [&](const std::string& member, const auto& group) {
      return noted(admin, "reinstate", of_member(member, group), server.reinstate(member, group));
    });
  });
  admin.handle("audit", [trail](const std::string& request) { return audit_answer(trail, request); });
  admin.handle("revocations", [&server](const std::string&) { return server.revocations_json(); });
}

}  // namespace sealcast::daemon
