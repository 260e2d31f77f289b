// One Ethernet frame in a buffer of the packet layer (DPDK, a test), and the verdict on it. The packet layer and the
// path exchange nothing else per packet.
#pragma once

#include <cstdint>

#include "dataplane/packet/drop_reason.h"

namespace sealcast::dataplane {

enum class Verdict : std::uint8_t {
  drop,      // free the buffer; already counted under reason
  forward,   // send on the other side: data/length describe the frame as it is to be sent
  hand_off,  // untouched: give it to worker target's black_burst (its SPI belongs there)
  park,      // untouched; the worker keeps the buffer until it gives the frame back
  fragment,  // red only, untouched: cut it so that no IP packet exceeds target bytes, and give the pieces to red_burst
  reply,     // send on the side it came from: data/length describe the frame as it is to be sent
  reassemble,  // black only, untouched: a fragment of an ESP packet; give what it was part of to black_burst, once
               // whole
  punt,        // untouched: give it to the host interface of the port it came from
};

// A contiguous frame from destination MAC to the last byte, without FCS. The path rewrites it in place: sealing moves
// data back by seal_headroom (or seal_headroom6) and appends up to seal_tailroom bytes; opening moves data forward and
// shortens it. The owner sets everything but verdict, reason and target, and must be the buffer's only user (reference
// count 1).
struct Frame {
  std::uint8_t* data = nullptr;
  std::uint32_t length = 0;    // bytes at data
  std::uint32_t headroom = 0;  // writable bytes before data
  std::uint32_t tailroom = 0;  // writable bytes after data + length
  Verdict verdict = Verdict::drop;
  DropReason reason = DropReason::none;  // why, when dropped
  std::uint16_t target = 0;              // hand_off: index of the worker; fragment: bytes of an IP packet
  void* buffer = nullptr;                // the owner's own; never touched
};

// Outer IPv4 header 20 + ESP header 8 + IV 8.
inline constexpr std::uint32_t seal_headroom = 36;
// With an outer IPv6 header: 40.
inline constexpr std::uint32_t seal_headroom6 = 56;
// At most 3 bytes of padding, pad length, next header, ICV 16.
inline constexpr std::uint32_t seal_tailroom = 3 + 2 + 16;

// Bytes of the sealed IPv4 packet (outer header included) for an inner IP packet of inner_bytes: 54 to 57 more.
// RFC 4303 §2.4: payload, padding and the two trailer bytes fill a multiple of 4.
constexpr std::uint32_t sealed_ipv4_bytes(std::uint32_t inner_bytes) {
  return seal_headroom + ((inner_bytes + 2 + 3) & ~3U) + 16;
}

}  // namespace sealcast::dataplane
