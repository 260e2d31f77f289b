// IP addresses, prefixes, port ranges and the multicast selectors made of them: plain values that the configuration,
// the handshake (SMKE, P36) and the data plane share, with one text form for people.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sealcast {

// An IPv4 (4 significant bytes, the rest 0) or IPv6 address in network byte order.
struct IpAddress {
  std::uint8_t family = 4;  // 4 or 6
  std::array<std::uint8_t, 16> bytes{};

  std::size_t size() const { return family == 4 ? 4 : 16; }
  bool is_multicast() const;         // 224.0.0.0/4, ff00::/8
  bool is_link_local_scope() const;  // 224.0.0.0/24, ffx1::/16, ffx2::/16: never a group's destination (H12)
  std::string text() const;
  static Result<IpAddress> parse(std::string_view text);
  static IpAddress v4(std::uint32_t host_order);
  auto operator<=>(const IpAddress&) const = default;
};

// Address bits beyond length are 0.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 32;  // 0..32 or 0..128

  bool contains(const IpAddress& candidate) const;
  bool contains(const Prefix& inner) const;
  std::string text() const;                            // "239.1.0.0/16"; a host prefix without the length
  static Result<Prefix> parse(std::string_view text);  // refuses host bits beyond the length
  auto operator<=>(const Prefix&) const = default;
};

// Inclusive, host byte order.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 65535;

  bool contains(std::uint16_t port) const { return port >= first && port <= last; }
  std::string text() const;                               // "5000" or "5000-5010"
  static Result<PortRange> parse(std::string_view text);  // refuses first > last
  auto operator<=>(const PortRange&) const = default;
};

// Which multicast a group protects. A packet matches when every given field matches.
struct Selector {
  Prefix destination;                    // multicast, not link-local scope
  std::optional<Prefix> source;          // SSM
  std::optional<std::uint8_t> protocol;  // IP protocol number
  std::optional<PortRange> ports;        // destination ports; only with protocol UDP (17)

  std::string text() const;
  // True if every packet that matches inner matches this one.
  bool covers(const Selector& inner) const;
  auto operator<=>(const Selector&) const = default;
};

// Refuses what no group may protect: unicast or link-local-scope destinations, mixed families, ports without UDP (H12).
Result<void> validate(const Selector& selector);

}  // namespace sealcast
