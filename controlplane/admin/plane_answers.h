// A gateway's answers about its data plane, from the statistics of one moment.
#pragma once

#include "controlplane/admin/messages.h"

namespace sealcast::admin {

// Without SAs that only receive and that no packet came for; sas_unheard is their number. all: leaves out nothing.
PlaneStatus plane_status(DataPlaneStatistics statistics, bool all = false);

// Fails for a group that the gateway does not have.
Result<SasAnswer> sas_answer(DataPlaneStatistics statistics, const SasRequest& request);

}  // namespace sealcast::admin
