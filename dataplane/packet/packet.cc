#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t option_pad1 = 0;
constexpr std::uint8_t option_router_alert = 5;  // RFC 2711
constexpr std::uint8_t option_jumbo = 0xc2;      // RFC 2675

// RFC 8200 §4.2: every option within its header. A jumbogram's true length stands in an option and nowhere else.
bool walk_hop_by_hop(const std::uint8_t* p, std::uint32_t bytes, bool& router_alert) {
  for (std::uint32_t i = extension::options; i < bytes;) {
    if (p[i] == option_pad1) {
      ++i;
      continue;
    }
    if (bytes - i < 2 || bytes - i - 2 < p[i + 1]) return false;
    if (p[i] == option_jumbo) return false;
    if (p[i] == option_router_alert) {
      if (p[i + 1] != 2) return false;
      router_alert = true;
    }
    i += 2U + p[i + 1];
  }
  return true;
}

}  // namespace

DropReason parse_ipv6(const std::uint8_t* p, std::uint32_t available, Packet& packet) noexcept {
  if (available < ipv6_header_bytes) return DropReason::short_frame;
  const std::uint32_t payload = load16(p + ipv6::payload_length);
  std::uint8_t next = p[ipv6::next_header];
  // RFC 4291 §2.7: no packet has a multicast source.
  if ((p[ipv6::version] >> 4) != 6 || p[ipv6::hop_limit] == 0 || p[ipv6::source] == 0xff)
    return DropReason::bad_ip_header;
  if (payload == 0 && next == header_hop_by_hop) return DropReason::ipv6_extension;  // RFC 2675 §3
  if (payload > available - ipv6_header_bytes) return DropReason::truncated;
  const std::uint32_t total = ipv6_header_bytes + payload;

  packet.family = 6;
  packet.ttl = p[ipv6::hop_limit];
  packet.traffic_class = static_cast<std::uint8_t>(load16(p + ipv6::version) >> 4);
  packet.total_bytes = total;
  packet.source6 = {load64(p + ipv6::source), load64(p + ipv6::source + 8)};
  packet.destination6 = {load64(p + ipv6::destination), load64(p + ipv6::destination + 8)};
  packet.fragment = packet.later_fragment = packet.more_fragments = packet.router_alert = false;

  std::uint32_t at = ipv6_header_bytes;     // of the header that next names
  std::uint32_t field = ipv6::next_header;  // of the byte that holds next
  packet.esp_place = at;
  packet.esp_field = field;
  bool upper = false;
  for (std::uint32_t headers = 0; !upper; ++headers) {
    std::uint32_t bytes = 0;
    if (next == header_hop_by_hop || next == header_routing || next == header_destination_options ||
        next == header_fragment) {
      if (headers == max_extension_headers || total - at < 8) return DropReason::ipv6_extension;
      bytes = next == header_fragment ? fragment_header_bytes : (p[at + extension::length] + 1U) * 8;
      if (bytes > total - at || at + bytes > ipv6_header_bytes + max_extension_bytes) return DropReason::ipv6_extension;
    }
    const std::uint8_t kind = next;
    switch (kind) {
      case header_hop_by_hop:  // RFC 8200 §4.1: directly behind the fixed header only
        if (at != ipv6_header_bytes || !walk_hop_by_hop(p + at, bytes, packet.router_alert))
          return DropReason::ipv6_extension;
        break;
      case header_routing:  // RFC 5095: type 0 is no more. With segments left this is not the packet's last
                            // destination.
        if (p[at + extension::routing_type] == 0 || p[at + extension::segments_left] != 0)
          return DropReason::ipv6_extension;
        break;
      case header_destination_options:
        break;
      case header_fragment: {
        if (packet.fragment) return DropReason::ipv6_extension;
        const std::uint16_t place = load16(p + at + fragment_header::place);
        packet.fragment_offset = place & fragment_header::offset;
        packet.more_fragments = (place & fragment_header::more) != 0;
        packet.fragment = packet.fragment_offset != 0 || packet.more_fragments;  // RFC 6946: else a whole packet
        packet.later_fragment = packet.fragment_offset != 0;
        packet.fragment_id = load32(p + at + fragment_header::identification);
        packet.fragment_protocol = p[at + fragment_header::next_header];
        upper = packet.later_fragment;
        break;
      }
      default:
        upper = true;
        continue;
    }
    field = at + extension::next_header;
    next = p[at + extension::next_header];
    at += bytes;
    if (kind != header_destination_options) {
      packet.esp_place = at;
      packet.esp_field = field;
    }
  }
  packet.protocol = next;
  packet.protocol_field = field;
  packet.header_bytes = at;
  return DropReason::none;
}

}  // namespace sealcast::dataplane
