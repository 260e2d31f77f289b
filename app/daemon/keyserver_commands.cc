#include "app/daemon/keyserver_commands.h"

#include <nlohmann/json.hpp>

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

}  // namespace

void handle_keyserver_commands(admin::AdminServer& admin, keyserver::KeyServer& server) {
  admin.handle("rekey", [&server](const std::string& request) {
    return with_fields(request, "group", "member", [&](const std::string& group, const std::optional<std::string>&) {
      return server.rekey(group);
    });
  });
  admin.handle("revoke", [&server](const std::string& request) {
    return with_fields(request, "member", "group",
                       [&](const std::string& member, const auto& group) { return server.revoke(member, group); });
  });
  admin.handle("reinstate", [&server](const std::string& request) {
    return with_fields(request, "member", "group",
                       [&](const std::string& member, const auto& group) { return server.reinstate(member, group); });
  });
  admin.handle("revocations", [&server](const std::string&) { return server.revocations_json(); });
}

}  // namespace sealcast::daemon
