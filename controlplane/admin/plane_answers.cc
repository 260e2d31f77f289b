#include "controlplane/admin/plane_answers.h"

#include <algorithm>

namespace sealcast::admin {
namespace {

bool unheard(const SaStatistics& sa) {
  return !sa.outbound && sa.packets == 0 && sa.replays == 0 && sa.bad_tags == 0 && sa.drops.empty();
}

// A receiver derives dozens of such SAs for each epoch ahead. Returns their number.
std::uint64_t leave_out_unheard(std::vector<SaStatistics>& sas) {
  return std::erase_if(sas, unheard);
}

}  // namespace

PlaneStatus plane_status(DataPlaneStatistics statistics, bool all) {
  PlaneStatus status{std::move(statistics)};
  if (!all) status.sas_unheard = leave_out_unheard(status.statistics.sas);
  return status;
}

Result<SasAnswer> sas_answer(DataPlaneStatistics statistics, const SasRequest& request) {
  const auto& groups = statistics.groups;
  if (!request.group.empty()) {
    if (std::none_of(groups.begin(), groups.end(), [&](const auto& group) { return group.group_id == request.group; }))
      return fail("this gateway has no group \"" + request.group + "\"");
    std::erase_if(statistics.sas, [&](const SaStatistics& sa) { return sa.group_id != request.group; });
  }
  SasAnswer answer{std::move(statistics)};
  if (!request.all) answer.sas_unheard = leave_out_unheard(answer.statistics.sas);
  return answer;
}

}  // namespace sealcast::admin
