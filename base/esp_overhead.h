// What sealing adds to an IP packet, and what fits an MTU: one calculation for the packet path, the configuration's
// warnings and `sealcast check`.
#pragma once

#include <cstdint>

#include "base/dataplane_control.h"

namespace sealcast {

// RFC 4303 §2 with RFC 4106: SPI 4, sequence number 4, IV 8 in front; at most 3 bytes of padding, pad length 1, next
// header 1 and ICV 16 behind.
inline constexpr std::uint32_t esp_front_bytes = 4 + 4 + 8;
inline constexpr std::uint32_t esp_trailer_bytes = 2;
inline constexpr std::uint32_t esp_icv_bytes = 16;

// Bytes of IP header that the mode puts in front. family: 4 or 6, of the outer packet.
constexpr std::uint32_t outer_header_bytes(EspMode mode, std::uint8_t family) {
  if (mode == EspMode::transport) return 0;
  return family == 4 ? 20 : 40;
}

// RFC 4303 §2.4: payload, padding and the two trailer bytes fill a multiple of 4.
constexpr std::uint32_t esp_padded_bytes(std::uint32_t payload_bytes) {
  return (payload_bytes + esp_trailer_bytes + 3) & ~3U;
}

// Bytes of the sealed IP packet. IP headers are multiples of 4 bytes: the padding is the same whether they are
// encrypted (tunnel) or stay in front (transport).
constexpr std::uint32_t sealed_bytes(EspMode mode, std::uint8_t family, std::uint32_t inner_bytes) {
  return outer_header_bytes(mode, family) + esp_front_bytes + esp_padded_bytes(inner_bytes) + esp_icv_bytes;
}

// The largest inner IP packet that still fits black_mtu once sealed; 0 if none does.
constexpr std::uint32_t largest_inner_bytes(EspMode mode, std::uint8_t family, std::uint32_t black_mtu) {
  const std::uint32_t fixed = outer_header_bytes(mode, family) + esp_front_bytes + esp_icv_bytes;
  if (black_mtu < fixed + 4) return 0;
  return ((black_mtu - fixed) & ~3U) - esp_trailer_bytes;
}

// The smallest MTU of an IPv6 link (RFC 8200 §5): no host goes below it, whatever a router reports.
inline constexpr std::uint32_t min_ipv6_mtu = 1280;

}  // namespace sealcast
