// Types of IGMP and MLD messages, and where their fields stand: bytes from the start of the message, or of the record.
#pragma once

#include <cstdint>

namespace sealcast::dataplane {

inline constexpr std::uint8_t igmp_query = 0x11;      // RFC 1112, 2236, 3376
inline constexpr std::uint8_t igmp_report_v1 = 0x12;  // RFC 1112
inline constexpr std::uint8_t igmp_report_v2 = 0x16;  // RFC 2236
inline constexpr std::uint8_t igmp_leave_v2 = 0x17;
inline constexpr std::uint8_t igmp_report_v3 = 0x22;  // RFC 3376
inline constexpr std::uint8_t mld_query = 130;        // RFC 2710, 3810
inline constexpr std::uint8_t mld_report_v1 = 131;    // RFC 2710
inline constexpr std::uint8_t mld_done_v1 = 132;
inline constexpr std::uint8_t mld_report_v2 = 143;  // RFC 3810

// Whether an ICMPv6 message type is one of MLD's.
constexpr bool is_mld(std::uint8_t type) {
  return (type >= mld_query && type <= mld_done_v1) || type == mld_report_v2;
}

// RFC 3376 §4.1. Older versions have their fields at the same places.
namespace igmp {
inline constexpr std::uint32_t type = 0, max_response = 1, checksum = 2, group = 4, query_sources = 10;
}
// RFC 3810 §5.1. Version 1 has its fields at the same places.
namespace mld {
inline constexpr std::uint32_t type = 0, code = 1, checksum = 2, group = 8, query_sources = 26;
}
// IGMPv3 and MLDv2 reports (RFC 3376 §4.2, RFC 3810 §5.2).
namespace membership_report {
inline constexpr std::uint32_t records = 6, first_record = 8;
}
// A record in them.
namespace membership_record {
inline constexpr std::uint32_t type = 0, auxiliary_words = 1, sources = 2, group = 4;
}

}  // namespace sealcast::dataplane
