#include "bench/member_load/options.h"

#include <CLI/CLI.hpp>

namespace sealcast::load {

std::vector<std::string> group_names(const Options& options) {
  std::vector<std::string> names = {options.group};
  for (std::uint32_t i = 2; i <= options.groups; ++i)
    names.push_back(options.group + "-" + std::to_string(i));
  return names;
}

std::optional<int> parse(int argc, char** argv, Options& out) {
  CLI::App app{"Thousands of members of one key server in one process: what does a server need?"};
  out.keyserver = SEALCAST_KEYSERVER;
  app.add_option("--members", out.members, "members")->capture_default_str()->check(CLI::Range(1, 60000));
  app.add_option("--senders", out.senders, "how many of them may send")->capture_default_str();
  app.add_option("--groups", out.groups, "groups that every member is in; rekeys are of the first")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_flag("--apart", out.apart, "a connection for each group of a member, where otherwise one is for all");
  app.add_option("--concurrent", out.concurrent, "handshakes under way at once while they first join")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000));
  app.add_option("--rekeys", out.rekeys, "rekeys to measure")->capture_default_str();
  app.add_option("--hold", out.hold_s, "seconds of keepalives and reports alone")->capture_default_str();
  app.add_option("--every", out.every_s, "seconds between a member's keepalives, and its reports")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 3600.0));
  app.add_option("--churn", out.churn, "members a second that leave or crash, and come back, during the hold")
      ->capture_default_str();
  app.add_flag("--surge", out.surge,
               "half of the members vanish and come back at once, the others are rekeyed meanwhile");
  app.add_flag("--storm", out.storm, "kill -9 the key server, start it again, wait until all members are back");
  app.add_flag("--check", out.check, "fail unless all members joined, followed every rekey and came back");
  app.add_option("--patience", out.patience_s, "seconds for each phase")->capture_default_str();
  app.add_option("--seed", out.seed, "seed of the churn: which members, and how")->capture_default_str();
  app.add_option("--json", out.json, "file for the figures; -: standard output in place of the text");
  app.add_option("--keyserver", out.keyserver, "the sealcast-keyserver to start")->capture_default_str();
  app.add_flag("--keep", out.keep, "keep the folder with the key server's files and log");
  app.add_option("--server", out.server, "IPv4:port of a running key server; none is started then");
  app.add_option("--pki", out.pki, "with --server: folder with ca.pem and ca.key");
  app.add_option("--group", out.group, "with --server: the group to join; --groups 3 adds NAME-2 and NAME-3")
      ->capture_default_str();
  app.add_option("--server-name", out.server_name, "with --server: name in its certificate")->capture_default_str();
  app.add_option("--server-id", out.server_id, "with --server: its id")->capture_default_str();
  app.add_option("--admin", out.admin_socket, "with --server: its admin socket, for rekeys");
  app.add_option("--pid", out.pid, "with --server: its process, for CPU time and memory");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  if (out.server && out.pki.empty()) {
    app.exit(CLI::RequiredError("--server needs --pki: a folder with the CA's certificate and key"));
    return 2;
  }
  return std::nullopt;
}

}  // namespace sealcast::load
