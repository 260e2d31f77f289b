#include "dataplane/testing/packets.h"

#include "dataplane/packet/clear_packet.h"

namespace sealcast::dataplane::testing {
namespace {

Bytes address(const std::string& text) {
  const IpAddress parsed = ip(text);
  return Bytes(parsed.bytes.begin(), parsed.bytes.begin() + 4);
}

}  // namespace

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Bytes pattern(std::size_t bytes, std::uint8_t seed) {
  Bytes out(bytes);
  for (std::size_t i = 0; i < bytes; ++i)
    out[i] = static_cast<std::uint8_t>(i * 7 + seed);
  return out;
}

Bytes packet_of(const Bytes& frame) {
  return Bytes(frame.begin() + 14, frame.end());
}

Bytes ipv4(const Ipv4Fields& fields, const Bytes& payload) {
  Bytes packet(20);
  const std::size_t header = 20 + fields.options.size();
  packet[0] = static_cast<std::uint8_t>(0x40 | (header / 4));
  packet[1] = fields.tos;
  store_be(&packet[2], static_cast<std::uint16_t>(header + payload.size()));
  store_be(&packet[4], fields.id);
  store_be(&packet[6], fields.fragment);
  packet[8] = fields.ttl;
  packet[9] = fields.protocol;
  const Bytes addresses = address(fields.source) + address(fields.destination);
  std::copy(addresses.begin(), addresses.end(), packet.begin() + 12);
  packet = packet + fields.options;
  put_checksum(&packet[10], packet.data(), static_cast<std::uint32_t>(header));
  return packet + payload;
}

Bytes ipv6(const Ipv6Fields& fields, const Bytes& payload) {
  Bytes packet(8);
  store_be(packet.data(), (std::uint32_t{6} << 28) | (std::uint32_t{fields.traffic_class} << 20) | fields.flow_label);
  store_be(&packet[4],
           fields.payload_length.value_or(static_cast<std::uint16_t>(fields.extensions.size() + payload.size())));
  packet[6] = fields.next_header;
  packet[7] = fields.hop_limit;
  for (const std::string& end : {fields.source, fields.destination}) {
    const IpAddress parsed = ip(end);
    packet = packet + Bytes(parsed.bytes.begin(), parsed.bytes.end());
  }
  return packet + fields.extensions + payload;
}

Bytes extension(std::uint8_t next_header, const Bytes& body) {
  Bytes header = Bytes{next_header, 0} + body;
  header.resize((header.size() + 7) / 8 * 8);
  header[1] = static_cast<std::uint8_t>(header.size() / 8 - 1);
  return header;
}

Bytes fragment_header(std::uint8_t next_header, std::uint16_t offset, bool more, std::uint32_t id) {
  Bytes header = {next_header, 0, 0, 0, 0, 0, 0, 0};
  store_be(&header[2], static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
  store_be(&header[4], id);
  return header;
}

Bytes udp(std::uint16_t source_port, std::uint16_t destination_port, const Bytes& payload, std::uint16_t checksum) {
  Bytes header(8);
  store_be(&header[0], source_port);
  store_be(&header[2], destination_port);
  store_be(&header[4], static_cast<std::uint16_t>(8 + payload.size()));
  store_be(&header[6], checksum);
  return header + payload;
}

Bytes ethernet(const Bytes& packet, const std::vector<std::uint16_t>& vlans, std::uint16_t type) {
  Bytes frame = {0x01, 0x00, 0x5e, 0, 0, 0, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01};
  if (type == 0x86dd && packet.size() >= 40) {
    frame[0] = frame[1] = 0x33;
    std::copy(packet.begin() + 36, packet.begin() + 40, frame.begin() + 2);
  } else if (packet.size() >= 20) {
    frame[3] = packet[17] & 0x7f;
    frame[4] = packet[18];
    frame[5] = packet[19];
  }
  for (std::size_t i = 0; i < vlans.size(); ++i) {
    const bool service = i == 0 && vlans.size() > 1;
    const Bytes tag = {static_cast<std::uint8_t>(service ? 0x88 : 0x81),
                       static_cast<std::uint8_t>(service ? 0xa8 : 0x00), static_cast<std::uint8_t>(vlans[i] >> 8),
                       static_cast<std::uint8_t>(vlans[i])};
    frame = frame + tag;
  }
  return frame + Bytes{static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type)} + packet;
}

Bytes udp_frame(std::size_t payload_bytes, const Ipv4Fields& fields, std::uint16_t port) {
  return ethernet(ipv4(fields, udp(4000, port, pattern(payload_bytes))));
}

Bytes udp6_frame(std::size_t payload_bytes, const Ipv6Fields& fields, std::uint16_t port) {
  return ethernet(ipv6(fields, udp(4000, port, pattern(payload_bytes), 0xbeef)), {}, 0x86dd);
}

void mend_checksum(Bytes& frame, std::size_t ip_offset) {
  put_checksum(&frame[ip_offset + 10], &frame[ip_offset], (frame[ip_offset] & 0x0fU) * 4);
}

Bytes igmp(std::uint8_t type, std::uint8_t code, const std::string& group, const Bytes& rest) {
  Bytes message = Bytes{type, code, 0, 0} + address(group) + rest;
  put_checksum(&message[2], message.data(), static_cast<std::uint32_t>(message.size()));
  return message;
}

Bytes report4(std::uint8_t count, const Bytes& records) {
  return ethernet(ipv4({.destination = "224.0.0.22", .protocol = 2, .ttl = 1, .options = router_alert},
                       igmp(0x22, 0, "0.0.0." + std::to_string(count), records)));
}

}  // namespace sealcast::dataplane::testing
