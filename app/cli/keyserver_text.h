// A key server's groups as a table for people.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace sealcast::cli {

// keyserver: KeyServer::groups_json(). A line for each group, then the members that are missing or behind, then the
// cluster.
std::string keyserver_groups_text(const nlohmann::json& keyserver);

// {"events": [..]} of AuditTrail::find_json(): a line for each.
std::string audit_text(const nlohmann::json& answer);

}  // namespace sealcast::cli
