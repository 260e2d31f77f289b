// Questions about single packets, between the admin socket's values and the data plane's.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "controlplane/admin/messages.h"
#include "dataplane/control/what_if.h"

namespace sealcast::gateway {

// Fails for a worker that no gateway can have.
Result<dataplane::WhatIfQuestion> question_of(const admin::WhatIfRequest& request);
admin::WhatIfAnswer answer_of(const dataplane::WhatIfAnswer& answer);

// How many more drops each worker may sample; at most 64.
std::uint32_t further_of(const admin::DropsRequest& request);
admin::DropsAnswer answer_of(const std::vector<dataplane::DropSample>& samples);

}  // namespace sealcast::gateway
