// Whole pcap files as lists of frames, for tests and benchmarks.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace sealcast::dataplane::testing {

// False if the file cannot be written.
bool write_pcap(const std::string& file, const std::vector<Bytes>& frames);
// Nothing if the file is missing, broken, or ends inside a frame.
std::optional<std::vector<Bytes>> read_pcap(const std::string& file);

}  // namespace sealcast::dataplane::testing
