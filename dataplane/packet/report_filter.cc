#include "dataplane/packet/report_filter.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/membership_types.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"

namespace sealcast::dataplane {
GroupRanges::GroupRanges(const std::vector<Prefix>& prefixes) {
  std::vector<Range> all;
  for (const Prefix& prefix : prefixes) {
    Range range{prefix.address, prefix.address};
    for (unsigned bit = prefix.length; bit < prefix.address.size() * 8; ++bit)
      range.last.bytes[bit / 8] = static_cast<std::uint8_t>(range.last.bytes[bit / 8] | (0x80U >> (bit % 8)));
    all.push_back(range);
  }
  std::sort(all.begin(), all.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  for (const Range& range : all) {
    // Prefixes hold one another or are disjoint, so the longer ones of a nest can go.
    if (!ranges_.empty() && ranges_.back().first.family == range.first.family && range.first <= ranges_.back().last) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
      continue;
    }
    ranges_.push_back(range);
  }
}

bool GroupRanges::contains(const IpAddress& group) const noexcept {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), group,
                                      [](const IpAddress& value, const Range& range) { return value < range.first; });
  if (after == ranges_.begin()) return false;
  const Range& candidate = *std::prev(after);
  return candidate.first.family == group.family && group <= candidate.last;
}

Filtered filter_report(std::uint8_t* frame, std::uint32_t& frame_bytes, ClearPacket& packet,
                       const GroupRanges& stopped) noexcept {
  std::uint8_t* const ip = frame + (packet.data - frame);
  std::uint8_t* const message = ip + packet.header_bytes;
  const std::uint32_t address_bytes = packet.family == 4 ? 4 : 16;
  if (message[igmp::type] != (packet.family == 4 ? igmp_report_v3 : mld_report_v2)) {
    const IpAddress group = address_at(message + (packet.family == 4 ? igmp::group : mld::group), packet.family);
    return stopped.contains(group) ? Filtered::nothing_left : Filtered::untouched;
  }
  const std::uint16_t records = load16(message + membership_report::records);
  std::uint16_t kept = 0;
  std::uint32_t to = membership_report::first_record;
  std::uint32_t from = membership_report::first_record;
  for (std::uint16_t i = 0; i < records; ++i) {
    const std::uint32_t bytes =
        membership_record::group + address_bytes + load16(message + from + membership_record::sources) * address_bytes;
    if (!stopped.contains(address_at(message + from + membership_record::group, packet.family))) {
      if (to != from) std::memmove(message + to, message + from, bytes);
      to += bytes;
      ++kept;
    }
    from += bytes;
  }
  if (kept == records) return Filtered::untouched;
  if (kept == 0) return Filtered::nothing_left;

  std::memset(message + to, 0, from - to);
  store16(message + membership_report::records, kept);
  const std::uint32_t gone = from - to;
  packet.total_bytes -= gone;
  // Padding behind the packet, if there is any, goes as well.
  frame_bytes = static_cast<std::uint32_t>(ip - frame) + packet.total_bytes;
  if (packet.family == 4) {
    store16(ip + ipv4::total_length, static_cast<std::uint16_t>(packet.total_bytes));
    put_checksum(ip + ipv4::checksum, ip, packet.header_bytes, 0);
    put_checksum(message + igmp::checksum, message, to, 0);
  } else {
    store16(ip + ipv6::payload_length, static_cast<std::uint16_t>(packet.total_bytes - ipv6_header_bytes));
    put_checksum(message + mld::checksum, message, to,
                 pseudo_header_sum(packet.source, packet.destination, to, protocol_icmpv6));
  }
  return Filtered::shortened;
}

}  // namespace sealcast::dataplane
