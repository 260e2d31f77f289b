// What a peer's address counts as where connections and attempts are limited (H7, H13).
#pragma once

#include <string>

#include "base/address.h"

namespace sealcast::keyserver {

// host: an address as the socket shows it, a scope after '%' included. IPv4 behind an IPv6 socket is IPv4, else all of
// it would share one limit; an IPv6 peer counts by its /64 (the rest zero), else one host had as many as it likes. The
// address of all zeros for what is none.
IpAddress counted_address(const std::string& host);

}  // namespace sealcast::keyserver
