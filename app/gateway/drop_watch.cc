#include "app/gateway/drop_watch.h"

namespace sealcast::gateway {
namespace {

// "af_packet:veth0?queues=2" -> "veth0"; other kinds have no kernel interface.
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
  watched_["too_big"].remedy =
      "sealed they would exceed the black MTU of " + std::to_string(black_mtu) +
      " bytes and may not be cut (Linux sets \"don't fragment\" on what fits its own MTU: sysctl "
      "net.ipv4.ip_no_pmtu_disc=1 on the senders lets it be cut); raise [black] mtu and the "
      "link's own, or lower the senders' MTU";
  const std::string loop = "; look for a second gateway or a cable between the same two networks";
  watched_["own_spi"].remedy = "what this gateway sealed came back to it on black" + loop;
  watched_["local_red_source"].remedy = "packets of [red] local_sources came out of ESP" + loop;
  watched_["local_source"].remedy =
      "packets came out of ESP whose sources are heard on red: they went round a loop, or two hosts have one address, "
      "or "
      "a source moved" +
      loop;
  watched_["source_moved"].remedy =
      "heard on one side within 2 seconds of the other: they moved, or two hosts have one address "
      "([red] local_sources says which address is at home here)";
}

std::vector<std::string> DropWatch::look(const DataPlaneStatistics& statistics) {
  std::vector<std::string> lines;
  if (auto line = look_at_loops(statistics.bypass); !line.empty()) lines.push_back(std::move(line));
  for (const DropCount& drop : statistics.drops) {
    const auto found = watched_.find(drop.reason);
    if (found == watched_.end()) continue;
    Watched& watched = found->second;
    const bool moved = drop.reason == "source_moved";
    if (drop.packets == watched.seen) {
      if (watched.quiet < quiet_looks) ++watched.quiet;
      continue;
    }
    if (watched.quiet >= quiet_looks)
      lines.push_back(drop.reason + ": " + std::to_string(drop.packets - watched.seen) +
                      (moved ? " sources" : " packets") + ": " + watched.remedy +
                      (moved ? "; the last one is " + statistics.red_segment.last_moved : ""));
    watched.seen = drop.packets;
    watched.quiet = 0;
  }
  return lines;
}

std::string DropWatch::look_at_loops(const std::vector<BypassStatistics>& rules) {
  if (looks_since_loop_ < quiet_looks) ++looks_since_loop_;
  std::uint64_t now = 0;
  std::string which;
  for (const BypassStatistics& rule : rules) {
    now += rule.looped;
    if (rule.looped == 0) continue;
    which += (which.empty() ? "" : ", ") + rule.rule + " " + rule.direction;
    if (!rule.last_loop.empty()) which += " (last from " + rule.last_loop + ")";
  }
  if (now == loops_logged_ || looks_since_loop_ < quiet_looks) return {};
  const std::string frames = std::to_string(now - loops_logged_);
  loops_logged_ = now;
  looks_since_loop_ = 0;
  return "bypass_loop: " + frames +
         " frames that pass in clear were seen on both sides: there is a second way around this gateway (another "
         "gateway beside it, or a cable); rules: " +
         which;
}

}  // namespace sealcast::gateway
