// Makes the epochs of a key server that stands alone: a cluster of one, where what is installed here is active at once.
#pragma once

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class LocalEpochMaker final : public EpochMaker {
 public:
  explicit LocalEpochMaker(GroupContext& context) : context_(context) {}  // must outlive it

  // An error: the store refused, no memory can be locked, or max_live_epochs are alive. No epoch was begun then.
  Result<std::optional<MadeEpoch>> want_epoch(const EpochWish& wish) override;
  bool installed_here(const std::string&, std::uint64_t) override { return true; }
  bool has_peers() const override { return false; }
  bool switched_elsewhere(const std::string&, std::uint64_t) const override { return true; }
  std::uint64_t highest(const std::string&) const override { return 0; }

 private:
  GroupContext& context_;
};

}  // namespace sealcast::keyserver
