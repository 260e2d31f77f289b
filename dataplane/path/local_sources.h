// The sources on this gateway's own red side. An opened packet from one of them went round a loop.
#pragma once

#include <vector>

#include "base/address.h"
#include "dataplane/packet/packet.h"
#include "dataplane/policy/policy.h"

namespace sealcast::dataplane {

class LocalSources {
 public:
  explicit LocalSources(const std::vector<Prefix>& prefixes);

  // Whether the packet's source, of that family, is one of them.
  template <typename Family>
  bool has(const Packet& packet) const noexcept {
    for (const auto& rule : of(typename Family::Address{}))
      if (is_zero((Family::source(packet) ^ rule.source) & rule.source_mask)) return true;
    return false;
  }
  // Whether there are none of that family.
  template <typename Family>
  bool empty() const noexcept {
    return of(typename Family::Address{}).empty();
  }

 private:
  const std::vector<Rule>& of(Address4) const noexcept { return ipv4_; }
  const std::vector<Rule6>& of(const Address6&) const noexcept { return ipv6_; }

  std::vector<Rule> ipv4_;  // sources only
  std::vector<Rule6> ipv6_;
};

}  // namespace sealcast::dataplane
