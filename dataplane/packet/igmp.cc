#include "dataplane/packet/igmp.h"

#include "dataplane/packet/membership_types.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t all_systems = 0xe0000001;     // 224.0.0.1
constexpr std::uint32_t all_routers = 0xe0000002;     // 224.0.0.2
constexpr std::uint32_t all_v3_routers = 0xe0000016;  // 224.0.0.22
constexpr std::uint32_t v2_message_bytes = 8;
constexpr std::uint32_t v3_query_bytes = 12;
constexpr std::uint32_t v3_record_bytes = 8;

bool is_multicast(std::uint32_t address) {
  return (address >> 28) == 0xe;
}

// RFC 3376 §4.2: the records must fill the message exactly, so that nothing else rides along.
bool v3_report_ok(const std::uint8_t* message, std::uint32_t bytes) {
  std::uint32_t offset = membership_report::first_record;
  for (std::uint32_t left = load16(message + membership_report::records); left != 0; --left) {
    if (bytes - offset < v3_record_bytes) return false;
    const std::uint8_t kind = message[offset + membership_record::type];
    const std::uint8_t auxiliary_words = message[offset + membership_record::auxiliary_words];
    const std::uint32_t sources = load16(message + offset + membership_record::sources);
    if (kind < 1 || kind > 6 || auxiliary_words != 0 ||
        !is_multicast(load32(message + offset + membership_record::group)))
      return false;
    offset += v3_record_bytes;
    if (bytes - offset < sources * 4) return false;
    offset += sources * 4;
  }
  return offset == bytes;
}

DropReason igmp_common_ok(const ClearPacket& packet) {
  if (packet.fragment) return DropReason::fragment;
  if (packet.hop_limit != 1 || packet.odd_options || packet.payload_bytes() < v2_message_bytes ||
      checksum_sum(packet.payload(), packet.payload_bytes()) != 0xffff)
    return DropReason::igmp_not_allowed;
  return DropReason::none;
}

}  // namespace

DropReason check_igmp_report(const ClearPacket& packet) noexcept {
  const DropReason bad = igmp_common_ok(packet);
  if (bad != DropReason::none) return bad;
  const std::uint8_t* message = packet.payload();
  const std::uint32_t bytes = packet.payload_bytes();
  const std::uint32_t group = load32(message + igmp::group);
  const std::uint32_t destination = load32(packet.destination.bytes.data());
  bool allowed = false;
  switch (message[igmp::type]) {
    case igmp_report_v1:
    case igmp_report_v2:
      allowed = bytes == v2_message_bytes && is_multicast(group) && group == destination;
      break;
    case igmp_leave_v2:  // RFC 2236 §6: to all routers; some hosts send it to the group
      allowed =
          bytes == v2_message_bytes && is_multicast(group) && (destination == all_routers || destination == group);
      break;
    case igmp_report_v3:
      allowed = destination == all_v3_routers && v3_report_ok(message, bytes);
      break;
    default:
      break;
  }
  return allowed ? DropReason::none : DropReason::igmp_not_allowed;
}

DropReason check_igmp_query(const ClearPacket& packet) noexcept {
  const DropReason bad = igmp_common_ok(packet);
  if (bad != DropReason::none) return bad;
  const std::uint8_t* message = packet.payload();
  const std::uint32_t bytes = packet.payload_bytes();
  const std::uint32_t group = load32(message + igmp::group);
  const std::uint32_t destination = load32(packet.destination.bytes.data());
  if (message[igmp::type] != igmp_query) return DropReason::igmp_not_allowed;
  // RFC 3376 §4.1.9, §4.1.12: general queries go to all systems, the others to the group they ask about.
  const bool addressed = group == 0 ? destination == all_systems : is_multicast(group) && destination == group;
  // RFC 3376 §7.1: length and Max Resp Code tell the versions apart.
  const bool version1 = bytes == v2_message_bytes && message[igmp::max_response] == 0;
  const bool version2 = bytes == v2_message_bytes && message[igmp::max_response] != 0;
  const bool version3 = bytes >= v3_query_bytes && bytes == v3_query_bytes + 4U * load16(message + igmp::query_sources);
  const bool form = version1 || ((version2 || version3) && packet.router_alert);
  return addressed && form ? DropReason::none : DropReason::igmp_not_allowed;
}

}  // namespace sealcast::dataplane
