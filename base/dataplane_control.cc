#include "base/dataplane_control.h"

namespace sealcast {

std::string text(Numbers numbers) {
  return numbers == Numbers::foreign ? "foreign" : "timed";
}

std::string text(EspMode mode) {
  switch (mode) {
    case EspMode::tunnel_preserve:
      return "tunnel-preserve";
    case EspMode::tunnel_fixed:
      return "tunnel-fixed";
    case EspMode::transport:
      return "transport";
  }
  return "unknown mode " + std::to_string(static_cast<unsigned>(mode));
}

Result<void> validate(const OuterTunnel& outer) {
  if (!outer.destination.is_multicast() || outer.destination.is_link_local_scope())
    return fail("expected an outer destination that is multicast beyond the link, got " + outer.destination.text());
  if (outer.source.family != outer.destination.family)
    return fail("outer source " + outer.source.text() + " and outer destination " + outer.destination.text() +
                " are of different IP versions");
  const IpAddress none{outer.source.family, {}};
  const bool broadcast = outer.source.family == 4 && outer.source.bytes[0] >= 240;
  const bool loopback = outer.source.family == 4 && outer.source.bytes[0] == 127;
  if (outer.source.is_multicast() || outer.source == none || broadcast || loopback)
    return fail("expected an outer source that is a host's own address, got " + outer.source.text());
  if (outer.ttl && *outer.ttl == 0) return fail("expected an outer ttl from 1 to 255, got 0");
  if (outer.dscp && *outer.dscp > max_dscp)
    return fail("expected an outer dscp from 0 to " + std::to_string(max_dscp) + ", got " +
                std::to_string(*outer.dscp));
  return {};
}

}  // namespace sealcast
