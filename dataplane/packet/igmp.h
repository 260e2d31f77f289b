// Which IGMP messages pass in clear: what a multicast tree needs and no more (RFC 1112, 2236, 3376).
#pragma once

#include "dataplane/packet/clear_packet.h"

namespace sealcast::dataplane {

// packet is IPv4 of protocol 2 in both.

// A well-formed report or leave with TTL 1, sent where such a message belongs, no IP option but Router Alert. none, or
// fragment, igmp_not_allowed. A reader of black learns from it which groups have listeners; the documentation says so.
DropReason check_igmp_report(const ClearPacket& packet) noexcept;

// A well-formed membership query with TTL 1 and, from version 2 on, Router Alert. none, or fragment, igmp_not_allowed.
DropReason check_igmp_query(const ClearPacket& packet) noexcept;

}  // namespace sealcast::dataplane
