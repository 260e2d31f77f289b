// What a process has used so far, from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace sealcast::load {

struct ProcessUse {
  double cpu_s = 0;                  // on a CPU, all its threads
  std::uint64_t resident_bytes = 0;  // VmRSS
};

// Zeros for a process that is gone, and for pid 0.
ProcessUse use_of(pid_t pid);

// Makes room for so many descriptors in this process and what it starts. The error says what limit to raise.
Result<void> raise_descriptor_limit(std::uint64_t wanted);

}  // namespace sealcast::load
