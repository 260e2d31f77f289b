// What a gateway that runs can't take over from its file.
#pragma once

#include <vector>

#include "base/bypass_rule.h"
#include "base/result.h"
#include "controlplane/config/config.h"

namespace sealcast::gateway {

// Bypass rules are those of the start for as long as the gateway runs. A group that one of them would let pass in clear
// as soon as it is let go, or for the moment in which it is taken up anew, can't be added (H10).
Result<void> check_against_bypass(const std::vector<BypassRule>& running,
                                  const std::vector<config::MemberGroup>& groups);

}  // namespace sealcast::gateway
