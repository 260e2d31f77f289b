// The initiator's cookie and the peer's address in the carriage's tests.
#pragma once

#include "handshake/isakmp/cookie.h"

namespace sealcast::isakmp {

inline constexpr Cookie initiator_cookie{1, 2, 3, 4, 5, 6, 7, 8};
inline const PeerAddress peer_address{IpAddress::v4(0x0a000001), 4000};

}  // namespace sealcast::isakmp
