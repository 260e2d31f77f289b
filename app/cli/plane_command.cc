// Shows a running gateway's data plane: ports, groups, SAs, and a screen that is drawn again and again.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "app/cli/asking.h"
#include "app/cli/commands.h"
#include "app/cli/keyserver_text.h"
#include "app/cli/plane_text.h"
#include "app/exit_code.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct PlaneArguments : Asking {
  std::string name;
  std::string group;
  bool all = false;
  double interval_s = 0;
  std::uint32_t count = 0;  // screens of top; 0: until interrupted
  std::uint32_t rows = 20;
};

void wait(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// What a screen shows of an answer and, for rates, of an earlier one (nullptr: none).
template <typename Request>
using Screen = std::function<std::string(const typename Request::Answer& now, const typename Request::Answer* earlier)>;

// For answers that hold the data plane's statistics and nothing else of interest.
template <typename Request, typename Show>
Screen<Request> plane_screen(Show show) {
  return [show](const auto& now, const auto* earlier) {
    return show(Looks{now.statistics, earlier != nullptr ? &earlier->statistics : nullptr});
  };
}

template <typename Request>
int once(const PlaneArguments& arguments, const Request& request, const Screen<Request>& screen) {
  int code = ExitCode::ok;
  std::optional<Asked<Request>> earlier;
  if (arguments.interval_s > 0) {
    earlier = ask(arguments, arguments.name, request, code);
    if (!earlier) return code;
    if (arguments.json) std::printf("%s\n", earlier->line.c_str());
    wait(arguments.interval_s);
  }
  const auto now = ask(arguments, arguments.name, request, code);
  if (!now) return code;
  const std::string text = arguments.json ? now->line + "\n" : screen(now->value, earlier ? &earlier->value : nullptr);
  std::fputs(text.c_str(), stdout);
  return code;
}

std::string groups_screen(const admin::GroupsRequest::Answer& now, const admin::GroupsRequest::Answer* earlier) {
  if (const auto* keyserver = std::get_if<admin::KeyserverGroups>(&now)) return keyserver_groups_text(*keyserver);
  const auto& plane = std::get<admin::PlaneGroups>(now);
  const auto* before = earlier != nullptr ? std::get_if<admin::PlaneGroups>(earlier) : nullptr;
  std::string out = plane_groups_text({plane.statistics, before != nullptr ? &before->statistics : nullptr});
  if (plane.keyserver) out += "\n" + keyserver_groups_text(*plane.keyserver);
  return out;
}

// Shows a gateway's groups and a key server's: without a socket, those of the daemons that run here.
int groups(PlaneArguments arguments) {
  const auto show = [&] { return once<admin::GroupsRequest>(arguments, {}, groups_screen); };
  if (!arguments.socket.empty()) return show();
  int code = ExitCode::unreachable;
  bool first = true;
  for (const char* usual : {usual_gateway_socket, usual_keyserver_socket}) {
    if (::access(usual, F_OK) != 0) continue;
    if (!first && !arguments.json) std::puts("");
    arguments.socket = usual;
    const int one = show();
    code = first || code == one ? one : ExitCode::partial;
    first = false;
  }
  if (first)
    std::fprintf(stderr, "sealcast groups: nothing runs here: neither %s nor %s exists; give --socket\n",
                 usual_gateway_socket, usual_keyserver_socket);
  return code;
}

int top(const PlaneArguments& arguments) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !arguments.json;
  std::optional<Asked<admin::TopRequest>> earlier;
  for (std::uint32_t n = 0; arguments.count == 0 || n < arguments.count; ++n) {
    if (n != 0) wait(arguments.interval_s);
    int code = ExitCode::ok;
    auto now = ask(arguments, arguments.name, admin::TopRequest(), code);
    if (!now) return code;
    const Looks looks{now->value.statistics, earlier ? &earlier->value.statistics : nullptr};
    const std::string text = arguments.json ? now->line + "\n" : top_text(looks, arguments.rows);
    // Cursor home, the new screen, then clear what is left of the old one below it: no flicker of a cleared screen.
    std::string out = terminal ? "\x1b[H" + text + "\x1b[J" : text;
    if (terminal)
      for (std::size_t at = 0; (at = out.find('\n', at)) != std::string::npos; at += 4)
        out.replace(at, 1, "\x1b[K\n");
    if (terminal && n == 0) out = "\x1b[2J" + out;
    if (!terminal && !arguments.json && n != 0) out = "\n" + out;
    std::fputs(out.c_str(), stdout);
    if (std::fflush(stdout) != 0) return ExitCode::failed;  // main() says why
    earlier = std::move(now);
  }
  return ExitCode::ok;
}

int run(const PlaneArguments& arguments) {
  using namespace admin;
  if (arguments.name == "groups") return groups(arguments);
  if (arguments.name == "ports") return once<PortsRequest>(arguments, {}, plane_screen<PortsRequest>(ports_text));
  const auto sas = [all = arguments.all](const Looks& looks) { return sas_text(looks, all); };
  return once<SasRequest>(arguments, {.group = arguments.group, .all = arguments.all}, plane_screen<SasRequest>(sas));
}

}  // namespace

void add_plane(CLI::App& app, const Choose& choose) {
  const auto add = [&](const char* name, const char* what) {
    auto arguments = std::make_shared<PlaneArguments>();
    arguments->name = name;
    CLI::App* command = app.add_subcommand(name, what);
    if (arguments->name == "groups") arguments->socket.clear();
    add_asking(*command, *arguments);
    return std::pair(command, arguments);
  };
  for (const auto& [name, what] :
       {std::pair("ports", "Show a gateway's ports, workers and drops"),
        std::pair("groups", "Show each group: what a gateway sealed and opened, or a key server's epochs and members"),
        std::pair("sas", "Show a gateway's security associations, one for every sender")}) {
    const auto [command, arguments] = add(name, what);
    command->add_option("--interval", arguments->interval_s, "look twice, so many seconds apart, and show rates")
        ->check(seconds_range(0.05, 3600.0));
    if (arguments->name == "sas") {
      command->add_option("--group", arguments->group, "of this group only");
      command->add_flag("--all", arguments->all, "also SAs without packets");
    }
    command->callback([=, held = arguments] { choose([=] { return run(*held); }); });
  }
  const auto [command, arguments] = add("top", "Show ports and the busiest groups again and again");
  arguments->interval_s = 2;
  command->add_option("--interval", arguments->interval_s, "seconds between two screens")
      ->check(seconds_range(0.05, 3600.0))
      ->capture_default_str();
  command->add_option("--count", arguments->count, "end after so many screens; 0: never")->capture_default_str();
  command->add_option("--rows", arguments->rows, "groups on a screen")->capture_default_str();
  command->callback([=, held = arguments] { choose([=] { return top(*held); }); });
}

}  // namespace sealcast::cli
