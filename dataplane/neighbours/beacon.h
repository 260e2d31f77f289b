// The beacon by which gateways on one red segment know of each other. Not authenticated: any host on red can send one.
//
//   Ethernet   03:53:45:41:4c:43, the port's MAC address, at most two VLAN tags, EtherType 0x88b5 (IEEE 802: for local
//              experiments)
//   0          "SCBN"
//   4          version, 1. A later one may only append: readers of this one ignore what follows.
//   5          standing: 0 works, 1 listens, 2 stands by
//   6          random number of the process, 8 bytes
//   14         length of the name, 1 to 64; the name
//   ...        length of the site, 1 to 64; the site
//   ...        zeros up to 46 bytes
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/packet/multicast_macs.h"
#include "dataplane/sa/snapshot.h"

namespace sealcast::dataplane {

inline constexpr MacAddress beacon_mac = {0x03, 0x53, 0x45, 0x41, 0x4c, 0x43};

struct Beacon {
  Standing standing = Standing::works;
  std::uint64_t nonce = 0;  // of the process
  std::string name, site;   // 1 to max_name_bytes of printable ASCII
};

// Printable ASCII, at most max_name_bytes; other bytes become '?'. Of an empty text: "?".
std::string beacon_text(std::string_view text);

// vlan: 1 to 4094; none: without a tag. Name and site must be beacon_text().
std::vector<std::uint8_t> write_beacon(const Beacon& beacon, const MacAddress& source,
                                       std::optional<std::uint16_t> vlan);

struct HeardBeacon {
  Beacon beacon;
  MacAddress source{};
};
// From a whole frame. none: no beacon, or one that is cut off or wrong. Names come out as beacon_text().
std::optional<HeardBeacon> read_beacon(std::span<const std::uint8_t> frame);

}  // namespace sealcast::dataplane
