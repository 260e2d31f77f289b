// What an operator asks of a key server: rekey, revoke, reinstate, revocations, members.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "app/cli/asking.h"
#include "app/cli/commands.h"
#include "app/cli/keyserver_asking.h"
#include "app/cli/table.h"
#include "app/exit_code.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds between_looks{200};

struct KeyServerArguments {
  std::string command;  // for messages
  std::string socket;
  std::string name;  // of the group or member
  std::string group;
  bool json = false;
  bool wait = true;
  double timeout_s = 120;
};

using Answer = KeyserverAnswer;

int complain(const KeyServerArguments& arguments, int code, const std::string& why) {
  return cli::complain(arguments.command, code, why);
}

Answer ask(const KeyServerArguments& arguments, const json& request) {
  return ask_keyserver(arguments.command, arguments.socket, request);
}

json request(const KeyServerArguments& arguments, const char* name_field) {
  json out = {{"command", arguments.command}, {name_field, arguments.name}};
  if (!arguments.group.empty()) out["group"] = arguments.group;
  return out;
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? clean(found->get<std::string>()) : std::string();
}

double number_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::uint64_t whole(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

json list_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? *found : json::array();
}

bool complete(const json& group) {
  const auto found = group.find("complete");
  return found != group.end() && found->is_boolean() && found->get<bool>();
}

// "waiting for the senders studio, camera2", "waiting 31 s for the leases of senders that are away"
std::string waiting(const json& group) {
  std::string senders;
  for (const json& sender : list_of(group, "senders_awaited"))
    if (sender.is_string()) senders += (senders.empty() ? "" : ", ") + clean(sender.get<std::string>());
  if (!senders.empty()) return "waiting for the senders " + senders + " to switch";
  if (const double left = number_of(group, "leases_end_in_s"); left > 0)
    return "waiting " + duration(static_cast<std::int64_t>(left) + 1) + " for the leases of senders that are away";
  return "waiting for the next epoch to become active";
}

// Members that are behind receive nothing until they have the new epoch; they do not keep a revocation from being
// complete.
std::string still_behind(const json& group) {
  std::string names;
  for (const json& name : list_of(group, "members_behind"))
    if (name.is_string()) names += (names.empty() ? "" : ", ") + clean(name.get<std::string>());
  return names.empty() ? "" : "; behind, without the new epoch yet: " + names;
}

std::string progress(const json& group) {
  char after[32];
  std::snprintf(after, sizeof after, "%.1f s", number_of(group, "after_s"));
  return "group " + text_of(group, "group") + ": " +
         (complete(group) ? std::string("shut out, complete after ") + after : waiting(group)) + still_behind(group);
}

// The exit code; a failure's reason is on standard error already.
int run_simple(const KeyServerArguments& arguments, const char* name_field) {
  const Answer answer = ask(arguments, request(arguments, name_field));
  if (answer.code == ExitCode::ok && arguments.json) std::printf("%s\n", answer.value.dump().c_str());
  return answer.code;
}

int run_rekey(const KeyServerArguments& arguments) {
  return run_simple(arguments, "group");
}

int run_reinstate(const KeyServerArguments& arguments) {
  return run_simple(arguments, "member");
}

// Revokes and, unless told not to, waits until the member can read nothing that is sent any more (H11).
int run_revoke(const KeyServerArguments& arguments) {
  const Answer revoked = ask(arguments, request(arguments, "member"));
  if (revoked.code != ExitCode::ok) return revoked.code;
  const auto deadline = Clock::now() + std::chrono::milliseconds(static_cast<std::int64_t>(arguments.timeout_s * 1000));
  for (;;) {
    const Answer state = ask(arguments, {{"command", "revocations"}});
    if (state.code != ExitCode::ok) return state.code;
    bool all = true;
    std::string lines;
    for (const json& group : list_of(state.value, "groups")) {
      if (!group.is_object() || (!arguments.group.empty() && text_of(group, "group") != arguments.group)) continue;
      all = all && complete(group);
      lines += progress(group) + "\n";
    }
    const bool late = arguments.wait && !all && Clock::now() >= deadline;
    if (all || !arguments.wait || late) {
      if (arguments.json)
        std::printf("%s\n", state.value.dump().c_str());
      else
        std::printf("%s", lines.empty() ? "it held no live epoch; it is refused from now on\n" : lines.c_str());
      if (late)
        return complain(arguments, ExitCode::partial,
                        "revoked, but not complete yet; sealcast revocations shows how far it is");
      return ExitCode::ok;
    }
    std::this_thread::sleep_for(between_looks);
  }
}

std::string utc(double unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts{};
  char text[32] = "";
  if (gmtime_r(&time, &parts) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%SZ", &parts);
  return text;
}

int run_revocations(const KeyServerArguments& arguments) {
  const Answer state = ask(arguments, {{"command", "revocations"}});
  if (state.code != ExitCode::ok) return state.code;
  if (arguments.json) {
    std::printf("%s\n", state.value.dump().c_str());
    return ExitCode::ok;
  }
  Table table({{"MEMBER"}, {"GROUP"}, {"SINCE"}});
  for (const json& entry : list_of(state.value, "revocations")) {
    if (!entry.is_object()) continue;
    const std::string group = text_of(entry, "group");
    table.row({text_of(entry, "member"), group.empty() ? "all" : group, utc(number_of(entry, "since"))});
  }
  std::printf("%s", table.empty() ? "nobody is revoked\n" : table.text().c_str());
  for (const json& group : list_of(state.value, "groups"))
    if (group.is_object()) std::printf("%s\n", progress(group).c_str());
  return ExitCode::ok;
}

std::uint64_t newest_epoch(const json& group) {
  std::uint64_t newest = 0;
  for (const json& epoch : list_of(group, "epochs"))
    if (epoch.is_object()) newest = std::max(newest, whole(epoch, "epoch"));
  return newest;
}

// One line a member and group: what it has, and how far it is behind.
int run_members(const KeyServerArguments& arguments) {
  const Answer status = ask(arguments, {{"command", "status"}});
  if (status.code != ExitCode::ok) return status.code;
  // A gateway's answer holds the embedded key server's.
  const json& keyserver = status.value.contains("keyserver") ? status.value["keyserver"] : status.value;
  if (!keyserver.is_object() || !keyserver.contains("groups") || !keyserver.contains("handshakes"))
    return complain(arguments, ExitCode::failed, "no key server answers at this socket");
  json members = json::array();
  bool known = arguments.group.empty();
  Table table(
      {{"GROUP"}, {"MEMBER"}, {"ADDRESS"}, {"ROLE"}, {"JOINED", Align::right}, {"SLOTS", Align::right}, {"EPOCH"}});
  for (const json& group : list_of(keyserver, "groups")) {
    if (!group.is_object() || (!arguments.group.empty() && text_of(group, "group") != arguments.group)) continue;
    known = true;
    const std::uint64_t newest = newest_epoch(group);
    for (json member : list_of(group, "members")) {
      if (!member.is_object()) continue;
      member["group"] = group["group"];
      member["newest_epoch"] = newest_epoch(group);
      const bool behind = whole(member, "acknowledged") < newest;
      member["behind"] = behind;
      table.row({text_of(group, "group"), text_of(member, "member"), text_of(member, "address"),
                 text_of(member, "roles"), duration(static_cast<std::int64_t>(number_of(member, "joined_s"))),
                 count(list_of(member, "slots").size()), behind ? "behind" : "current"});
      members.push_back(std::move(member));
    }
  }
  if (!known)
    return complain(arguments, ExitCode::failed, "expected a group of this key server, got " + clean(arguments.group));
  if (arguments.json)
    std::printf("%s\n", json{{"members", members}}.dump().c_str());
  else
    std::printf("%s", table.empty() ? "no members\n" : table.text().c_str());
  return ExitCode::ok;
}

using Run = int (*)(const KeyServerArguments&);

CLI::App* add(CLI::App& app, const Choose& choose, const std::shared_ptr<KeyServerArguments>& arguments,
              const char* name, const char* help, Run run) {
  arguments->command = name;
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("--socket", arguments->socket, "the key server's admin_socket, or its gateway's");
  command->callback([=] { choose([=] { return run(*arguments); }); });
  return command;
}

}  // namespace

void add_keyserver_commands(CLI::App& app, const Choose& choose) {
  const auto named = [&](const char* name, const char* help, Run run) {
    auto arguments = std::make_shared<KeyServerArguments>();
    return std::pair(arguments, add(app, choose, arguments, name, help, run));
  };
  {
    const auto [arguments, command] = named("rekey", "Begin a group's next epoch now", run_rekey);
    command->add_option("group", arguments->name, "the group's id")->required();
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] =
        named("revoke", "Shut a member out: refuse it from now on and rekey what it holds", run_revoke);
    command->add_option("member", arguments->name, "a name in its certificate, or its user")->required();
    command->add_option("--group", arguments->group, "of this group only (default: of all)");
    command->add_flag("!--no-wait", arguments->wait, "do not wait until it is complete");
    command->add_option("--timeout", arguments->timeout_s, "seconds to wait")
        ->check(seconds_range(0.1, 86400.0))
        ->capture_default_str();
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] = named("reinstate", "Take a revocation back", run_reinstate);
    command->add_option("member", arguments->name, "the name it was revoked under")->required();
    command->add_option("--group", arguments->group, "the group it was revoked in (default: all)");
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] =
        named("revocations", "Show who is revoked, and how far the last revocation is", run_revocations);
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] = named("members", "Show a key server's members, one a line", run_members);
    command->add_option("--group", arguments->group, "of this group only");
    command->add_flag("--json", arguments->json, "one JSON object, for programs");
  }
}

}  // namespace sealcast::cli
