// The gateway as a listener on black, for both families: an IGMPv3 and an MLDv2 host.
#pragma once

#include <optional>

#include "dataplane/membership/host.h"

namespace sealcast::dataplane::membership {

class Listener {
 public:
  struct Options {
    MacAddress mac{};                                    // of the black port
    std::optional<IpAddress> address4;                   // source of IGMP reports; none: 0.0.0.0
    std::optional<IpAddress> address6;                   // of MLD reports; none: link-local, made of mac
    std::uint32_t mtu = 1500;                            // bytes of IP packet
    std::function<std::uint32_t(std::uint32_t)> random;  // uniform from 0 to the bound, inclusive
  };
  explicit Listener(const Options& options);

  void want(const Interests& all, Time now);
  // A frame from black; ignored unless it is a valid query.
  void receive(std::span<const std::uint8_t> frame, Time now);
  std::vector<Bytes> due(Time now, std::size_t most);

  const Host& host4() const { return host4_; }
  const Host& host6() const { return host6_; }

 private:
  Host host4_, host6_;
};

}  // namespace sealcast::dataplane::membership
