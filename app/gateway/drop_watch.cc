#include "app/gateway/drop_watch.h"

namespace sealcast::gateway {
namespace {

// "af_packet:veth0?queues=2" -> "veth0"; other kinds have no interface of the kernel's.
std::string interface_of(const std::string& device) {
  constexpr std::string_view kind = "af_packet:";
  if (device.compare(0, kind.size(), kind) != 0) return {};
  return device.substr(kind.size(), device.find('?') - kind.size());
}

}  // namespace

DropWatch::DropWatch(const std::string& red_device, std::uint32_t black_mtu) {
  const std::string interface = interface_of(red_device);
  watched_["partial_checksum"].remedy =
      "UDP checksums that the sending host left to its network card, which receivers will refuse; on the sender's end" +
      (interface.empty() ? std::string(" of the red link") : " of the link to " + interface) +
      ": ethtool -K INTERFACE tx off";
  watched_["too_big"].remedy = "sealed they would exceed the black MTU of " + std::to_string(black_mtu) +
                               " bytes; raise [black] mtu and the link's own, or lower the senders' MTU";
}

std::vector<std::string> DropWatch::look(const DataPlaneStatistics& statistics) {
  std::vector<std::string> lines;
  for (const DropCount& drop : statistics.drops) {
    const auto found = watched_.find(drop.reason);
    if (found == watched_.end()) continue;
    Watched& watched = found->second;
    if (drop.packets == watched.seen) {
      if (watched.quiet < quiet_looks) ++watched.quiet;
      continue;
    }
    if (watched.quiet >= quiet_looks)
      lines.push_back(drop.reason + ": " + std::to_string(drop.packets - watched.seen) + " packets: " + watched.remedy);
    watched.seen = drop.packets;
    watched.quiet = 0;
  }
  return lines;
}

}  // namespace sealcast::gateway
