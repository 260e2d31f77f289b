#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "app/cli/commands.h"
#include "app/exit_code.h"
#include "controlplane/pki/folder.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct PkiArguments {
  pki::FolderOptions folder;
  bool rsa = false;
  std::string name;
  std::string ca_name = "Sealcast CA";
  std::vector<std::string> groups;
  bool all_groups = false;
};
using Shared = std::shared_ptr<PkiArguments>;

std::string date(std::int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  if (::gmtime_r(&time, &parts) == nullptr) return "?";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts)};
}

// Prints where the private key is and how long each thing lasts.
int print_made(const Result<pki::Made>& made) {
  if (!made) {
    std::fprintf(stderr, "sealcast pki: %s\n", made.error().message.c_str());
    return ExitCode::failed;
  }
  std::string files;
  for (const std::string& file : made->files)
    files += (files.empty() ? "" : " ") + file;
  if (!files.empty())
    std::printf("%s: valid until %s%s\n", files.c_str(), date(made->not_after).c_str(),
                made->cut_to_ca_life ? " (as long as the CA; less than asked for)" : "");
  if (made->list)
    std::printf("%s: holds until %s; sign it anew before that (sealcast pki crl), or every certificate is refused\n",
                made->list->file.c_str(), date(made->list->next_update).c_str());
  return ExitCode::ok;
}

void add_common(CLI::App* command, const Shared& arguments, bool makes_key) {
  command->add_option("--dir", arguments->folder.folder, "folder to work in")->capture_default_str();
  command->add_option("--days", arguments->folder.days, "life in days")->check(CLI::Range(1, 36500));
  if (!makes_key) return;
  command->add_flag("--rsa", arguments->rsa,
                    "RSA key of 3072 bits instead of ECDSA P-256 (variant 1, ECDHE_RSA suites)");
  command->add_flag("--force", arguments->folder.force, "replace what is there; its old key is then lost");
}

const pki::FolderOptions& finish(const Shared& arguments) {
  arguments->folder.now = std::time(nullptr);
  arguments->folder.key = arguments->rsa ? pki::KeyKind::rsa_3072 : pki::KeyKind::ecdsa_p256;
  return arguments->folder;
}

}  // namespace

void add_pki(CLI::App& app, const Choose& choose) {
  CLI::App* group = app.add_subcommand("pki", "Make certificates: a CA, key servers, members, revocation lists");
  group->require_subcommand(1);

  auto arguments = std::make_shared<PkiArguments>();
  CLI::App* init = group->add_subcommand("init", "Make a certification authority and its first, empty revocation list");
  init->add_option("--ca-name", arguments->ca_name, "the CA's common name")->capture_default_str();
  add_common(init, arguments, true);
  init->callback([=] { choose([=] { return print_made(pki::init(finish(arguments), arguments->ca_name)); }); });

  CLI::App* server = group->add_subcommand("server", "Make a key server's certificate");
  server->add_option("NAME", arguments->name, "DNS name that members expect (keyserver_name)")->required();
  add_common(server, arguments, true);
  server->callback([=] { choose([=] { return print_made(pki::make_server(finish(arguments), arguments->name)); }); });

  CLI::App* member = group->add_subcommand("member", "Make a member's certificate");
  member->add_option("NAME", arguments->name, "the member's name")->required();
  CLI::Option* groups = member->add_option("--group", arguments->groups, "group it may join; give it once for each")
                            ->expected(1)
                            ->take_all();
  CLI::Option* all = member->add_flag("--all-groups", arguments->all_groups, "let it join every group");
  groups->excludes(all);
  add_common(member, arguments, true);
  member->callback([=] {
    // A certificate for all groups must be asked for: a forgotten option must not make one.
    if (arguments->groups.empty() && !arguments->all_groups)
      throw CLI::RequiredError("--group (or --all-groups)");  // CLI11's own way out of its parser
    choose([=] { return print_made(pki::make_member(finish(arguments), arguments->name, arguments->groups)); });
  });

  CLI::App* revoke = group->add_subcommand("revoke", "Put a certificate on the revocation list");
  revoke->add_option("NAME", arguments->name, "name of the certificate: DIR/NAME.pem")->required();
  add_common(revoke, arguments, false);
  revoke->callback([=] { choose([=] { return print_made(pki::revoke(finish(arguments), arguments->name)); }); });

  CLI::App* list = group->add_subcommand("crl", "Sign the revocation list anew, before it expires");
  add_common(list, arguments, false);
  list->callback([=] { choose([=] { return print_made(pki::renew_revocation_list(finish(arguments))); }); });
}

}  // namespace sealcast::cli
