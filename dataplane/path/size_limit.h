// The largest sealed packet that may leave, and what becomes of a packet that is too big.
#pragma once

#include <cstdint>

#include "dataplane/packet/frame.h"
#include "dataplane/path/path_settings.h"
#include "dataplane/path/tally.h"
#include "dataplane/sa/sa.h"

namespace sealcast::dataplane {

struct Packet;

// One worker's.
class SizeLimit {
 public:
  // settings and tally outlive it.
  SizeLimit(const PathSettings& settings, Tally& tally)
      : settings_(settings), tally_(tally), most_bytes_(settings.black_mtu) {}

  void begin_burst() noexcept { most_bytes_ = settings_.black_mtu; }
  // The largest sealed IP packet that may leave now, in bytes: the black MTU. Behind a packet of the burst that is to
  // be cut it is 0, so that no later packet of its sender takes a number before its fragments do.
  std::uint32_t most_bytes() const noexcept { return most_bytes_; }

  // A packet from red whose sealed form under rules would exceed most_bytes(). Returns none: the frame has its verdict;
  // it is to be cut, or it is now the answer to its sender.
  DropReason exceeded(Frame& frame, const Packet& packet, const EpochRules& rules, std::uint64_t now_tsc) noexcept;

 private:
  DropReason answer(Frame& frame, const Packet& packet, std::uint32_t limit, std::uint64_t now_tsc) noexcept;

  const PathSettings& settings_;
  Tally& tally_;
  std::uint32_t most_bytes_;
  std::uint64_t next_answer_tsc_ = 0;  // when the next Packet Too Big is due at an even pace
};

}  // namespace sealcast::dataplane
