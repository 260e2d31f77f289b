#include "dataplane/packet/clear_packet.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr int max_extension_headers = 8;

// IPv4 options: Router Alert is 148, length 4, value 0; 0 ends the list and nothing but zeros may follow, 1 fills.
void read_ipv4_options(const std::uint8_t* ip, ClearPacket& packet) {
  for (std::uint32_t i = min_ipv4_bytes; i < packet.header_bytes;) {
    if (ip[i] == 0) {
      packet.odd_options |= !std::all_of(ip + i, ip + packet.header_bytes, [](std::uint8_t byte) { return byte == 0; });
      return;
    }
    if (ip[i] == 1) {
      ++i;
      continue;
    }
    if (ip[i] != 148 || packet.header_bytes - i < 4 || ip[i + 1] != 4 || ip[i + 2] != 0 || ip[i + 3] != 0) {
      packet.odd_options = true;
      return;
    }
    packet.router_alert = true;
    i += 4;
  }
}

DropReason read_ipv4(const std::uint8_t* p, std::uint32_t bytes, ClearPacket& packet) {
  if (bytes < min_ipv4_bytes) return DropReason::short_frame;
  packet.header_bytes = (p[ipv4::version] & 0x0fU) * 4;
  packet.total_bytes = load16(p + ipv4::total_length);
  if ((p[ipv4::version] >> 4) != 4 || packet.header_bytes < min_ipv4_bytes || packet.total_bytes < packet.header_bytes)
    return DropReason::bad_ip_header;
  if (packet.total_bytes > bytes) return DropReason::truncated;
  if (checksum_sum(p, packet.header_bytes) != 0xffff || p[ipv4::ttl] == 0) return DropReason::bad_ip_header;
  packet.family = 4;
  packet.hop_limit = p[ipv4::ttl];
  packet.protocol = p[ipv4::protocol];
  const std::uint16_t fragment = load16(p + ipv4::fragment);
  packet.fragment = (fragment & (ipv4::more_fragments | ipv4::fragment_offset)) != 0;
  packet.later_fragment = (fragment & ipv4::fragment_offset) != 0;
  packet.source = address_at(p + ipv4::source, 4);
  packet.destination = address_at(p + ipv4::destination, 4);
  read_ipv4_options(p, packet);
  return DropReason::none;
}

// The options of a hop-by-hop header of `bytes` at p: Router Alert is 5, length 2; 0 is Pad1, 1 is PadN of zeros.
void read_hop_by_hop(const std::uint8_t* p, std::uint32_t bytes, ClearPacket& packet) {
  for (std::uint32_t i = extension::options; i < bytes;) {
    if (p[i] == 0) {
      ++i;
      continue;
    }
    if (bytes - i < 2 || bytes - i - 2 < p[i + 1]) {
      packet.odd_options = true;
      return;
    }
    const std::uint32_t length = p[i + 1];
    const std::uint8_t* const value = p + i + 2;
    if (p[i] == 5 && length == 2) {
      if (load16(value) == 0)
        packet.router_alert = true;
      else
        packet.odd_options = true;
    } else if (p[i] != 1 || !std::all_of(value, value + length, [](std::uint8_t byte) { return byte == 0; })) {
      packet.odd_options = true;
    }
    i += 2 + length;
  }
}

DropReason read_ipv6(const std::uint8_t* p, std::uint32_t bytes, ClearPacket& packet) {
  if (bytes < ipv6_header_bytes) return DropReason::short_frame;
  const std::uint32_t payload = load16(p + ipv6::payload_length);
  if ((p[ipv6::version] >> 4) != 6 || payload == 0 || p[ipv6::hop_limit] == 0) return DropReason::bad_ip_header;
  if (payload > bytes - ipv6_header_bytes) return DropReason::truncated;
  packet.family = 6;
  packet.total_bytes = ipv6_header_bytes + payload;
  packet.hop_limit = p[ipv6::hop_limit];
  packet.source = address_at(p + ipv6::source, 6);
  packet.destination = address_at(p + ipv6::destination, 6);
  packet.protocol = p[ipv6::next_header];
  packet.header_bytes = ipv6_header_bytes;
  // Routing headers are not walked: no rule could tell where such a packet goes in the end.
  for (int n = 0; packet.protocol == header_hop_by_hop || packet.protocol == header_destination_options ||
                  packet.protocol == header_fragment;
       ++n) {
    const std::uint8_t* const header = p + packet.header_bytes;
    if (n == max_extension_headers || packet.total_bytes - packet.header_bytes < 8) return DropReason::bad_ip_header;
    if (packet.protocol == header_hop_by_hop && n != 0) return DropReason::bad_ip_header;
    std::uint32_t length = 8;
    if (packet.protocol == header_fragment) {
      packet.fragment = true;
      packet.later_fragment = (load16(header + fragment_header::place) & fragment_header::offset) != 0;
    } else {
      length = (header[extension::length] + 1U) * 8;
      if (length > packet.total_bytes - packet.header_bytes) return DropReason::bad_ip_header;
    }
    if (packet.protocol == header_hop_by_hop)
      read_hop_by_hop(header, length, packet);
    else
      packet.odd_options = true;
    packet.protocol = header[extension::next_header];
    packet.header_bytes += length;
    if (packet.later_fragment) break;
  }
  return DropReason::none;
}

}  // namespace

DropReason read_clear(const std::uint8_t* data, std::uint32_t bytes, std::uint16_t ether_type,
                      ClearPacket& packet) noexcept {
  packet = {};
  packet.data = data;
  packet.ether_type = ether_type;
  packet.total_bytes = bytes;
  if (ether_type != ether_type_ipv4 && ether_type != ether_type_ipv6) return DropReason::none;
  const DropReason bad =
      ether_type == ether_type_ipv4 ? read_ipv4(data, bytes, packet) : read_ipv6(data, bytes, packet);
  if (bad != DropReason::none) return bad;
  return packet.source.is_multicast() ? DropReason::bad_ip_header : DropReason::none;
}

bool is_local_group(const IpAddress& address, std::uint8_t last) noexcept {
  static constexpr std::uint8_t start4[3] = {224, 0, 0};
  static constexpr std::uint8_t start6[15] = {0xff, 0x02};
  if (address.family == 4) return std::memcmp(address.bytes.data(), start4, 3) == 0 && address.bytes[3] == last;
  return std::memcmp(address.bytes.data(), start6, 15) == 0 && address.bytes[15] == last;
}

std::uint16_t checksum_sum(const std::uint8_t* data, std::uint32_t bytes, std::uint64_t start) noexcept {
  std::uint64_t sum = start + sum_words(data, bytes & ~1U);
  if ((bytes & 1) != 0) {
    const std::uint8_t last[2] = {data[bytes - 1], 0};
    sum += sum_words(last, 2);
  }
  return fold16(sum);
}

std::uint64_t pseudo_header_sum(const IpAddress& source, const IpAddress& destination, std::uint32_t upper_bytes,
                                std::uint8_t protocol) noexcept {
  std::uint8_t rest[8] = {};
  store32(rest, upper_bytes);
  rest[7] = protocol;
  return sum_words(source.bytes.data(), 16) + sum_words(destination.bytes.data(), 16) + sum_words(rest, 8);
}

}  // namespace sealcast::dataplane
