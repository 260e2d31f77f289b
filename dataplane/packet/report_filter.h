// Takes out of IGMP and MLD reports what they say about groups that travel in a fixed tunnel. These groups do not exist
// on black, and their listeners need not be seen there. The gateway itself reports the group of the tunnel.
#pragma once

#include <vector>

#include "dataplane/packet/clear_packet.h"

namespace sealcast::dataplane {

// Multicast prefixes for lookup; immutable once built.
class GroupRanges {
 public:
  GroupRanges() = default;
  explicit GroupRanges(const std::vector<Prefix>& prefixes);
  bool contains(const IpAddress& group) const noexcept;
  bool empty() const { return ranges_.empty(); }

 private:
  struct Range {
    IpAddress first, last;
  };
  std::vector<Range> ranges_;  // ascending, disjoint
};

enum class Filtered : std::uint8_t { untouched, shortened, nothing_left };

// packet: a report in frame that check_igmp_report or check_mld_report found right. Shortened: lengths and checksums
// are right again, and frame_bytes and packet.total_bytes are reduced.
Filtered filter_report(std::uint8_t* frame, std::uint32_t& frame_bytes, ClearPacket& packet,
                       const GroupRanges& stopped) noexcept;

}  // namespace sealcast::dataplane
