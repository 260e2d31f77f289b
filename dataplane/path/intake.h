// The first look at a frame, the same on both sides: its headers are read and checked, and it goes to the code for its
// kind.
#pragma once

#include "dataplane/packet/packet.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

// Side: Sealer or Opener. Its admit_multicast<V4 or V6>() gets IP multicast. Its admit_other() gets what a rule may let
// pass in clear, with the reason to drop it otherwise. Returns none: the side took the frame or gave it its verdict.
class Intake {
 public:
  template <typename Side>
  [[gnu::noinline]] static DropReason admit(Side& side, Frame& frame, std::uint64_t now_tsc,
                                            const Snapshot& snapshot) noexcept {
    Packet packet;
    std::uint16_t type = 0;
    if (!parse_link(frame, type, packet.ip_offset)) return DropReason::short_frame;
    if (type != ether_type_ipv4) [[unlikely]]
      return admit_not_ipv4(side, frame, now_tsc, snapshot);
    packet.ether_type = type;
    const DropReason bad = parse_ipv4(frame.data + packet.ip_offset, frame.length - packet.ip_offset, packet);
    if (bad != DropReason::none) [[unlikely]]
      return bad;
    cut_padding(frame, packet);
    if (!is_multicast(packet)) [[unlikely]]
      return side.admit_other(frame, Packet(packet), DropReason::not_multicast, now_tsc, snapshot);
    return side.template admit_multicast<V4>(frame, packet, now_tsc, snapshot);
  }

 private:
  // A function of its own, so that the packet of the IPv4 path stays in registers.
  template <typename Side>
  [[gnu::noinline]] static DropReason admit_not_ipv4(Side& side, Frame& frame, std::uint64_t now_tsc,
                                                     const Snapshot& snapshot) noexcept {
    Packet packet;
    const DropReason bad = parse_frame(frame, packet);
    if (bad == DropReason::not_ip || bad == DropReason::not_multicast)
      return side.admit_other(frame, packet, bad, now_tsc, snapshot);
    return bad != DropReason::none ? bad : side.template admit_multicast<V6>(frame, packet, now_tsc, snapshot);
  }
};

}  // namespace sealcast::dataplane
