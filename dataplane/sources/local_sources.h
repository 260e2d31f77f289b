// The sources that are configured to be on this gateway's own red side. An opened packet from one of them went round a
// loop.
#pragma once

#include <vector>

#include "base/address.h"
#include "dataplane/policy/policy.h"

namespace sealcast::dataplane {

class LocalSources {
 public:
  explicit LocalSources(const std::vector<Prefix>& prefixes);

  // Whether source is one of them.
  template <typename Address>
  bool has(const Address& source) const noexcept {
    for (const auto& rule : of(source))
      if (is_zero((source ^ rule.source) & rule.source_mask)) return true;
    return false;
  }

 private:
  const std::vector<Rule>& of(Address4) const noexcept { return ipv4_; }
  const std::vector<Rule6>& of(const Address6&) const noexcept { return ipv6_; }

  std::vector<Rule> ipv4_;  // sources only
  std::vector<Rule6> ipv6_;
};

}  // namespace sealcast::dataplane
