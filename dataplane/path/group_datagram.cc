#include "dataplane/path/group_datagram.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
namespace {

constexpr std::uint8_t network_control = 48;  // DSCP CS6 (RFC 4594 §3.1)
constexpr std::uint8_t hops = 64;

struct Addresses {
  IpAddress destination;
  std::optional<IpAddress> source;
};

Addresses outer_addresses_of(const GroupProtection& protection, const BlackAddress& own) {
  if (protection.outer) return {protection.outer->destination, protection.outer->source};
  const Selector& selector = protection.selectors.front();
  Addresses out{selector.destination.address, {}};
  const bool from_host = selector.source && selector.source->length == selector.source->address.size() * 8;
  if (from_host)
    out.source = selector.source->address;
  else
    out.source = out.destination.family == 4 ? own.address4 : own.address6;
  return out;
}

}  // namespace

Result<Bytes> sealed_frame(const GroupProtection& protection, const BlackAddress& own, ByteView esp,
                           std::uint32_t mtu) {
  const auto [destination, source] = outer_addresses_of(protection, own);
  const bool v4 = destination.family == 4;
  if (!source)
    return fail(std::string("expected this gateway's own IPv") + (v4 ? "4" : "6") + " address on black ([black] " +
                (v4 ? "address4" : "address6") + ") as the source, got none");
  const std::size_t header = v4 ? min_ipv4_bytes : ipv6_header_bytes;
  if (esp.size() + header > mtu)
    return fail("expected an ESP packet of at most " + std::to_string(mtu - header) + " bytes, got " +
                std::to_string(esp.size()));
  std::uint8_t ttl = hops, dscp = network_control;
  if (protection.outer) {
    ttl = protection.outer->ttl.value_or(ttl);
    dscp = protection.outer->dscp.value_or(dscp);
  }
  Bytes frame(ethernet_bytes + header + esp.size());
  const MacAddress to = multicast_mac(destination);
  std::copy(to.begin(), to.end(), frame.begin());
  std::copy(own.mac.begin(), own.mac.end(), frame.begin() + ethernet::source);
  std::uint8_t* const ip = frame.data() + ethernet_bytes;
  store16(frame.data() + ethernet::type, v4 ? V4::ether_type : V6::ether_type);
  if (v4) {
    ip[ipv4::version] = ipv4::version_plain;
    ip[ipv4::tos] = static_cast<std::uint8_t>(dscp << 2);
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(header + esp.size()));
    ip[ipv4::ttl] = ttl;
    ip[ipv4::protocol] = protocol_esp;
  } else {
    store32(ip + ipv6::version, (6U << 28) | (std::uint32_t{dscp} << 22));
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(esp.size()));
    ip[ipv6::next_header] = protocol_esp;
    ip[ipv6::hop_limit] = ttl;
  }
  std::uint8_t* const at = ip + (v4 ? ipv4::source : ipv6::source);
  std::copy_n(source->bytes.begin(), source->size(), at);
  std::copy_n(destination.bytes.begin(), destination.size(), at + source->size());
  if (v4) put_ipv4_checksum(ip, min_ipv4_bytes);
  std::copy(esp.begin(), esp.end(), ip + header);
  return frame;
}

DropReason DatagramInbox::take(std::uint32_t spi, ByteView text) noexcept {
  if (text.size() > TakenDatagram::most_bytes) return DropReason::bad_next_header;
  copy_.spi = spi;
  copy_.length = static_cast<std::uint16_t>(text.size());
  std::copy(text.begin(), text.end(), copy_.bytes.begin());
  ring_.push(copy_);
  return DropReason::group_datagram;
}

}  // namespace sealcast::dataplane
