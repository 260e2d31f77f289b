// What an operator asks of a key server: rekey, revoke, reinstate, unlock, revocations, members, clock.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "app/cli/commands.h"
#include "app/cli/keyserver_asking.h"
#include "app/cli/keyserver_text.h"
#include "app/exit_code.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds between_looks{200};
constexpr std::chrono::seconds between_words{2};  // about how far a revocation is

struct KeyServerArguments {
  std::string command;  // for messages
  std::string socket;
  std::string name;  // of the group or member
  std::string group;
  bool json = false;
  bool force = false;
  bool wait = true;
  double timeout_s = 120;
};

// How to ask; nothing when there is none to ask, then code is the exit code.
std::optional<Asking> asking_of(const KeyServerArguments& arguments, int& code) {
  return keyserver_at(arguments.command, arguments.socket, arguments.json, code);
}

// A command whose answer is only that it was done. A failure's reason is on standard error already.
template <typename Request>
int run_simple(const KeyServerArguments& arguments, const Request& request) {
  int code = ExitCode::ok;
  const auto asking = asking_of(arguments, code);
  if (!asking) return code;
  const auto answer = ask(*asking, arguments.command, request, code);
  if (answer && arguments.json) std::printf("%s\n", answer->line.c_str());
  return code;
}

std::optional<std::string> named(const std::string& group) {
  return group.empty() ? std::nullopt : std::optional(group);
}

int run_rekey(const KeyServerArguments& arguments) {
  return run_simple(arguments, admin::RekeyRequest{arguments.name});
}

int run_reinstate(const KeyServerArguments& arguments) {
  return run_simple(arguments, admin::ReinstateRequest{arguments.name, named(arguments.group)});
}

int run_unlock(const KeyServerArguments& arguments) {
  return run_simple(arguments, admin::UnlockRequest{arguments.name});
}

int run_clock_accept(const KeyServerArguments& arguments) {
  return run_simple(arguments, admin::ClockAcceptRequest());
}

// Revokes and, unless told not to, waits until the member can read nothing that is sent any more (H11).
int run_revoke(const KeyServerArguments& arguments) {
  int code = ExitCode::ok;
  const auto asking = asking_of(arguments, code);
  if (!asking) return code;
  const auto revoked = ask(*asking, arguments.command,
                           admin::RevokeRequest{arguments.name, named(arguments.group), arguments.force}, code);
  if (!revoked) return code;
  if (revoked->value.unknown.value_or(false)) {
    if (arguments.json) std::printf("%s\n", revoked->line.c_str());
    return complain(arguments.command, ExitCode::unknown_name, unknown_text(arguments.name, revoked->value.similar));
  }
  const auto deadline = Clock::now() + std::chrono::milliseconds(static_cast<std::int64_t>(arguments.timeout_s * 1000));
  auto word = Clock::now() + between_words;
  std::string said;
  for (;;) {
    const auto state = ask(*asking, arguments.command, admin::RevocationsRequest(), code);
    if (!state) return code;
    bool all = true;
    std::string lines;
    for (const auto& group : state->value.groups) {
      if (!arguments.group.empty() && group.group != arguments.group) continue;
      all = all && group.complete.value_or(false);
      lines += progress_text(group) + "\n";
    }
    const bool late = arguments.wait && !all && Clock::now() >= deadline;
    if (all || !arguments.wait || late) {
      if (arguments.json)
        std::printf("%s\n", state->line.c_str());
      else
        std::printf("%s", lines.empty() ? "it held no live epoch; it is refused from now on\n" : lines.c_str());
      if (late)
        return complain(arguments.command, ExitCode::partial,
                        "revoked, but not complete yet; sealcast revocations shows how far it is");
      return ExitCode::ok;
    }
    if (!arguments.json && Clock::now() >= word && lines != said) {
      std::fprintf(stderr, "%s", lines.c_str());
      said = lines;
      word = Clock::now() + between_words;
    }
    std::this_thread::sleep_for(between_looks);
  }
}

int run_revocations(const KeyServerArguments& arguments) {
  int code = ExitCode::ok;
  const auto asking = asking_of(arguments, code);
  if (!asking) return code;
  const auto state = ask(*asking, arguments.command, admin::RevocationsRequest(), code);
  if (state) std::printf("%s", (arguments.json ? state->line + "\n" : revocations_text(state->value)).c_str());
  return code;
}

// A gateway's answer holds the embedded key server's.
const admin::KeyserverStatus* keyserver_in(const admin::StatusRequest::Answer& status) {
  if (const auto* const keyserver = std::get_if<admin::KeyserverStatus>(&status)) return keyserver;
  const auto& gateway = std::get<admin::GatewayStatus>(status);
  return gateway.keyserver ? &*gateway.keyserver : nullptr;
}

void add_members(const admin::KeyserverGroup& group, admin::MemberList& list) {
  std::uint64_t newest = 0;
  for (const admin::EpochStatus& epoch : group.epochs)
    newest = std::max(newest, epoch.epoch.value_or(0));
  for (admin::MemberStatus member : group.members.value_or(std::vector<admin::MemberStatus>())) {
    if (member.acknowledged) member.behind = *member.acknowledged < newest;
    list.members.push_back({group.group, newest, std::move(member)});
  }
}

int run_members(const KeyServerArguments& arguments) {
  int code = ExitCode::ok;
  const auto asking = asking_of(arguments, code);
  if (!asking) return code;
  const auto status = ask(*asking, arguments.command, admin::StatusRequest(), code);
  if (!status) return code;
  const admin::KeyserverStatus* const keyserver = keyserver_in(status->value);
  if (keyserver == nullptr)
    return complain(arguments.command, ExitCode::failed, "no key server answers at this socket");
  admin::MemberList list;
  bool known = arguments.group.empty();
  for (const admin::KeyserverGroup& group : keyserver->groups) {
    if (!arguments.group.empty() && group.group != arguments.group) continue;
    known = true;
    add_members(group, list);
  }
  if (!known)
    return complain(arguments.command, ExitCode::failed, "expected a group of this key server, got " + arguments.group);
  std::printf("%s", (arguments.json ? admin::to_json(list) + "\n" : members_text(list.members)).c_str());
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
  const auto command_of = [&](const char* name, const char* help, Run run) {
    auto arguments = std::make_shared<KeyServerArguments>();
    return std::pair(arguments, add(app, choose, arguments, name, help, run));
  };
  {
    const auto [arguments, command] = command_of("rekey", "Begin a group's next epoch now", run_rekey);
    command->add_option("group", arguments->name, "the group's id")->required();
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] =
        command_of("revoke", "Shut a member out: refuse it from now on and rekey what it holds", run_revoke);
    command->add_option("member", arguments->name, "a name in its certificate, or its user")->required();
    command->add_option("--group", arguments->group, "of this group only (default: of all)");
    command->add_flag("--force", arguments->force, "also a name that no known member or user bears");
    command->add_flag("!--no-wait", arguments->wait, "do not wait until it is complete");
    command->add_option("--timeout", arguments->timeout_s, "seconds to wait")
        ->check(seconds_range(0.1, 86400.0))
        ->capture_default_str();
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] = command_of("reinstate", "Take a revocation back", run_reinstate);
    command->add_option("member", arguments->name, "the name it was revoked under")->required();
    command->add_option("--group", arguments->group, "the group it was revoked in (default: all)");
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    CLI::App* const clock = app.add_subcommand("clock", "A key server's clock");
    clock->require_subcommand(1);
    const auto arguments = std::make_shared<KeyServerArguments>();
    add(*clock, choose, arguments, "accept", "Say that a clock that is doubted is right", run_clock_accept)
        ->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
    arguments->command = "clock accept";
  }
  {
    const auto [arguments, command] =
        command_of("unlock", "Let a user try passwords again after too many wrong ones", run_unlock);
    command->add_option("user", arguments->name, "a user of the password file")->required();
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] =
        command_of("revocations", "Show who is revoked, and how far the last revocation is", run_revocations);
    command->add_flag("--json", arguments->json, "the key server's answer as it is, for programs");
  }
  {
    const auto [arguments, command] = command_of("members", "Show a key server's members, one a line", run_members);
    command->add_option("--group", arguments->group, "of this group only");
    command->add_flag("--json", arguments->json, "one JSON object, for programs");
  }
}

}  // namespace sealcast::cli
