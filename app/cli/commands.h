// The tool's commands: each registers itself, with its options, and returns its exit code when it was chosen.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sealcast::cli {

using Command = std::function<int()>;
// Called with what to run when the command line names the command.
using Choose = std::function<void(Command)>;

void add_pki(CLI::App& app, const Choose& choose);
void add_passwd(CLI::App& app, const Choose& choose);
void add_check(CLI::App& app, const Choose& choose);
void add_status(CLI::App& app, const Choose& choose);
void add_keyserver_commands(CLI::App& app, const Choose& choose);  // rekey, revoke, reinstate, unlock, …
void add_audit(CLI::App& app, const Choose& choose);
void add_trace(CLI::App& app, const Choose& choose);
void add_plane(CLI::App& app, const Choose& choose);  // ports, groups, sas, top

}  // namespace sealcast::cli
