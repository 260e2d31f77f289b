// What the gateway's own host interface on black may receive and send: address resolution for its own addresses, and
// TCP to and from the configured key servers. All other frames are treated as without such an interface.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/address.h"
#include "dataplane/packet/clear_packet.h"
#include "dataplane/packet/multicast_macs.h"

namespace sealcast::dataplane {

struct HostEndpoint {
  IpAddress address;  // all zeros, of a listener: any address of the interface
  std::uint16_t port = 0;
  bool operator==(const HostEndpoint&) const = default;
};

struct HostAddresses {
  MacAddress mac{};
  std::vector<IpAddress> addresses;
  bool operator==(const HostAddresses&) const = default;
};

class HostFilter {
 public:
  // remote: key servers that the gateway calls. local: where a key server inside the gateway listens.
  HostFilter(std::vector<HostEndpoint> remote, std::vector<HostEndpoint> local);
  ~HostFilter();
  HostFilter(const HostFilter&) = delete;
  HostFilter& operator=(const HostFilter&) = delete;

  // Sets the interface's addresses. Any thread, one at a time. The caller keeps what it returns until no worker is
  // inside wants() any more: a grace period.
  [[nodiscard]] std::unique_ptr<const HostAddresses> set_addresses(HostAddresses addresses);

  enum class Class : std::uint8_t { none, resolution, key_server };
  // Workers. Whether a frame from black is for the interface alone. The frame is untagged, and read_clear() read its
  // packet.
  Class wants(const std::uint8_t* frame, const ClearPacket& packet) const noexcept;
  // Whether a frame from the interface may go out on black.
  Class may_send(const std::uint8_t* frame, std::uint32_t length) const noexcept;

 private:
  bool is_remote(const IpAddress& address, std::uint16_t port) const noexcept;
  bool is_local(const IpAddress& address, std::uint16_t port) const noexcept;

  const std::vector<HostEndpoint> remote_, local_;
  std::atomic<const HostAddresses*> addresses_;
};

}  // namespace sealcast::dataplane
