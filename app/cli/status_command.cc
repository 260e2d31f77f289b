#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "app/cli/asking.h"
#include "app/cli/commands.h"
#include "app/cli/status_text.h"
#include "app/exit_code.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct StatusArguments {
  std::vector<std::string> sockets;
  bool json = false;
  StatusView view;
  double timeout_s = 3;
  double interval_s = 0;  // between two screens, for rates; 0: one screen
};

// One daemon: 0, 1 (it answers, but not with a status) or 3.
int show(const std::string& socket, const StatusArguments& arguments, bool first) {
  const Asking asking{.socket = socket, .json = arguments.json, .timeout_s = arguments.timeout_s};
  const admin::StatusRequest request{.all = arguments.view.all};
  int code = ExitCode::ok;
  std::optional<Asked<admin::StatusRequest>> earlier;
  if (arguments.interval_s > 0) {
    earlier = ask(asking, "status", request, code);
    if (!earlier) return code;
    std::this_thread::sleep_for(std::chrono::duration<double>(arguments.interval_s));
  }
  const auto now = ask(asking, "status", request, code);
  if (!now) return code;
  if (arguments.json && earlier) std::printf("%s\n", earlier->line.c_str());
  if (arguments.json)
    std::printf("%s\n", now->line.c_str());
  else
    std::printf("%s%s", first ? "" : "\n",
                status_text(now->value, arguments.view, earlier ? &earlier->value : nullptr).c_str());
  return ExitCode::ok;
}

int run_status(StatusArguments arguments) {
  if (arguments.sockets.empty()) {
    for (const char* path : {usual_gateway_socket, usual_keyserver_socket})
      if (::access(path, F_OK) == 0) arguments.sockets.push_back(path);
    if (arguments.sockets.empty()) {
      std::fprintf(stderr,
                   "sealcast status: no daemon here: neither %s nor %s exists; start one, or give --socket with its "
                   "admin_socket\n",
                   usual_gateway_socket, usual_keyserver_socket);
      return ExitCode::unreachable;
    }
  }
  std::vector<int> codes;
  for (const std::string& socket : arguments.sockets) {
    const bool first = std::none_of(codes.begin(), codes.end(), [](int code) { return code == ExitCode::ok; });
    codes.push_back(show(socket, arguments, first));
  }
  const auto good = std::count(codes.begin(), codes.end(), ExitCode::ok);
  if (good == static_cast<std::ptrdiff_t>(codes.size())) return ExitCode::ok;
  return good > 0 ? ExitCode::partial : *std::min_element(codes.begin(), codes.end());
}

}  // namespace

void add_status(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<StatusArguments>();
  CLI::App* status = app.add_subcommand("status", "Show groups, epochs, members or SAs, and packet counters");
  status->add_option("--socket", arguments->sockets, "a daemon's admin_socket; give it once for each")
      ->expected(1)
      ->take_all();
  status->add_flag("--json", arguments->json, "one JSON object a line and daemon, for programs");
  status->add_flag("--all", arguments->view.all, "also SAs without packets and drop reasons that never occurred");
  status->add_option("--timeout", arguments->timeout_s, "seconds to wait for a daemon")
      ->check(seconds_range(0.05, 3600.0))
      ->capture_default_str();
  status->add_option("--interval", arguments->interval_s, "look twice, so many seconds apart, and show rates")
      ->check(seconds_range(0.05, 3600.0));
  status->callback([=] { choose([=] { return run_status(*arguments); }); });
}

}  // namespace sealcast::cli
