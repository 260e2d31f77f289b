// Which MLD messages pass in clear (RFC 2710, 3810): the rules of igmp.h for IPv6.
#pragma once

#include "dataplane/packet/clear_packet.h"
#include "dataplane/packet/membership_types.h"

namespace sealcast::dataplane {

// packet is IPv6 of protocol 58 in both. Hop limit 1, Router Alert in a hop-by-hop header and no other extension, right
// checksum, link-local source (RFC 3810 §5; reports also ::, §5.2.13). none, or fragment, mld_not_allowed.

// A well-formed v1 report or done, or a v2 report whose records fill it exactly, sent where such a message belongs.
DropReason check_mld_report(const ClearPacket& packet) noexcept;
// A well-formed v1 or v2 query.
DropReason check_mld_query(const ClearPacket& packet) noexcept;

}  // namespace sealcast::dataplane
