// Which fragments the selectors match. Where the port decides, the rest of a datagram follows its first fragment, the
// only one that shows the port. Elsewhere each fragment is judged by itself.
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/packet/fragment_table.h"
#include "dataplane/packet/packet.h"
#include "dataplane/policy/policy.h"

namespace sealcast::dataplane {

// One worker's, for the datagrams of one side.
class FragmentMatcher {
 public:
  // Remembers first fragments for two seconds. It takes a secret from the system's random numbers.
  explicit FragmentMatcher(std::uint64_t ticks_per_second);

  // ip: the header of packet, which is a fragment. key: what the packet shows; a later fragment gets the port of its
  // first in it. Returns none: the selectors of policy match, and group is set, or the rules match; else bad_fragment
  // or fragment_orphan.
  template <typename Address>
  DropReason match(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key, std::uint64_t now_tsc,
                   const Policy& policy, std::uint32_t& group) noexcept;
  template <typename Address>
  DropReason match(const std::uint8_t* ip, const Packet& packet, PacketKeyOf<Address>& key, std::uint64_t now_tsc,
                   const std::vector<RuleOf<Address>>& rules) noexcept;

 private:
  FragmentTable table_;
};

// Whether a fragment can be put together with others. Returns none; bad_fragment; or fragment, where librte_ip_frag,
// which does it, cannot.
DropReason can_reassemble(const std::uint8_t* ip, const Packet& packet) noexcept;

}  // namespace sealcast::dataplane
