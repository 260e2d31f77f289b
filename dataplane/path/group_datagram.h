// Datagrams of a group for the gateways themselves (docs/protocol.md "Rekeying by datagram"): what a worker takes out
// of ESP, and the frame around one that this gateway sends on for the key server.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/dataplane_control.h"
#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/multicast_macs.h"
#include "dataplane/sa/event_ring.h"

namespace sealcast::dataplane {

struct TakenDatagram {
  static constexpr std::uint32_t most_bytes = 1400;
  std::uint32_t spi = 0;  // that it came under
  std::uint16_t length = 0;
  std::array<std::uint8_t, most_bytes> bytes;
};
// One worker's: what comes between two looks of the control thread, of which there are 20 a second. More is a flood.
using TakenDatagramRing = EventRing<TakenDatagram, 8>;

// One worker's datagrams on their way to the control thread. They are as authentic as any member's packet, no more. The
// control thread judges them, at its own pace.
class DatagramInbox {
 public:
  // Worker. text: what was opened under the SPI, without padding and trailer. Returns why its frame goes no further:
  // group_datagram; bad_next_header where it is too long for one.
  DropReason take(std::uint32_t spi, ByteView text) noexcept;
  TakenDatagramRing& ring() { return ring_; }

 private:
  TakenDatagram copy_;
  TakenDatagramRing ring_;
};

// This gateway's addresses on black. Where one is missing, nothing of its family is sent.
struct BlackAddress {
  MacAddress mac{};
  std::optional<IpAddress> address4, address6;
};

// The frame of an ESP packet to the group's own address: the tunnel's; otherwise the first address of the first
// selector, from that selector's source where it names one host, else from this gateway. No VLAN tag.
Result<Bytes> sealed_frame(const GroupProtection& protection, const BlackAddress& own, ByteView esp, std::uint32_t mtu);

}  // namespace sealcast::dataplane
