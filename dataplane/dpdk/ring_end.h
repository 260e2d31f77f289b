// One end of the crossed rings that join two ports of a process (ring:name).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

struct rte_ring;

namespace sealcast::dataplane {

class RingEnd {
 public:
  // The first caller with a name makes the rings and gets one end, the second the other. A third is refused, and so is
  // one that asks for another number of queues or descriptors.
  static Result<std::unique_ptr<RingEnd>> open(const std::string& name, std::uint16_t queues,
                                               std::uint32_t descriptors);
  // Frees the frames that are left for this end, and the last end frees the rings. Close its port before.
  ~RingEnd();
  RingEnd(const RingEnd&) = delete;
  RingEnd& operator=(const RingEnd&) = delete;

  // One ring a queue.
  std::vector<rte_ring*>& receive();
  std::vector<rte_ring*>& transmit();

 private:
  struct Pair;
  RingEnd(std::string name, std::shared_ptr<Pair> pair, int side);
  std::string name_;
  std::shared_ptr<Pair> pair_;
  int side_;  // 0 or 1: reads pair_->rings[side_], writes the other
};

}  // namespace sealcast::dataplane
