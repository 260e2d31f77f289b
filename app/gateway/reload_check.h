// What a running gateway can't take over from its file.
#pragma once

#include <vector>

#include "base/bypass_rule.h"
#include "base/result.h"
#include "controlplane/config/config.h"

namespace sealcast::gateway {

// A running gateway keeps the bypass rules of its start. It can't take up a group that one of them would let pass in
// clear, be it once the group is let go or while it is taken up anew (H10).
Result<void> check_against_bypass(const std::vector<BypassRule>& running,
                                  const std::vector<config::MemberGroup>& groups);

}  // namespace sealcast::gateway
