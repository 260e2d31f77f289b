#include "controlplane/keyserver/revocations.h"

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {
namespace {

bool covers(const store::Revocation& revocation, const std::string& group_id) {
  return revocation.group_id.empty() || revocation.group_id == group_id;
}

}  // namespace

Result<void> Revocations::read(const store::Store& store) {
  SEALCAST_TRY_ASSIGN(all_, store.revocations());
  return {};
}

bool Revocations::revoked(const std::vector<std::string>& names, const std::string& group_id) const {
  return std::any_of(all_.begin(), all_.end(), [&](const store::Revocation& revocation) {
    return covers(revocation, group_id) && std::find(names.begin(), names.end(), revocation.member_id) != names.end();
  });
}

bool Revocations::any_in(const std::string& group_id) const {
  return std::any_of(all_.begin(), all_.end(),
                     [&](const store::Revocation& revocation) { return covers(revocation, group_id); });
}

std::vector<store::Revocation> Revocations::take_fresh() {
  std::vector<store::Revocation> fresh;
  for (const store::Revocation& revocation : all_)
    if (!acted_upon_.contains(revocation)) fresh.push_back(revocation);
  acted_upon_ = {all_.begin(), all_.end()};
  return fresh;
}

void Revocations::acted_upon(const std::string& member, const std::string& group_id) {
  for (const store::Revocation& revocation : all_)
    if (revocation.member_id == member && revocation.group_id == group_id) acted_upon_.insert(revocation);
}

}  // namespace sealcast::keyserver
