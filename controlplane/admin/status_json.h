// JSON text of the status values that both daemons share; the command line tool reads it back.
#pragma once

#include <string>

#include "base/dataplane_control.h"

namespace sealcast::admin {

// {"engine", "sealed", "opened", "bypassed", "ports": [{"name", "device", "link_up", "rx_packets", "rx_bytes",
//  "tx_packets", "tx_bytes", "tx_dropped"}], "sas": [{"group", "epoch", "spi" ("0x10000001"), "direction" ("out"|"in"),
//  "active", "packets", "bytes", "next_number", "replays", "bad_tags"}], "drops": [{"reason", "packets"}]}
std::string to_json(const DataPlaneStatistics& statistics);

// The gateway's whole answer to "status". The parts are JSON objects' texts; keyserver is empty when none is embedded.
std::string gateway_status(const std::string& version, const std::string& agent_json,
                           const DataPlaneStatistics& statistics, const std::string& keyserver_json);

}  // namespace sealcast::admin
