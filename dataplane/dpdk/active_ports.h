// The devices that the workers use at this moment. While they run, a failed device is taken from them, mended, and
// given back; their SAs, windows and counters are not affected.
#pragma once

#include <atomic>
#include <cstdint>

namespace sealcast::dataplane {

// Replaces a DPDK port number: nothing is received there, and frames to be sent there are counted as tx_full.
inline constexpr std::uint16_t no_port = 0xffff;

struct PortPair {
  std::uint16_t red = no_port, black = no_port;
};

// One word, read by each worker once a round. A thread that changes it must then wait for a grace period
// (RcuPublisher::synchronize): afterwards no worker touches a device that was taken away.
class ActivePorts {
 public:
  PortPair get() const {
    const std::uint32_t both = both_.load(std::memory_order_acquire);
    return {static_cast<std::uint16_t>(both), static_cast<std::uint16_t>(both >> 16)};
  }
  void set(PortPair ports) {
    both_.store(std::uint32_t{ports.red} | std::uint32_t{ports.black} << 16, std::memory_order_release);
  }

 private:
  std::atomic<std::uint32_t> both_{0xffffffff};
};

}  // namespace sealcast::dataplane
