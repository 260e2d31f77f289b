// JSON text of the status values that both daemons share; the command line tool reads it.
#pragma once

#include <string>

#include "base/dataplane_control.h"

namespace sealcast::admin {

// The data plane's figures; docs/operator.md, "The admin socket", lists every member. SPIs are "0x10000001". An owner's
// counts are objects from reason to packets, without zeros; "drops" of the whole plane is a list with zeros. "sas" are
// those that seal or have received packets; "sas_unheard" is the number of the others.
std::string to_json(const DataPlaneStatistics& statistics);

// The gateway's whole answer to "status". The parts are texts of JSON objects; keyserver is empty if none is embedded.
std::string gateway_status(const std::string& version, const std::string& agent_json,
                           const DataPlaneStatistics& statistics, const std::string& keyserver_json);

// The answer to {"command": "ports" | "groups" | "sas" | "top", "group": only of this one (sas), "all": true, with the
// unheard ones (sas)}: that part alone, for a screen that is drawn again and again. groups also holds "keyserver", if
// keyserver_json is not empty.
std::string gateway_part(const DataPlaneStatistics& statistics, const std::string& request_json,
                         const std::string& keyserver_json = "");

}  // namespace sealcast::admin
