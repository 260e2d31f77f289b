// Types of IGMP and MLD messages.
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

}  // namespace sealcast::dataplane
