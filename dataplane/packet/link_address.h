// The Ethernet header of a packet whose IP header was made anew.
#pragma once

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {

// Sets the destination MAC that belongs to an IP multicast address (RFC 1112 §6.4: 01:00:5e and 23 bits; RFC 2464 §7:
// 33:33 and 32 bits) and the EtherType of its family. The sender's MAC and the VLAN tags stay. ip_offset: where the IP
// header begins.
template <typename Family>
inline void address_link(std::uint8_t* frame, std::uint32_t ip_offset, const typename Family::Address& to) noexcept {
  if constexpr (Family::family == 4) {
    store16(frame, 0x0100);
    store32(frame + 2, 0x5e000000 | (to & 0x7fffff));
  } else {
    store16(frame, 0x3333);
    store32(frame + 2, static_cast<std::uint32_t>(to.low));
  }
  store16(frame + ip_offset - ether_type_bytes, Family::ether_type);
}

}  // namespace sealcast::dataplane
