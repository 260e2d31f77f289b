#include "app/cli/asking.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "app/cli/table.h"
#include "controlplane/admin/admin_client.h"

namespace sealcast::cli {

CLI::Validator seconds_range(double least, double most) {
  char range[64];
  std::snprintf(range, sizeof range, "%g to %g", least, most);
  const std::string expected = range;
  return {[=](std::string& text) {
            char* end = nullptr;
            const double value = std::strtod(text.c_str(), &end);
            const bool whole = !text.empty() && *end == '\0';
            if (whole && value >= least && value <= most) return std::string();
            return "expected " + expected + " seconds, got " + text;
          },
          "[" + expected + "]", "seconds"};
}

void add_asking(CLI::App& command, Asking& asking) {
  command.add_option("--socket", asking.socket, "the gateway's admin_socket")->capture_default_str();
  command.add_flag("--json", asking.json, "the gateway's answer as one JSON object a line, for programs");
  command.add_option("--timeout", asking.timeout_s, "seconds to wait for the gateway")
      ->check(seconds_range(0.05, 3600.0))
      ->capture_default_str();
}

int complain(const std::string& command, int code, const std::string& why) {
  std::fprintf(stderr, "sealcast %s: %s\n", command.c_str(), clean(why).c_str());
  return code;
}

std::optional<std::string> ask_line(const Asking& asking, const std::string& command, const std::string& request,
                                    int& code) {
  const std::chrono::milliseconds deadline(static_cast<std::int64_t>(asking.timeout_s * 1000));
  auto answer = admin::ask(asking.socket, request, deadline);
  if (answer) return std::move(*answer);
  code = complain(command, app::ExitCode::unreachable, answer.error().message);
  return std::nullopt;
}

void warn_of_untold(const std::string& command, const Asking& asking, const admin::Names& untold) {
  static std::set<std::string> warned;  // once for a daemon, however often it is asked
  if (untold.empty() || !warned.insert(asking.socket).second) return;
  std::string names;
  for (const std::string& name : untold)
    names += (names.empty() ? "" : ", ") + name;
  complain(command, 0,
           asking.socket + ": the daemon is of another version and does not tell " + names + ": shown as 0");
}

}  // namespace sealcast::cli
