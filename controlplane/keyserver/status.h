// The key server's status as JSON text; the JSON library stays in status.cc.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "controlplane/cluster/node.h"
#include "controlplane/keyserver/connection/carriage.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {

struct Counters {
  std::uint64_t handshakes_completed = 0;        // multicast
  std::uint64_t standard_clients = 0;            // P1: answered with one line
  std::map<std::string, std::uint64_t> failed;   // handshakes, by reason
  std::map<std::string, std::uint64_t> refused;  // connections that were closed at once, by reason
};

struct StatusInput {
  std::string id;
  std::optional<config::ListenAddress> listen, listen_isakmp;
  SteadyTime started;
  std::size_t connections = 0;
  const Counters& counters;
  std::vector<const GroupState*> groups;
  const CookieJar* cookies = nullptr;       // where there is listen_isakmp
  const PasswordGate* passwords = nullptr;  // where a group uses passwords
  const cluster::Node* cluster = nullptr;   // where there are several key servers
};

std::string to_json(const StatusInput& input, SteadyTime now);

// KeyServer::groups_json().
std::string groups_json(const StatusInput& input, SteadyTime now);

// KeyServer::revocations_json().
std::string revocations_json(const std::vector<store::Revocation>& revocations,
                             const std::vector<const GroupState*>& groups, Moment now);

}  // namespace sealcast::keyserver
