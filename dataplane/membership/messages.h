// IGMP and MLD as a host reads and writes them (RFC 1112, 2236, 3376; RFC 2710, 3810): whole Ethernet frames.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "dataplane/packet/multicast_macs.h"

namespace sealcast::dataplane::membership {

// A query that passed check_igmp_query or check_mld_query. Version: IGMP 1 to 3; MLD 1 or 2.
struct Query {
  std::uint8_t family = 4;
  std::uint8_t version = 3;
  std::optional<IpAddress> group;            // none: general
  std::vector<IpAddress> sources;            // group-and-source-specific
  std::chrono::milliseconds max_response{};  // IGMPv1: 10 s
  std::uint8_t robustness = 0;               // QRV; 0: not given
  std::chrono::seconds interval{};           // QQI; 0: not given
  bool suppressed = false;                   // S: routers that are not the querier leave their timers alone
};

// From a frame with at most two VLAN tags. nullopt: no query, or not a valid one.
std::optional<Query> read_query(std::span<const std::uint8_t> frame);

// Record types of IGMPv3 and MLDv2 reports (RFC 3376 §4.2.12).
enum class RecordType : std::uint8_t {
  mode_is_include = 1,
  mode_is_exclude = 2,
  change_to_include = 3,
  change_to_exclude = 4,
  allow_new_sources = 5,
  block_old_sources = 6,
};
struct Record {
  RecordType type = RecordType::mode_is_include;
  IpAddress group;
  std::vector<IpAddress> sources;
};
std::size_t record_bytes(const Record& record);

// The sender of a report. IPv4: source may be 0.0.0.0; IPv6: link-local, or :: (RFC 3810 §5.2.13). vlans: outermost
// first, at most two.
struct Sender {
  MacAddress mac{};
  IpAddress source;
  std::vector<std::uint16_t> vlans;
};

// One IGMPv3 or MLDv2 report, TTL 1, Router Alert; the caller keeps it within the MTU (report_overhead).
Bytes report(const Sender& sender, std::span<const Record> records);
// Bytes of an IP packet before the first record: 24 + 8, or 48 + 8.
std::size_t report_overhead(std::uint8_t family);

// IGMPv1 (type 0x12) or v2 (0x16), or MLDv1 report (131) of one group, sent to the group; and leave or done, sent to
// all routers.
Bytes old_report(const Sender& sender, const IpAddress& group, std::uint8_t version);
Bytes old_leave(const Sender& sender, const IpAddress& group);

// RFC 4291 appendix A: fe80:: with the modified EUI-64 of the MAC address.
IpAddress link_local_address(const MacAddress& mac);

}  // namespace sealcast::dataplane::membership
