// ICMPv6 Packet Too Big, the answer to a packet that is too big for the black MTU once it is sealed.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/packet/frame.h"

namespace sealcast::dataplane {

// IPv6 header 40, ICMPv6 header 8.
inline constexpr std::uint32_t packet_too_big_headroom = 48;

// Whether RFC 4443 §2.4(e) lets an error be sent about the IPv6 packet at ip: not about ICMPv6 errors and redirects,
// nor to a source that is not one node. A multicast destination is no obstacle for this message (§2.4(e.3)).
// upper_protocol: behind the extension headers; upper_offset: where it begins, total_bytes if it is not there.
bool may_answer(const std::uint8_t* ip, std::uint32_t total_bytes, std::uint8_t upper_protocol,
                std::uint32_t upper_offset) noexcept;

// Turns frame (Ethernet header, tags, at ip_offset an IPv6 packet of total_bytes) into the answer to its sender, in its
// own buffer: same tags, to the MAC address it came from; as much of the packet as fits 1280 bytes (RFC 4443 §3.2).
// mtu: what would have fitted. source: the gateway's own address. The source MAC address is zero: the port that sends
// the answer puts its own there. False: no headroom; the frame is untouched.
bool make_packet_too_big(Frame& frame, std::uint32_t ip_offset, std::uint32_t total_bytes, std::uint32_t mtu,
                         const std::array<std::uint8_t, 16>& source) noexcept;

}  // namespace sealcast::dataplane
