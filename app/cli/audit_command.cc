// The command that reads a key server's audit trail.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <memory>
#include <optional>
#include <string>

#include "app/cli/commands.h"
#include "app/cli/keyserver_asking.h"
#include "app/cli/keyserver_text.h"

namespace sealcast::cli {
namespace {

struct AuditArguments {
  std::string socket, since, group, member, event;
  std::optional<std::uint64_t> epoch;
  std::uint32_t count = 100;
  bool json = false;
};

constexpr const char* since_form =
    "expected a time ago such as 90s, 15m, 12h, 7d, or a time such as "
    "2026-01-31T12:00:00Z (UTC)";

// Unix milliseconds; nothing when the text is neither form.
std::optional<std::int64_t> moment(const std::string& text, std::int64_t now_ms) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  for (const auto& [name, seconds] :
       {std::pair{"s", 1}, std::pair{"m", 60}, std::pair{"h", 3600}, std::pair{"d", 86400}})
    if (end != text.c_str() && unit == name && number >= 0 && number * seconds < 4e9)
      return now_ms - static_cast<std::int64_t>(number * seconds * 1000);
  for (const char* form : {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* rest = strptime(text.c_str(), form, &parts);
    if (rest != nullptr && *rest == '\0') return std::int64_t{timegm(&parts)} * 1000;
  }
  return std::nullopt;
}

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int print_audit(const AuditArguments& arguments) {
  int code = app::ExitCode::ok;
  const auto asking = keyserver_at("audit", arguments.socket, arguments.json, code);
  if (!asking) return code;
  admin::AuditRequest request{
      .group = arguments.group, .member = arguments.member, .event = arguments.event, .count = arguments.count};
  request.epoch = arguments.epoch;
  if (!arguments.since.empty())
    request.since_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(*moment(arguments.since, now_ms()), 0));
  const auto found = ask(*asking, "audit", request, code);
  if (!found) return code;
  std::fputs((arguments.json ? found->line + "\n" : audit_text(found->value)).c_str(), stdout);
  return app::ExitCode::ok;
}

}  // namespace

void add_audit(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<AuditArguments>();
  CLI::App* command = app.add_subcommand("audit", "Show what a key server did: who joined, was refused, was rekeyed");
  command->add_option("--socket", arguments->socket, "the key server's admin_socket, or its gateway's");
  command->add_option("--since", arguments->since, "only events since then: 90s, 15m, 12h, 7d, or 2026-01-31T12:00:00Z")
      ->check([](const std::string& text) {
        return moment(text, now_ms()) ? std::string() : std::string(since_form) + ", got " + text;
      });
  command->add_option("--group", arguments->group, "of this group only");
  command->add_option("--member", arguments->member, "of this member only");
  command->add_option("--event", arguments->event, "this event only, e.g. member_joined");
  command->add_option("--epoch", arguments->epoch, "who held this epoch, instead of events")
      ->excludes("--since")
      ->excludes("--event");
  command->add_option("--count", arguments->count, "number of events, the newest, 1 to 10000")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  command->callback([=] { choose([=] { return print_audit(*arguments); }); });
}

}  // namespace sealcast::cli
