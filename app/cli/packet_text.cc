#include "app/cli/packet_text.h"

#include <algorithm>
#include <charconv>

#include "base/address.h"

namespace sealcast::cli {
namespace {

constexpr std::uint8_t udp = 17;

void put16(Bytes& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

Result<std::uint8_t> protocol_of(const std::string& text) {
  if (text == "udp") return udp;
  if (text == "igmp") return std::uint8_t{2};
  if (text == "esp") return std::uint8_t{50};
  if (text == "icmpv6") return std::uint8_t{58};
  std::uint8_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return fail("--proto: expected udp, igmp, esp, icmpv6 or a number from 0 to 255, got \"" + text + "\"");
  return number;
}

// RFC 1071, over an even number of bytes.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
    sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while ((sum >> 16) != 0)
    sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void link_header(Bytes& out, const PacketFields& fields, const IpAddress& to) {
  Bytes mac{0x02, 0, 0, 0, 0, 0x02};
  if (to.is_multicast() && to.family == 4)  // RFC 1112 §6.4
    mac = {0x01, 0x00, 0x5e, static_cast<std::uint8_t>(to.bytes[1] & 0x7f), to.bytes[2], to.bytes[3]};
  if (to.is_multicast() && to.family == 6)  // RFC 2464 §7
    mac = {0x33, 0x33, to.bytes[12], to.bytes[13], to.bytes[14], to.bytes[15]};
  out = mac;
  out.insert(out.end(), {0x02, 0, 0, 0, 0, 0x01});
  for (std::size_t i = 0; i < fields.vlans.size(); ++i) {
    put16(out, fields.vlans.size() == 2 && i == 0 ? 0x88a8 : 0x8100);
    put16(out, fields.vlans[i]);
  }
  put16(out, to.family == 4 ? 0x0800 : 0x86dd);
}

}  // namespace

Result<Bytes> build_frame(const PacketFields& fields) {
  const auto from = IpAddress::parse(fields.source);
  if (!from) return fail("--src: " + from.error().message);
  const auto to = IpAddress::parse(fields.destination);
  if (!to) return fail("--dst: " + to.error().message);
  if (from->family != to->family) return fail("--src and --dst: expected addresses of one family");
  const auto protocol = protocol_of(fields.protocol);
  if (!protocol) return tl::unexpected(protocol.error());
  const std::uint32_t header = from->family == 4 ? 20 : 40;
  const std::uint32_t least = header + (*protocol == udp ? 8 : 0);
  if (fields.size < least || fields.size > 9216)
    return fail("--size: expected " + std::to_string(least) + " to 9216 bytes of IP packet, got " +
                std::to_string(fields.size));
  if (fields.vlans.size() > 2 || std::any_of(fields.vlans.begin(), fields.vlans.end(), [](auto v) { return v > 4094; }))
    return fail(std::string("--vlan: expected at most two numbers from 0 to 4094"));

  Bytes frame;
  const auto ttl = static_cast<std::uint8_t>(fields.ttl);
  link_header(frame, fields, *to);
  Bytes ip;
  if (from->family == 4) {
    ip = {0x45, 0};
    put16(ip, fields.size);
    put16(ip, 0);
    put16(ip, fields.dont_fragment ? 0x4000 : 0);
    ip.insert(ip.end(), {ttl, *protocol, 0, 0});
  } else {
    ip = {0x60, 0, 0, 0};
    put16(ip, fields.size - header);
    ip.insert(ip.end(), {*protocol, ttl});
  }
  ip.insert(ip.end(), from->bytes.begin(), from->bytes.begin() + static_cast<std::ptrdiff_t>(from->size()));
  ip.insert(ip.end(), to->bytes.begin(), to->bytes.begin() + static_cast<std::ptrdiff_t>(to->size()));
  if (from->family == 4) {
    const std::uint16_t sum = checksum(ip);
    ip[10] = static_cast<std::uint8_t>(sum >> 8);
    ip[11] = static_cast<std::uint8_t>(sum);
  }
  if (*protocol == udp) {
    put16(ip, fields.source_port);
    put16(ip, fields.destination_port);
    put16(ip, fields.size - header);
    put16(ip, 0);
  }
  ip.resize(fields.size, 0);
  frame.insert(frame.end(), ip.begin(), ip.end());
  return frame;
}

Result<Bytes> parse_hex(const std::string& text) {
  Bytes bytes;
  int high = -1;
  for (const char c : text) {
    if (c == ' ' || c == ':' || c == '\n' || c == '\t') continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return fail(std::string("expected hex digits, got '") + c + "'");
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::uint8_t>(high * 16 + digit));
      high = -1;
    }
  }
  if (high >= 0) return fail(std::string("expected an even number of hex digits"));
  return bytes;
}

}  // namespace sealcast::cli
