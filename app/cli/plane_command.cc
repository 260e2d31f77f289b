// Shows a running gateway's data plane: ports, groups, SAs, and a screen that is drawn again and again.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "app/cli/asking.h"
#include "app/cli/commands.h"
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

  std::string request() const {
    nlohmann::json request{{"command", name}};
    if (!group.empty()) request["group"] = group;
    if (all) request["all"] = true;
    return request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
};

Result<std::string> screen(const PlaneArguments& arguments, const std::string& answer, const std::string& earlier) {
  if (arguments.name == "ports") return ports_text(answer, earlier);
  if (arguments.name == "groups") return groups_text(answer, earlier);
  if (arguments.name == "sas") return sas_text(answer, earlier, arguments.all);
  return top_text(answer, earlier, arguments.rows);
}

// The text of one screen, or nothing and the exit code.
std::optional<std::string> shown(const PlaneArguments& arguments, const std::string& answer, const std::string& earlier,
                                 int& code) {
  auto text = screen(arguments, answer, earlier);
  if (text) return arguments.json ? answer + "\n" : std::move(*text);
  std::fprintf(stderr, "sealcast %s: %s: %s\n", arguments.name.c_str(), arguments.socket.c_str(),
               text.error().message.c_str());
  code = ExitCode::failed;
  return std::nullopt;
}

void wait(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

int once(const PlaneArguments& arguments) {
  int code = ExitCode::ok;
  std::string earlier;
  if (arguments.interval_s > 0) {
    auto first = ask_daemon(arguments, arguments.name.c_str(), arguments.request(), code);
    if (!first) return code;
    earlier = std::move(*first);
    if (arguments.json) std::printf("%s\n", earlier.c_str());
    wait(arguments.interval_s);
  }
  const auto answer = ask_daemon(arguments, arguments.name.c_str(), arguments.request(), code);
  if (!answer) return code;
  const auto text = shown(arguments, *answer, earlier, code);
  if (text) std::fputs(text->c_str(), stdout);
  return code;
}

// Shows a gateway's groups and a key server's: without a socket, those of the daemons that run here.
int groups(PlaneArguments arguments) {
  if (!arguments.socket.empty()) return once(arguments);
  int code = ExitCode::unreachable;
  bool first = true;
  for (const char* usual : {usual_gateway_socket, usual_keyserver_socket}) {
    if (::access(usual, F_OK) != 0) continue;
    if (!first && !arguments.json) std::puts("");
    arguments.socket = usual;
    const int one = once(arguments);
    code = first || code == one ? one : ExitCode::partial;
    first = false;
  }
  if (first)
    std::fprintf(stderr, "sealcast groups: nothing runs here: neither %s nor %s exists; give --socket\n",
                 usual_gateway_socket, usual_keyserver_socket);
  return code;
}

int again(const PlaneArguments& arguments) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1 && !arguments.json;
  std::string earlier;
  for (std::uint32_t n = 0; arguments.count == 0 || n < arguments.count; ++n) {
    if (n != 0) wait(arguments.interval_s);
    int code = ExitCode::ok;
    auto answer = ask_daemon(arguments, arguments.name.c_str(), arguments.request(), code);
    if (!answer) return code;
    const auto text = shown(arguments, *answer, earlier, code);
    if (!text) return code;
    // Cursor home, the new screen, then clear what is left of the old one below it: no flicker of a cleared screen.
    std::string out = terminal ? "\x1b[H" + *text + "\x1b[J" : *text;
    if (terminal)
      for (std::size_t at = 0; (at = out.find('\n', at)) != std::string::npos; at += 4)
        out.replace(at, 1, "\x1b[K\n");
    if (terminal && n == 0) out = "\x1b[2J" + out;
    if (!terminal && !arguments.json && n != 0) out = "\n" + out;
    std::fputs(out.c_str(), stdout);
    if (std::fflush(stdout) != 0) return ExitCode::failed;  // main() says why
    earlier = std::move(*answer);
  }
  return ExitCode::ok;
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
    command->callback(
        [=, held = arguments] { choose([=] { return held->name == "groups" ? groups(*held) : once(*held); }); });
  }
  const auto [command, arguments] = add("top", "Show ports and the busiest groups again and again");
  arguments->interval_s = 2;
  command->add_option("--interval", arguments->interval_s, "seconds between two screens")
      ->check(seconds_range(0.05, 3600.0))
      ->capture_default_str();
  command->add_option("--count", arguments->count, "end after so many screens; 0: never")->capture_default_str();
  command->add_option("--rows", arguments->rows, "groups on a screen")->capture_default_str();
  command->callback([=, held = arguments] { choose([=] { return again(*held); }); });
}

}  // namespace sealcast::cli
