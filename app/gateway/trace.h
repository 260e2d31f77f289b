// Questions about single packets at the admin socket, as JSON: {"command": "what-if"} and {"command": "drops"}.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "dataplane/control/what_if.h"

namespace sealcast::gateway {

// {"side": "red"|"black", "frame": hex, "worker": 0, "spi": "0x…", "number": 7}; the last three may be missing.
Result<dataplane::WhatIfQuestion> parse_what_if(const std::string& request_json);
// {"daemon", "verdict", "reason", "text", "key_decides", "group", "selector", "spi", "epoch", "number", "worker",
//  "bytes_in", "bytes_out", "steps": [{"step", "text"}]}; what was not found is missing.
std::string to_json(const Result<dataplane::WhatIfAnswer>& answer);

// How many more drops each worker may sample, by {"command": "drops", "further": N}; at most 64.
std::uint32_t further_of(const std::string& request_json);
// {"daemon", "drops": [{"side", "reason", "bytes", "headers", "hex"}]}
std::string to_json(const std::vector<dataplane::DropSample>& samples);

}  // namespace sealcast::gateway
