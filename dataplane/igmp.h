// Which IGMP messages pass in clear: what a multicast tree needs and no more (RFC 1112, 2236, 3376).
#pragma once

#include "dataplane/packet.h"

namespace sealcast::dataplane {

// Red to black: a well-formed report or leave with TTL 1, sent where such a message belongs. none, or fragment,
// igmp_not_allowed. It shows black which groups have listeners; the documentation says so.
DropReason check_igmp_report(const std::uint8_t* ip, const Packet& packet) noexcept;

// Black to red: a well-formed membership query with TTL 1 and, from version 2 on, Router Alert. none, or fragment,
// igmp_not_allowed.
DropReason check_igmp_query(const std::uint8_t* ip, const Packet& packet) noexcept;

}  // namespace sealcast::dataplane
