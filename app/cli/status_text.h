// The daemons' status answers as a screen for people.
#pragma once

#include <string>

#include "controlplane/admin/messages.h"

namespace sealcast::cli {

struct StatusView {
  bool all = false;  // SAs without packets and drop reasons that never occurred, too
};

// earlier: an earlier answer of the same daemon, for rates; nullptr: none.
std::string status_text(const admin::StatusRequest::Answer& status, const StatusView& view,
                        const admin::StatusRequest::Answer* earlier = nullptr);

}  // namespace sealcast::cli
