// What a key server tells an operator of itself.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "controlplane/admin/messages.h"
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
  std::int64_t unix_now = 0;
  admin::ClockStatus clock = {};
  std::vector<admin::Validity> validity = {};
};

// KeyServer::status(), groups() and revocations().
admin::KeyserverStatus whole_status(const StatusInput& input, SteadyTime now);
admin::KeyserverGroups groups_status(const StatusInput& input, SteadyTime now);
admin::Revocations revocations_status(const std::vector<store::Revocation>& revocations, const StatusInput& input,
                                      SteadyTime now);

}  // namespace sealcast::keyserver
