// The members that operators shut out, as the store has them, and which of that this process has acted upon (H11).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "controlplane/store/store.h"

namespace sealcast::keyserver {

class Revocations {
 public:
  // Replaces what was read before. After an error that stays.
  Result<void> read(const store::Store& store);

  const std::vector<store::Revocation>& all() const { return all_; }
  // Whether the member of these names is revoked in the group.
  bool revoked(const std::vector<std::string>& names, const std::string& group_id) const;
  bool any_in(const std::string& group_id) const;

  // In a cluster others revoke, too. Those that this process has not acted upon; from now on it has. After a restart
  // that is all of them: whether the process before came to ask for a new epoch, and which senders it still waited for,
  // is not known.
  std::vector<store::Revocation> take_fresh();
  // This process acted upon it when it was asked to.
  void acted_upon(const std::string& member, const std::string& group_id);

 private:
  std::vector<store::Revocation> all_;
  std::set<store::Revocation> acted_upon_;
};

}  // namespace sealcast::keyserver
