// DPDK's environment (EAL): memory, logs, and a start that is possible once a process. No DPDK type in this header.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "dataplane/dpdk/gateway.h"

namespace sealcast::dataplane {

struct EalOptions {
  std::uint32_t memory_mb = memory_limits.standard;  // hugepage memory to reserve at start, MiB
  std::vector<std::string> pci_devices;              // addresses that may be used; empty: the PCI bus is not looked at
  LogSink log = {};                                  // DPDK's own lines from "notice" upwards; empty: silence
  // Name of the folder beneath DPDK's runtime folder (/run/dpdk as root, mode 0700) that gets the telemetry socket, the
  // only file this environment makes; a dead one left behind by a killed process is taken over. Empty: no telemetry.
  std::string telemetry = {};
};

class Eal {
 public:
  // Starts the environment on a thread of its own, because rte_eal_init binds its caller to one CPU and every thread
  // started later would inherit that. The environment lives until the process ends and cannot be started again. A later
  // call takes over the log and succeeds if it needs no more memory or PCI devices than the first one brought.
  // Thread-safe. From then on SIGPIPE is ignored in the whole process: the socket drivers need that.
  static Result<void> start(const EalOptions& options);
  static bool started();

  // The newest lines DPDK logged at warning or above since the call to mark_log(), in one line, for error messages.
  static void mark_log();
  static std::string recent_log();

  // Writes one line to the log sink of the last start().
  static void log(LogLevel level, std::string_view line);
};

// Free huge pages of this machine, all sizes together, bytes. 0 where the kernel has none.
std::uint64_t free_hugepage_bytes();

}  // namespace sealcast::dataplane
