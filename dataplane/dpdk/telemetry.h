// The data plane's figures as DPDK telemetry commands, for dpdk-telemetry.py and collectors with its protocol:
// /sealcast/status, /sealcast/groups[,ID], /sealcast/sas[,SPI|GROUP], /sealcast/ports, /sealcast/drops,
// /sealcast/workers. DPDK runs them on its own threads, so they read a copy that the control thread published, never
// its working data.
#pragma once

#include "base/dataplane_control.h"
#include "base/result.h"

namespace sealcast::dataplane {

// Registers the commands, once a process. Eal::start() must have succeeded.
Result<void> register_telemetry();
// Control thread: the figures for all answers from now on.
void publish_telemetry(DataPlaneStatistics statistics);

}  // namespace sealcast::dataplane
