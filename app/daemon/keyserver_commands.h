// A key server's answers at an admin socket: its own or that of the gateway it is embedded in.
#pragma once

#include <memory>

#include "controlplane/admin/admin_server.h"
#include "controlplane/keyserver/audit/audit_trail.h"
#include "controlplane/keyserver/key_server.h"

namespace sealcast::daemon {

// Answers rekey, revoke, reinstate, unlock, revocations and audit (controlplane/admin/messages.h).
// Call it before admin starts; server and trail (nullptr: there is none) outlive it. The trail records every
// change and its caller.
void handle_keyserver_commands(admin::AdminServer& admin, keyserver::KeyServer& server, keyserver::AuditTrail* trail);

// The configured trail; nullptr if none is kept. Open it before the key server starts, close it after its end.
Result<std::unique_ptr<keyserver::AuditTrail>> open_audit_trail(const config::KeyserverConfig& config);

}  // namespace sealcast::daemon
