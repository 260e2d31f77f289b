#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "app/cli/commands.h"
#include "app/exit_code.h"
#include "controlplane/passwords/password_file.h"
#include "controlplane/terminal/secret_input.h"

namespace sealcast::cli {
namespace {

using app::ExitCode;

struct PasswdArguments {
  std::string file, user, cost;
  bool remove = false;
  bool weak = false;
  bool list = false;
};

int report(const Result<void>& done) {
  if (done) return ExitCode::ok;
  std::fprintf(stderr, "sealcast passwd: %s\n", done.error().message.c_str());
  return ExitCode::failed;
}

// Typed twice at a terminal, else the one line of standard input.
Result<SecretBytes> new_password(const std::string& user) {
  if (::isatty(STDIN_FILENO) == 0) return terminal::read_line(STDIN_FILENO, max_password_bytes);
  auto first = terminal::ask("New password of " + user + ": ", max_password_bytes);
  if (!first) return first;
  const auto second = terminal::ask("Once more: ", max_password_bytes);
  if (!second) return tl::unexpected(second.error());
  if (first->size() != second->size() || !equal_constant_time(first->data(), second->data(), first->size()))
    return fail("the two differ; nothing was changed");
  return first;
}

Result<void> set(const PasswdArguments& arguments) {
  if (!passwords::valid_user(arguments.user))
    return fail("user \"" + arguments.user + "\": expected " + std::string(passwords::user_form));
  passwords::HashPolicy policy;
  if (!arguments.cost.empty()) {
    const auto cost = passwords::HashCost::parse(arguments.cost);
    if (!cost) return fail("--cost: " + cost.error().message);
    if (!policy.allows(*cost))
      return fail("--cost: expected " + policy.least.text() + " to " + policy.most.text() + ", got " + cost->text());
    policy.preferred = *cost;
  }
  const auto password = new_password(arguments.user);
  if (!password) return tl::unexpected(password.error());
  if (!arguments.weak) {
    if (const auto strong = passwords::strong_enough(arguments.user, *password); !strong)
      return fail(strong.error().message + "; nothing was changed (--weak takes it all the same)");
  }
  return passwords::update(arguments.file, policy, [&](passwords::PasswordFile& file) -> Result<void> {
    if (!arguments.cost.empty() && file.cost() != policy.preferred)
      return fail("--cost: expected " + file.cost().text() + ", the cost of the hashes in " + arguments.file +
                  ": different ones would tell users apart. For another cost begin a new file");
    return file.set(arguments.user, *password);
  });
}

Result<void> remove(const PasswdArguments& arguments) {
  if (::access(arguments.file.c_str(), F_OK) != 0) return fail(arguments.file + ": there is no such file");
  return passwords::update(arguments.file, {}, [&](passwords::PasswordFile& file) -> Result<void> {
    if (!file.remove(arguments.user)) return fail(arguments.file + " has no user \"" + arguments.user + "\"");
    return {};
  });
}

Result<void> list(const PasswdArguments& arguments) {
  const auto file = passwords::PasswordFile::load(arguments.file);
  if (!file) return tl::unexpected(file.error());
  for (const std::string& user : file->users())
    std::printf("%s\n", user.c_str());
  return {};
}

}  // namespace

void add_passwd(CLI::App& app, const Choose& choose) {
  auto arguments = std::make_shared<PasswdArguments>();
  CLI::App* passwd = app.add_subcommand("passwd", "Set, remove or list users in a key server's password file");
  passwd->add_option("FILE", arguments->file, "the key server's password_file; made if it is not there")->required();
  CLI::Option* user = passwd->add_option("USER", arguments->user,
                                         "the user; the password is typed twice at a terminal, else one line of "
                                         "standard input; never on the command line");
  CLI::Option* remove_it = passwd->add_flag("--remove", arguments->remove, "remove the user");
  CLI::Option* list_all = passwd->add_flag("--list", arguments->list, "list the users, one a line");
  CLI::Option* cost = passwd->add_option("--cost", arguments->cost,
                                         "Argon2id's cost for a new file, m=KIB,t=PASSES (default m=65536,t=3)");
  CLI::Option* weak =
      passwd->add_flag("--weak", arguments->weak, "take a password that is easy to guess, or a short PIN");
  weak->excludes(remove_it);
  list_all->excludes(weak);
  list_all->excludes(user)->excludes(remove_it)->excludes(cost);
  cost->excludes(remove_it);
  passwd->callback([=] {
    if (!arguments->list && arguments->user.empty())
      throw CLI::RequiredError("USER (or --list)");  // CLI11's own way out of its parser
    choose([=] {
      return report(arguments->list ? list(*arguments) : arguments->remove ? remove(*arguments) : set(*arguments));
    });
  });
}

}  // namespace sealcast::cli
