#include "dataplane/membership/messages.h"

#include <algorithm>
#include <cstring>

#include "dataplane/membership/listeners.h"
#include "dataplane/packet/igmp.h"
#include "dataplane/packet/membership_types.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane::membership {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// RFC 3376 §4.1.1, §4.1.7: from 128 on a byte is a small floating-point number.
std::uint32_t decode8(std::uint8_t code) {
  return code < 128 ? code : (0x10U | (code & 0x0fU)) << (((code >> 4) & 7U) + 3);
}
// RFC 3810 §5.1.3: likewise a 16-bit word from 32768 on.
std::uint32_t decode16(std::uint16_t code) {
  return code < 32768 ? code : (0x1000U | (code & 0x0fffU)) << (((code >> 12) & 7U) + 3);
}

void read_igmp(const ClearPacket& packet, Query& query) {
  const std::uint8_t* m = packet.payload();
  query.family = 4;
  query.max_response = milliseconds(std::int64_t{m[1]} * 100);
  if (load32(m + 4) != 0) query.group = address_at(m + 4, 4);
  if (packet.payload_bytes() == 8) {
    query.version = m[1] == 0 ? 1 : 2;
    if (m[1] == 0) query.max_response = seconds(10);
    return;
  }
  query.version = 3;
  query.max_response = milliseconds(std::int64_t{decode8(m[1])} * 100);
  query.robustness = m[8] & 7U;
  query.suppressed = (m[8] & 8U) != 0;
  query.interval = seconds(decode8(m[9]));
  for (std::uint32_t i = 0; i < load16(m + 10); ++i)
    query.sources.push_back(address_at(m + 12 + 4 * i, 4));
}

void read_mld(const ClearPacket& packet, Query& query) {
  const std::uint8_t* m = packet.payload();
  query.family = 6;
  const IpAddress group = address_at(m + 8, 6);
  if (group.is_multicast()) query.group = group;
  if (packet.payload_bytes() == 24) {
    query.version = 1;
    query.max_response = milliseconds(load16(m + 4));
    return;
  }
  query.version = 2;
  query.max_response = milliseconds(decode16(load16(m + 4)));
  query.robustness = m[24] & 7U;
  query.suppressed = (m[24] & 8U) != 0;
  query.interval = seconds(decode8(m[25]));
  for (std::uint32_t i = 0; i < load16(m + 26); ++i)
    query.sources.push_back(address_at(m + 28 + 16 * i, 6));
}

void put(Bytes& out, const IpAddress& address) {
  out.insert(out.end(), address.bytes.begin(), address.bytes.begin() + static_cast<std::ptrdiff_t>(address.size()));
}

void put16(Bytes& out, std::size_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8));
  out.push_back(static_cast<std::uint8_t>(value));
}

Bytes link_header(const Sender& sender, const IpAddress& destination) {
  const MacAddress mac = multicast_mac(destination);
  Bytes out(mac.begin(), mac.end());
  out.insert(out.end(), sender.mac.begin(), sender.mac.end());
  for (std::size_t i = 0; i < sender.vlans.size(); ++i) {
    put16(out, sender.vlans.size() == 2 && i == 0 ? 0x88a8 : 0x8100);
    put16(out, sender.vlans[i]);
  }
  return out;
}

// message with two bytes for its checksum at 2.
Bytes packet4(const Sender& sender, const IpAddress& destination, const Bytes& message) {
  constexpr std::size_t header_bytes = 24;
  Bytes out = link_header(sender, destination);
  put16(out, 0x0800);
  const std::size_t ip = out.size();
  // Internetwork control (RFC 3376 §4), DF clear, identification 0: never a fragment; TTL 1, protocol 2, Router Alert.
  const Bytes fixed = {0x46, 0xc0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0};
  out.insert(out.end(), fixed.begin(), fixed.end());
  store16(&out[ip + 2], static_cast<std::uint16_t>(header_bytes + message.size()));
  put(out, sender.source);
  put(out, destination);
  const Bytes alert = {148, 4, 0, 0};
  out.insert(out.end(), alert.begin(), alert.end());
  put_checksum(&out[ip + 10], &out[ip], header_bytes);
  const std::size_t at = out.size();
  out.insert(out.end(), message.begin(), message.end());
  put_checksum(&out[at + 2], &out[at], static_cast<std::uint32_t>(message.size()));
  return out;
}

Bytes packet6(const Sender& sender, const IpAddress& destination, const Bytes& message) {
  Bytes out = link_header(sender, destination);
  put16(out, 0x86dd);
  const Bytes fixed = {0x60, 0, 0, 0};
  out.insert(out.end(), fixed.begin(), fixed.end());
  put16(out, 8 + message.size());
  out.push_back(0);  // next header: hop-by-hop options
  out.push_back(1);
  put(out, sender.source);
  put(out, destination);
  const Bytes options = {protocol_icmpv6, 0, 5, 2, 0, 0, 1, 0};  // Router Alert: MLD; PadN
  out.insert(out.end(), options.begin(), options.end());
  const std::size_t at = out.size();
  out.insert(out.end(), message.begin(), message.end());
  const auto bytes = static_cast<std::uint32_t>(message.size());
  put_checksum(&out[at + 2], &out[at], bytes, pseudo_header_sum(sender.source, destination, bytes, protocol_icmpv6));
  return out;
}

Bytes packet(const Sender& sender, const IpAddress& destination, const Bytes& message) {
  return destination.family == 4 ? packet4(sender, destination, message) : packet6(sender, destination, message);
}

IpAddress local_group(std::uint8_t family, std::uint8_t last) {
  IpAddress out;
  out.family = family;
  if (family == 4) {
    out.bytes[0] = 224;
    out.bytes[3] = last;
  } else {
    out.bytes[0] = 0xff;
    out.bytes[1] = 0x02;
    out.bytes[15] = last;
  }
  return out;
}

// IGMPv1/v2: type, 0, checksum, group; MLDv1: type, 0, checksum, 0, 0, group.
Bytes old_message(std::uint8_t type, const IpAddress& group) {
  Bytes message = {type, 0, 0, 0};
  if (group.family == 6) message.resize(8);
  put(message, group);
  return message;
}

// The IP packet of a frame with at most two VLAN tags.
bool read_packet(std::span<const std::uint8_t> frame, ClearPacket& packet) {
  std::uint32_t offset = 0;
  std::uint16_t type = 0;
  if (!parse_link(frame.data(), static_cast<std::uint32_t>(frame.size()), type, offset)) return false;
  const auto bytes = static_cast<std::uint32_t>(std::min<std::size_t>(frame.size() - offset, 65535));
  return read_clear(frame.data() + offset, bytes, type, packet) == DropReason::none;
}

}  // namespace

std::optional<Query> read_query(std::span<const std::uint8_t> frame) {
  ClearPacket packet;
  if (!read_packet(frame, packet)) return std::nullopt;
  Query query;
  if (packet.family == 4 && packet.protocol == protocol_igmp && check_igmp_query(packet) == DropReason::none) {
    read_igmp(packet, query);
    return query;
  }
  if (packet.family == 6 && packet.protocol == protocol_icmpv6 && check_mld_query(packet) == DropReason::none) {
    read_mld(packet, query);
    return query;
  }
  return std::nullopt;
}

std::vector<Wanted> read_report(std::span<const std::uint8_t> frame) {
  std::vector<Wanted> out;
  ClearPacket packet;
  if (!read_packet(frame, packet)) return out;
  const bool igmp = packet.family == 4 && packet.protocol == protocol_igmp;
  const bool mld = packet.family == 6 && packet.protocol == protocol_icmpv6;
  if (!(igmp && check_igmp_report(packet) == DropReason::none) &&
      !(mld && check_mld_report(packet) == DropReason::none))
    return out;
  const std::uint8_t* m = packet.payload();
  if (m[0] == igmp_leave_v2 || m[0] == mld_done_v1) return out;
  if (m[0] != igmp_report_v3 && m[0] != mld_report_v2) {
    out.push_back({address_at(m + (igmp ? 4 : 8), packet.family), {}});
    return out;
  }
  // The check has ensured that the records fill the message.
  const std::size_t address_bytes = igmp ? 4 : 16;
  std::size_t at = 8;
  for (unsigned i = 0; i < load16(m + 6); ++i) {
    const auto type = static_cast<RecordType>(m[at]);
    const std::size_t sources = load16(m + at + 2);
    const bool any = type == RecordType::mode_is_exclude || type == RecordType::change_to_exclude;
    if (any || (sources != 0 && type != RecordType::block_old_sources)) {
      Wanted& wanted = out.emplace_back(Wanted{address_at(m + at + 4, packet.family), {}});
      for (std::size_t source = 1; !any && source <= sources; ++source)
        wanted.sources.push_back(address_at(m + at + 4 + address_bytes * source, packet.family));
    }
    at += 4 + address_bytes * (1 + sources);
  }
  return out;
}

std::size_t record_bytes(const Record& record) {
  return 4 + record.group.size() * (1 + record.sources.size());
}

std::size_t report_overhead(std::uint8_t family) {
  return family == 4 ? 24 + 8 : 48 + 8;
}

Bytes report(const Sender& sender, std::span<const Record> records) {
  const std::uint8_t family = sender.source.family;
  Bytes message = {family == 4 ? igmp_report_v3 : mld_report_v2, 0, 0, 0, 0, 0};
  put16(message, records.size());
  for (const Record& record : records) {
    message.push_back(static_cast<std::uint8_t>(record.type));
    message.push_back(0);  // no auxiliary data
    put16(message, record.sources.size());
    put(message, record.group);
    for (const IpAddress& source : record.sources)
      put(message, source);
  }
  return packet(sender, local_group(family, family == 4 ? 22 : 0x16), message);
}

Bytes old_report(const Sender& sender, const IpAddress& group, std::uint8_t version) {
  const std::uint8_t type = group.family == 6 ? mld_report_v1 : version == 1 ? igmp_report_v1 : igmp_report_v2;
  return packet(sender, group, old_message(type, group));
}

Bytes old_leave(const Sender& sender, const IpAddress& group) {
  const std::uint8_t type = group.family == 6 ? mld_done_v1 : igmp_leave_v2;
  return packet(sender, local_group(group.family, 2), old_message(type, group));
}

IpAddress link_local_address(const MacAddress& mac) {
  IpAddress out;
  out.family = 6;
  out.bytes = {0xfe,   0x80,   0,    0,    0,      0,      0,     0, static_cast<std::uint8_t>(mac[0] ^ 2),
               mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
  return out;
}

}  // namespace sealcast::dataplane::membership
