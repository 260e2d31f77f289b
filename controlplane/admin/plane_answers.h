// A gateway's answers about its data plane, from the statistics of one moment.
#pragma once

#include "controlplane/admin/messages.h"

namespace sealcast::admin {

// Takes SAs that only receive and that no packet came for out of `sas`: a receiver derives dozens for each epoch ahead.
// Returns their number.
std::uint64_t leave_out_unheard(std::vector<SaStatistics>& sas);

// all: leaves out nothing.
PlaneStatus plane_status(DataPlaneStatistics statistics, bool all = false);

// Fails for a group that the gateway does not have.
Result<SasAnswer> sas_answer(DataPlaneStatistics statistics, const SasRequest& request);

}  // namespace sealcast::admin
