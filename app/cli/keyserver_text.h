// A key server's answers as text for people.
#pragma once

#include <string>
#include <vector>

#include "controlplane/admin/messages.h"

namespace sealcast::cli {

// A line for each group, then the members that are missing or behind, then the cluster.
std::string keyserver_groups_text(const admin::KeyserverGroups& keyserver);

// A line for each event.
std::string audit_text(const admin::AuditAnswer& answer);

// A line for each revocation, then a line for each group that a member was shut out of.
std::string revocations_text(const admin::Revocations& revocations);

// "group tv: shut out, complete after 2.1 s", "group tv: waiting for the senders studio, camera2 to switch"
std::string progress_text(const admin::Revocations::Progress& group);

// Why a revocation of this name was not carried out, and which names are like it.
std::string unknown_text(const std::string& name, const admin::Names& similar);

// A line for each: what it has, and whether it is behind.
std::string members_text(const std::vector<admin::ListedMember>& members);

}  // namespace sealcast::cli
