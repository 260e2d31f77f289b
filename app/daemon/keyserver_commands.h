// What a key server answers at an admin socket, its own or that of the gateway it is embedded in.
#pragma once

#include "controlplane/admin/admin_server.h"
#include "controlplane/keyserver/key_server.h"

namespace sealcast::daemon {

// {"command": "rekey", "group": "tv"}                          -> {"ok": true}
// {"command": "revoke", "member": "anna" (, "group": "tv")}    -> {"ok": true}
// {"command": "reinstate", "member": "anna" (, "group": "tv")} -> {"ok": true}
// {"command": "revocations"}                                   -> KeyServer::revocations_json()
// Before admin starts; server outlives it.
void handle_keyserver_commands(admin::AdminServer& admin, keyserver::KeyServer& server);

}  // namespace sealcast::daemon
