// Headers of dropped packets for an operator. A worker samples only as many drops as the control thread grants it. So
// there are none without a reader, the reader sets the rate, and they end when the reader goes away.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/packet/drop_reason.h"
#include "dataplane/packet/frame.h"
#include "dataplane/path/recent_frames.h"
#include "dataplane/sa/event_ring.h"

namespace sealcast::dataplane {

// Ethernet with two tags, the longest IPv4 header or IPv6's fixed one, ESP's header with its IV.
inline constexpr std::size_t sample_bytes = 22 + 60 + 16;

struct DropSample {
  Side side = Side::red;
  DropReason reason = DropReason::none;
  std::uint8_t kept = 0;     // bytes of header: Ethernet, IP, and the first 8 after it (ESP: 16); no payload
  std::uint32_t length = 0;  // of the whole frame, bytes
  std::array<std::uint8_t, sample_bytes> header{};
};

// One worker's.
class DropSampler {
 public:
  static constexpr std::size_t capacity = 64;

  // Worker, for every drop.
  void drop(Side side, DropReason reason, const Frame& frame) noexcept {
    if (used_.get() >= granted_.load(std::memory_order_relaxed)) [[likely]]
      return;
    take(side, reason, frame);
  }

  // Control thread. Grants so many further samples. Earlier grants that were not used are void.
  void grant(std::uint32_t samples) noexcept;
  bool pop(DropSample& sample) noexcept { return ring_.pop(sample); }
  std::uint64_t lost() const noexcept { return ring_.lost(); }

 private:
  void take(Side side, DropReason reason, const Frame& frame) noexcept;

  Counter used_;  // the worker's; granted_ is the control thread's
  std::atomic<std::uint64_t> granted_{0};
  EventRing<DropSample, capacity> ring_;
};

}  // namespace sealcast::dataplane
