#include "dataplane/igmp.h"

#include <algorithm>

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t membership_query = 0x11;
constexpr std::uint8_t report_v1 = 0x12;
constexpr std::uint8_t report_v2 = 0x16;
constexpr std::uint8_t leave_v2 = 0x17;
constexpr std::uint8_t report_v3 = 0x22;

constexpr std::uint32_t all_systems = 0xe0000001;     // 224.0.0.1
constexpr std::uint32_t all_routers = 0xe0000002;     // 224.0.0.2
constexpr std::uint32_t all_v3_routers = 0xe0000016;  // 224.0.0.22
constexpr std::uint32_t v2_message_bytes = 8;
constexpr std::uint32_t v3_query_bytes = 12;
constexpr std::uint32_t v3_record_bytes = 8;

bool is_multicast(std::uint32_t address) {
  return (address >> 28) == 0xe;
}

bool checksum_ok(const std::uint8_t* message, std::uint32_t bytes) {
  std::uint64_t sum = sum_words(message, bytes & ~1U);
  if ((bytes & 1) != 0) {
    const std::uint8_t last[2] = {message[bytes - 1], 0};
    sum += sum_words(last, 2);
  }
  return fold16(sum) == 0xffff;
}

// RFC 2113: option 148 of length 4, value 0.
bool has_router_alert(const std::uint8_t* ip, const Packet& packet) {
  for (std::uint32_t i = min_ipv4_bytes; i < packet.header_bytes;) {
    const std::uint8_t kind = ip[i];
    if (kind == 0) return false;  // end of options
    if (kind == 1) {              // no operation
      ++i;
      continue;
    }
    if (i + 1 >= packet.header_bytes) return false;
    const std::uint8_t length = ip[i + 1];
    if (length < 2 || i + length > packet.header_bytes) return false;
    if (kind == 148) return length == 4 && ip[i + 2] == 0 && ip[i + 3] == 0;
    i += length;
  }
  return false;
}

// IP options fit for a report: Router Alert and filling, so that nothing else rides along in clear (H10).
bool only_router_alert(const std::uint8_t* ip, const Packet& packet) {
  for (std::uint32_t i = min_ipv4_bytes; i < packet.header_bytes;) {
    if (ip[i] == 0) return std::all_of(ip + i, ip + packet.header_bytes, [](std::uint8_t byte) { return byte == 0; });
    if (ip[i] == 1) {
      ++i;
      continue;
    }
    if (ip[i] != 148 || packet.header_bytes - i < 4 || ip[i + 1] != 4 || ip[i + 2] != 0 || ip[i + 3] != 0) return false;
    i += 4;
  }
  return true;
}

// RFC 3376 §4.2: the records must fill the message exactly, so that nothing else rides along.
bool v3_report_ok(const std::uint8_t* message, std::uint32_t bytes) {
  if (bytes < v2_message_bytes) return false;
  std::uint32_t offset = v2_message_bytes;
  for (std::uint32_t left = load16(message + 6); left != 0; --left) {
    if (bytes - offset < v3_record_bytes) return false;
    const std::uint8_t kind = message[offset];
    const std::uint8_t auxiliary_words = message[offset + 1];
    const std::uint32_t sources = load16(message + offset + 2);
    if (kind < 1 || kind > 6 || auxiliary_words != 0 || !is_multicast(load32(message + offset + 4))) return false;
    offset += v3_record_bytes;
    if (bytes - offset < sources * 4) return false;
    offset += sources * 4;
  }
  return offset == bytes;
}

DropReason common_ok(const std::uint8_t* ip, const Packet& packet) {
  if (packet.fragment) return DropReason::fragment;
  const std::uint32_t bytes = packet.total_bytes - packet.header_bytes;
  if (packet.ttl != 1 || bytes < v2_message_bytes || !checksum_ok(ip + packet.header_bytes, bytes))
    return DropReason::igmp_not_allowed;
  return DropReason::none;
}

}  // namespace

DropReason check_igmp_report(const std::uint8_t* ip, const Packet& packet) noexcept {
  const DropReason bad = common_ok(ip, packet);
  if (bad != DropReason::none) return bad;
  const std::uint8_t* message = ip + packet.header_bytes;
  const std::uint32_t bytes = packet.total_bytes - packet.header_bytes;
  const std::uint32_t group = load32(message + 4);
  bool allowed = false;
  switch (message[0]) {
    case report_v1:
    case report_v2:
      allowed = bytes == v2_message_bytes && group == packet.destination;
      break;
    case leave_v2:  // RFC 2236 §6: to all routers; some hosts send it to the group
      allowed = bytes == v2_message_bytes && is_multicast(group) &&
                (packet.destination == all_routers || packet.destination == group);
      break;
    case report_v3:
      allowed = packet.destination == all_v3_routers && v3_report_ok(message, bytes);
      break;
    default:
      break;
  }
  return allowed && only_router_alert(ip, packet) ? DropReason::none : DropReason::igmp_not_allowed;
}

DropReason check_igmp_query(const std::uint8_t* ip, const Packet& packet) noexcept {
  const DropReason bad = common_ok(ip, packet);
  if (bad != DropReason::none) return bad;
  const std::uint8_t* message = ip + packet.header_bytes;
  const std::uint32_t bytes = packet.total_bytes - packet.header_bytes;
  const std::uint32_t group = load32(message + 4);
  if (message[0] != membership_query) return DropReason::igmp_not_allowed;
  // RFC 3376 §4.1.9, §4.1.12: general queries go to all systems, the others to the group they ask about.
  const bool addressed =
      group == 0 ? packet.destination == all_systems : is_multicast(group) && packet.destination == group;
  // RFC 3376 §7.1: length and Max Resp Code tell the versions apart.
  const bool version1 = bytes == v2_message_bytes && message[1] == 0;
  const bool version2 = bytes == v2_message_bytes && message[1] != 0;
  const bool version3 = bytes >= v3_query_bytes && bytes == v3_query_bytes + 4U * load16(message + 10);
  const bool form = version1 || ((version2 || version3) && has_router_alert(ip, packet));
  return addressed && form ? DropReason::none : DropReason::igmp_not_allowed;
}

}  // namespace sealcast::dataplane
