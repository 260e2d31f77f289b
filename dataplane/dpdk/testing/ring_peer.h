// The other end of a gateway's ring: port, for tests: frames in, frames out, by queue.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace sealcast::dataplane::testing {

class RingPeer {
 public:
  // device: the gateway's port string, e.g. "ring:name?queues=2". The gateway must exist: it started DPDK. Aborts the
  // test program if the port cannot be opened.
  explicit RingPeer(const std::string& device);
  ~RingPeer();
  RingPeer(const RingPeer&) = delete;
  RingPeer& operator=(const RingPeer&) = delete;

  // Returns how many the ring took, from the first on. One thread a queue at a time.
  std::size_t send(const std::vector<Bytes>& frames, std::uint16_t queue = 0);
  // Frames that wait in queue, at most 64.
  std::vector<Bytes> receive(std::uint16_t queue = 0);
  // Closes the port; our frames in its rings come back when the last end closes.
  void close();
  std::uint32_t buffers_in_use() const;
  // Packet pools of ports that could not be freed, because a buffer of theirs is still in use.
  static std::size_t pools_kept();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace sealcast::dataplane::testing
