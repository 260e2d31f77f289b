#include "dataplane/packet/mld.h"

#include <cstring>

#include "dataplane/packet/membership_types.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint32_t v1_message_bytes = 24;
constexpr std::uint32_t v2_query_bytes = 28;
constexpr std::uint32_t v2_record_bytes = 20;

bool is_zero(const std::uint8_t* address) {
  static constexpr std::uint8_t zero[16] = {};
  return std::memcmp(address, zero, sizeof zero) == 0;
}

// RFC 3810 §5.2: the records must fill the message exactly, so that nothing else rides along.
bool v2_report_ok(const std::uint8_t* message, std::uint32_t bytes) {
  std::uint32_t offset = membership_report::first_record;
  for (std::uint32_t left = load16(message + membership_report::records); left != 0; --left) {
    if (bytes - offset < v2_record_bytes) return false;
    const std::uint8_t kind = message[offset + membership_record::type];
    const std::uint8_t auxiliary_words = message[offset + membership_record::auxiliary_words];
    const std::uint32_t sources = load16(message + offset + membership_record::sources);
    if (kind < 1 || kind > 6 || auxiliary_words != 0 || message[offset + membership_record::group] != 0xff)
      return false;
    offset += v2_record_bytes;
    if (bytes - offset < sources * 16) return false;
    offset += sources * 16;
  }
  return offset == bytes;
}

DropReason mld_common_ok(const ClearPacket& packet, std::uint32_t least_bytes) {
  if (packet.fragment) return DropReason::fragment;
  if (packet.hop_limit != 1 || packet.odd_options || !packet.router_alert || packet.payload_bytes() < least_bytes ||
      packet.payload()[mld::code] != 0)
    return DropReason::mld_not_allowed;
  const std::uint64_t pseudo =
      pseudo_header_sum(packet.source, packet.destination, packet.payload_bytes(), protocol_icmpv6);
  const bool sum = checksum_sum(packet.payload(), packet.payload_bytes(), pseudo) == 0xffff;
  return sum ? DropReason::none : DropReason::mld_not_allowed;
}

}  // namespace

DropReason check_mld_report(const ClearPacket& packet) noexcept {
  const DropReason bad = mld_common_ok(packet, membership_report::first_record);
  if (bad != DropReason::none) return bad;
  if (!is_link_local(packet.source) && !is_zero(packet.source.bytes.data())) return DropReason::mld_not_allowed;
  const std::uint8_t* message = packet.payload();
  const std::uint32_t bytes = packet.payload_bytes();
  bool allowed = false;
  if (message[mld::type] == mld_report_v2) {
    allowed = is_local_group(packet.destination, 0x16) && v2_report_ok(message, bytes);
  } else if (bytes == v1_message_bytes && message[mld::group] == 0xff) {
    const bool to_group = std::memcmp(message + mld::group, packet.destination.bytes.data(), 16) == 0;
    allowed = message[mld::type] == mld_report_v1
                  ? to_group
                  : message[mld::type] == mld_done_v1 && is_local_group(packet.destination, 2);
  }
  return allowed ? DropReason::none : DropReason::mld_not_allowed;
}

DropReason check_mld_query(const ClearPacket& packet) noexcept {
  const DropReason bad = mld_common_ok(packet, v1_message_bytes);
  if (bad != DropReason::none) return bad;
  const std::uint8_t* message = packet.payload();
  const std::uint32_t bytes = packet.payload_bytes();
  if (message[mld::type] != mld_query || !is_link_local(packet.source)) return DropReason::mld_not_allowed;
  const std::uint8_t* group = message + mld::group;
  const bool addressed = is_zero(group)
                             ? is_local_group(packet.destination, 1)
                             : group[0] == 0xff && std::memcmp(group, packet.destination.bytes.data(), 16) == 0;
  // RFC 3810 §8.1: the length tells the versions apart.
  const bool form = bytes == v1_message_bytes ||
                    (bytes >= v2_query_bytes && bytes == v2_query_bytes + 16U * load16(message + mld::query_sources));
  return addressed && form ? DropReason::none : DropReason::mld_not_allowed;
}

}  // namespace sealcast::dataplane
