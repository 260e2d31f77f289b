// member_load's command line.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sealcast::load {

struct Options {
  std::uint32_t members = 1000;
  std::uint32_t senders = 1;      // so many members, the first, may send: their slots cost the key server a little more
  std::uint32_t groups = 1;       // every member is in so many; rekeys are of the first
  bool apart = false;             // with a connection for each of its groups, not one for all
  std::uint32_t concurrent = 64;  // handshakes under way at once while they first join
  std::uint32_t rekeys = 3;
  double hold_s = 5;                // steady state: keepalives and reports alone
  double every_s = 5;               // between two keepalives, and two status reports, of a member
  double churn = 0;                 // members a second that leave, crash or come back during the hold
  bool surge = false;               // half of the members vanish and come back at once, the others are rekeyed
  bool storm = false;               // kill -9 the key server, start it again, and wait until all members are back
  bool check = false;               // fail unless all members joined, followed every rekey and came back
  double patience_s = 120;          // for each phase
  std::uint64_t seed = 1;           // of the choice which members churn, and how
  std::string keyserver;            // program to start
  std::optional<std::string> json;  // file for the figures, "-": the standard output in place of the text
  bool keep = false;                // the folder of the key server's files
  // Another key server than one of our own.
  std::optional<std::string> server;  // IPv4:port
  std::string pki;                    // folder with ca.pem and ca.key, for the members' certificates
  std::string group = "load";         // further ones are load-2, load-3 ...
  std::string server_name = "ks.example";
  std::string server_id = "ks.example";
  std::string admin_socket;  // for rekeys; empty: none are asked for
  int pid = 0;               // its process, for CPU time and memory; 0: not shown
};

// TCP connections of all members together.
inline std::uint32_t connections_of(const Options& options) {
  return options.members * (options.apart ? options.groups : 1);
}
// The groups' names; the first is Options::group.
std::vector<std::string> group_names(const Options& options);

// The options, or the exit code: help was shown, or what is wrong.
std::optional<int> parse(int argc, char** argv, Options& out);

}  // namespace sealcast::load
