// The key server's status as JSON text; the JSON library stays in status.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/cluster/node.h"
#include "controlplane/keyserver/connection/carriage.h"
#include "controlplane/keyserver/connection/counters.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/group/group_state.h"

namespace sealcast::keyserver {

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
