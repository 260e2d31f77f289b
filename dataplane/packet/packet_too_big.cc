#include "dataplane/packet/packet_too_big.h"

#include <algorithm>
#include <cstring>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t icmp_header_bytes = 8;
constexpr std::uint8_t type_packet_too_big = 2;
constexpr std::uint8_t type_redirect = 137;
constexpr std::uint8_t hop_limit = 64;
static_assert(packet_too_big_headroom == ipv6_header_bytes + icmp_header_bytes);

std::uint64_t sum_any(const std::uint8_t* p, std::uint32_t bytes) {
  std::uint64_t sum = sum_words(p, bytes & ~1U);
  if ((bytes & 1) == 0) return sum;
  const std::uint8_t last[2] = {p[bytes - 1], 0};
  return sum + sum_words(last, 2);
}

}  // namespace

bool may_answer(const std::uint8_t* ip, std::uint32_t total_bytes, std::uint8_t upper_protocol,
                std::uint32_t upper_offset) noexcept {
  const std::uint8_t* const source = ip + ipv6::source;
  const bool unspecified = (load64(source) | load64(source + 8)) == 0;
  if (source[0] == 0xff || unspecified) return false;
  if (upper_protocol != protocol_icmpv6) return true;
  if (upper_offset >= total_bytes) return false;  // cannot be told
  const std::uint8_t type = ip[upper_offset + icmpv6::type];
  return type >= 128 && type != type_redirect;
}

bool make_packet_too_big(Frame& frame, std::uint32_t ip_offset, std::uint32_t total_bytes, std::uint32_t mtu,
                         const std::array<std::uint8_t, 16>& source) noexcept {
  if (frame.headroom < packet_too_big_headroom) return false;
  const std::uint32_t quoted = std::min(total_bytes, min_ipv6_mtu - packet_too_big_headroom);
  std::uint8_t* const quote = frame.data + ip_offset;
  std::uint8_t* const ip = quote - packet_too_big_headroom;
  std::uint8_t* const icmp_header = ip + ipv6_header_bytes;

  // The link header goes in front: its old place is overwritten by the headers below.
  std::uint8_t* const link = frame.data - packet_too_big_headroom;
  std::memmove(link, frame.data, ip_offset);
  std::memcpy(link + ethernet::destination, link + ethernet::source, ethernet::address_bytes);
  std::memset(link + ethernet::source, 0, ethernet::address_bytes);

  store32(ip, 0x60000000);
  store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(icmp_header_bytes + quoted));
  ip[ipv6::next_header] = protocol_icmpv6;
  ip[ipv6::hop_limit] = hop_limit;
  std::memcpy(ip + ipv6::source, source.data(), 16);
  std::memcpy(ip + ipv6::destination, quote + ipv6::source, 16);
  store32(icmp_header, std::uint32_t{type_packet_too_big} << 24);
  store32(icmp_header + icmpv6::mtu, mtu);
  // RFC 8200 §8.1: the pseudo-header, then the message.
  std::uint8_t lengths[8] = {};
  store32(lengths, icmp_header_bytes + quoted);
  lengths[7] = protocol_icmpv6;
  const std::uint64_t sum = sum_words(ip + ipv6::source, ipv6::addresses_bytes) + sum_words(lengths, 8) +
                            sum_any(icmp_header, icmp_header_bytes + quoted);
  const std::uint16_t checksum = static_cast<std::uint16_t>(~fold16(sum));
  std::memcpy(icmp_header + icmpv6::checksum, &checksum, 2);

  const std::uint32_t end = frame.length + frame.tailroom;  // of the buffer, from the old data
  frame.data = link;
  frame.headroom -= packet_too_big_headroom;
  frame.length = ip_offset + packet_too_big_headroom + quoted;
  frame.tailroom = end + packet_too_big_headroom - frame.length;
  return true;
}

}  // namespace sealcast::dataplane
