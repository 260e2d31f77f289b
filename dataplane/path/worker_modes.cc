// The modes beside address preservation: a tunnel to given addresses, and transport mode.
#include "dataplane/path/worker_open.h"

namespace sealcast::dataplane {
namespace {

// RFC 6438 §3 wants the packets of one tunnel's flow under one label that says nothing else. An SPI is such a flow and
// readable anyway. 20 bits, never 0.
constexpr std::uint32_t flow_label(std::uint32_t spi) {
  const std::uint32_t label = (spi * 2654435769U) >> 12;
  return label == 0 ? 1 : label;
}

// The inner packet's DSCP or the configured one; ECN always the inner packet's (RFC 6040 §4.1 normal mode).
std::uint8_t outer_class(const OuterHeader& header, const Packet& packet) {
  if (header.dscp == OuterHeader::inner_dscp) return packet.traffic_class;
  return static_cast<std::uint8_t>((header.dscp << 2) | (packet.traffic_class & 3));
}

void finish_ipv4_header(std::uint8_t* ip, std::uint32_t header_bytes) {
  std::memset(ip + ipv4::checksum, 0, 2);
  const auto checksum = static_cast<std::uint16_t>(~fold16(sum_words(ip, header_bytes)));
  std::memcpy(ip + ipv4::checksum, &checksum, 2);
}

}  // namespace

void Worker::seal_fixed(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  const OuterHeader& header = sa.epoch->outer;
  const std::uint32_t outer_bytes = header.family == 4 ? min_ipv4_bytes : ipv6_header_bytes;
  const std::uint32_t front = outer_bytes + esp_front_bytes;
  const std::uint32_t plaintext_bytes = padded(packet.total_bytes);
  const std::uint32_t sealed = front + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);
  const std::uint8_t* const inner = frame.data + packet.ip_offset;
  std::uint8_t* const start = frame.data - front;
  std::uint8_t* const outer = start + packet.ip_offset;
  const std::uint8_t ttl = header.ttl == 0 ? packet.ttl : header.ttl;
  const std::uint8_t traffic_class = outer_class(header, packet);
  // RFC 4301 §8.1: DF is the inner packet's; an inner IPv6 packet may not be cut on its way either.
  const bool dont_fragment = packet.family == 6 || (inner[ipv4::fragment] & ipv4::dont_fragment_byte) != 0;

  std::memcpy(start, frame.data, link_copy_bytes);
  if (header.family == 4) {
    outer[ipv4::version] = ipv4::version_plain;
    outer[ipv4::tos] = traffic_class;
    store16(outer + ipv4::total_length, static_cast<std::uint16_t>(sealed));
    store16(outer + ipv4::identification, static_cast<std::uint16_t>(number));
    store16(outer + ipv4::fragment, dont_fragment ? ipv4::dont_fragment : 0);
    outer[ipv4::ttl] = ttl;
    outer[ipv4::protocol] = protocol_esp;
    store32(outer + ipv4::source, header.source);
    store32(outer + ipv4::destination, header.destination);
    finish_ipv4_header(outer, min_ipv4_bytes);
    address_link<V4>(start, packet.ip_offset, header.destination);
  } else {
    store32(outer + ipv6::version,
            (std::uint32_t{6} << 28) | (std::uint32_t{traffic_class} << 20) | flow_label(sa.spi));
    store16(outer + ipv6::payload_length, static_cast<std::uint16_t>(sealed - ipv6_header_bytes));
    outer[ipv6::next_header] = protocol_esp;
    outer[ipv6::hop_limit] = ttl;
    store64(outer + ipv6::source, header.source6.high);
    store64(outer + ipv6::source + 8, header.source6.low);
    store64(outer + ipv6::destination, header.destination6.high);
    store64(outer + ipv6::destination + 8, header.destination6.low);
    address_link<V6>(start, packet.ip_offset, header.destination6);
  }
  add_seal_item(sa, number, outer + outer_bytes, packet.total_bytes, plaintext_bytes,
                packet.family == 4 ? protocol_ipv4 : protocol_ipv6);

  frame.data = start;
  frame.headroom -= front;
  frame.tailroom -= sealed - front - packet.total_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(packet.total_bytes);
}

// RFC 4303 §3.1.1: ESP stands behind the IPv4 header and its options; behind those IPv6 extension headers that routers
// look at, before destination options of the last hop. What it protects names itself in ESP's next header.
void Worker::seal_transport(Frame& frame, const Packet& packet, SealingSa& sa) noexcept {
  const std::uint32_t kept = packet.esp_place;
  const std::uint32_t payload_bytes = packet.total_bytes - kept;
  const std::uint32_t plaintext_bytes = padded(payload_bytes);
  const std::uint32_t sealed = kept + esp_front_bytes + plaintext_bytes + static_cast<std::uint32_t>(aead::tag_bytes);
  const std::uint64_t number = take_number(sa, plaintext_bytes);

  std::uint8_t* const start = frame.data - esp_front_bytes;
  std::memmove(start, frame.data, packet.ip_offset + kept);
  std::uint8_t* const ip = start + packet.ip_offset;
  const std::uint8_t next_header = ip[packet.esp_field];
  ip[packet.esp_field] = protocol_esp;
  if (packet.family == 4) {
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(sealed));
    finish_ipv4_header(ip, kept);
  } else {
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(sealed - ipv6_header_bytes));
  }
  add_seal_item(sa, number, ip + kept, payload_bytes, plaintext_bytes, next_header);

  frame.data = start;
  frame.headroom -= esp_front_bytes;
  frame.tailroom -= sealed - esp_front_bytes - packet.total_bytes;
  frame.length = packet.ip_offset + sealed;
  sa.bytes.add(packet.total_bytes);
}

// The IP header is the sender's own, and nothing vouches for it but the selectors (and a UDP checksum): who changes an
// address on the way to another one of the group is not noticed. docs/dataplane.md says so.
template <typename Family>
DropReason Worker::open_transport(Frame& frame, std::uint32_t i, std::uint32_t text_bytes) noexcept {
  const Scratch& scratch = *scratch_;
  const aead::OpenItem& item = scratch.open.items[i];
  OpeningSa& sa = *scratch.open.sas[i];
  const std::uint8_t next_header = item.data[item.length - 1];
  if (next_header == protocol_esp || next_header == protocol_ah) return DropReason::nested_esp;
  if (next_header == group_datagram_next_header) return take_datagram(i, text_bytes);
  // RFC 4303 §2.6: 59 is a dummy packet. Headers that routers look at have no place behind ESP.
  if (next_header == dummy_next_header) return DropReason::bad_next_header;
  if (Family::family == 6 &&
      (next_header == header_hop_by_hop || next_header == header_routing || next_header == header_fragment))
    return DropReason::bad_next_header;

  const std::uint32_t ip_offset = scratch.opened[i].ip_offset;
  const std::uint32_t header_bytes = scratch.opened[i].header_bytes;
  const std::uint32_t total = header_bytes + text_bytes;
  const std::uint32_t old_length = frame.length;
  std::memmove(frame.data + esp_front_bytes, frame.data, ip_offset + header_bytes);
  std::uint8_t* const ip = frame.data + esp_front_bytes + ip_offset;
  ip[scratch.opened[i].protocol_field] = next_header;
  if constexpr (Family::family == 4) {
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(total));
    finish_ipv4_header(ip, header_bytes);
  } else {
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(total - ipv6_header_bytes));
  }
  frame.data += esp_front_bytes;
  frame.headroom += esp_front_bytes;
  frame.length = ip_offset + total;
  frame.tailroom += old_length - esp_front_bytes - frame.length;

  Packet packet{};
  if (Family::parse(ip, total, packet) != DropReason::none || packet.fragment) return DropReason::bad_inner_packet;
  if (const DropReason bad = check_opened<Family>(*sa.epoch, ip, packet); bad != DropReason::none) return bad;
  sa.packets.add(1);
  sa.bytes.add(total);
  return DropReason::none;
}

template DropReason Worker::open_transport<V4>(Frame&, std::uint32_t, std::uint32_t) noexcept;
template DropReason Worker::open_transport<V6>(Frame&, std::uint32_t, std::uint32_t) noexcept;

}  // namespace sealcast::dataplane
