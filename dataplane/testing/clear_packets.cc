#include "dataplane/testing/clear_packets.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dataplane/packet/multicast_macs.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane::testing {

Bytes address_bytes(const std::string& text) {
  const IpAddress address = IpAddress::parse(text).value();
  return Bytes(address.bytes.begin(), address.bytes.begin() + static_cast<std::ptrdiff_t>(address.size()));
}

Bytes ip6(const Header6& header, const Bytes& payload) {
  const Bytes start = {0x60,
                       0,
                       0,
                       0,
                       static_cast<std::uint8_t>(payload.size() >> 8),
                       static_cast<std::uint8_t>(payload.size()),
                       header.next,
                       header.hop_limit};
  return start + address_bytes(header.source) + address_bytes(header.destination) + payload;
}

Bytes icmp6(const Header6& header, std::uint8_t type, std::uint8_t code, const Bytes& rest) {
  Bytes message = Bytes{type, code, 0, 0} + rest;
  const auto bytes = static_cast<std::uint32_t>(message.size());
  const std::uint64_t pseudo = pseudo_header_sum(IpAddress::parse(header.source).value(),
                                                 IpAddress::parse(header.destination).value(), bytes, 58);
  const auto checksum = static_cast<std::uint16_t>(~checksum_sum(message.data(), bytes, pseudo));
  std::memcpy(&message[2], &checksum, 2);
  return message;
}

Bytes mld_packet(const Header6& header, std::uint8_t type, const Bytes& rest) {
  Header6 outer = header;
  outer.next = 0;
  return ip6(outer, mld_alert + icmp6(header, type, 0, rest));
}

Bytes mld_group(const std::string& group, std::uint16_t delay) {
  return Bytes{static_cast<std::uint8_t>(delay >> 8), static_cast<std::uint8_t>(delay), 0, 0} + address_bytes(group);
}

Bytes frame6(const Bytes& packet) {
  Bytes frame = ethernet(packet, {}, 0x86dd);
  if (packet.size() < 40) return frame;
  IpAddress destination;
  destination.family = 6;
  std::memcpy(destination.bytes.data(), &packet[24], 16);
  const MacAddress mac =
      destination.is_multicast() ? multicast_mac(destination) : MacAddress{0x02, 0x00, 0x00, 0x00, 0x00, 0x02};
  std::memcpy(frame.data(), mac.data(), mac.size());
  return frame;
}

Bytes arp_frame(std::uint16_t operation, const std::string& sender, const std::string& target) {
  const Bytes mac = {0x02, 0, 0, 0, 0, 1};
  Bytes arp = {0, 1, 8, 0, 6, 4, 0, static_cast<std::uint8_t>(operation)};
  arp = arp + mac + address_bytes(sender) + Bytes(6) + address_bytes(target);
  Bytes frame = Bytes(6, 0xff) + mac + Bytes{0x08, 0x06} + arp;
  frame.resize(60);
  return frame;
}

ClearPacket clear(const Bytes& frame) {
  ClearPacket packet;
  const DropReason bad =
      read_clear(frame.data() + ethernet_bytes, static_cast<std::uint32_t>(frame.size()) - ethernet_bytes,
                 load16(&frame[12]), packet);
  if (bad != DropReason::none) {
    std::fprintf(stderr, "test packet refused: %s\n", std::string(name(bad)).c_str());
    std::abort();
  }
  return packet;
}

}  // namespace sealcast::dataplane::testing
