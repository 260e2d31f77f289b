// Which devices the workers use at this moment. A device that went away is taken from them, mended, and given back,
// while they run: their SAs, windows and counters know nothing of it.
#pragma once

#include <atomic>
#include <cstdint>

namespace sealcast::dataplane {

// In place of a DPDK port number: nothing is received there, and what is to be sent there is counted as tx_full.
inline constexpr std::uint16_t no_port = 0xffff;

struct PortPair {
  std::uint16_t red = no_port, black = no_port;
};

// One word, read by each worker once a round. Whoever changes it then waits for a grace period
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
