// The bypass rules as one worker applies them: which rule lets a frame pass in clear, whether its rate is used up, and
// whether the same frame went round the gateway. The default is to deny. Packets that a group protects do not come
// here.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/bypass_rule.h"
#include "dataplane/packet/clear_packet.h"
#include "dataplane/path/recent_frames.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// A unit of a rule's rate: a bypassed frame of so many bytes, Ethernet header included, which holds a report on one
// group. A longer frame takes several units, so that the rate also bounds the bytes that cross in clear.
inline constexpr std::uint32_t bypass_unit_bytes = 64;

// Counts in ticks: a unit costs ticks_per_second / rate of them. A second's worth can be saved up.
class TokenBucket {
 public:
  // Takes what one frame of so many bytes costs. False: there is not enough now. A frame of more units than rate costs
  // a whole second.
  bool take(std::uint32_t frame_bytes, std::uint32_t rate, std::uint64_t ticks_per_second, std::uint64_t now) noexcept;

 private:
  std::uint64_t last_ = 0;
  std::uint64_t credit_ = 0;
  bool started_ = false;
};

// What became of the frames of one rule in one direction; written by the worker alone.
struct alignas(cache_line) BypassCounters {
  Counter passed, passed_bytes, rate_limited, looped;
};

class Bypass {
 public:
  // rules: in force, as with_defaults() makes them, validated. seed: random, for RecentFrames.
  Bypass(std::vector<BypassRule> rules, std::uint64_t ticks_per_second, std::uint64_t seed);

  struct Answer {
    DropReason reason = DropReason::none;  // none: it passes
    std::uint8_t rule = none;              // that let it pass, or limited or recognised it
    static constexpr std::uint8_t none = 255;
  };
  // frame: all frame_bytes of it, from the destination's MAC address; packet: what stands in it. why: the reason to
  // drop it for unless a rule lets it pass. Where why is clear_on_black, igmp_not_allowed or mld_not_allowed the frame
  // passes as a report or query of IGMP or MLD or not at all (H10).
  Answer admit(Side from, const ClearPacket& packet, const std::uint8_t* frame, std::uint32_t frame_bytes,
               DropReason why, std::uint64_t now) noexcept;

  // Whether a rule lets it pass, whatever its rate.
  bool allows(Side from, const ClearPacket& packet, const std::uint8_t* frame, DropReason why) const noexcept {
    return find(from, packet, frame, why) != Answer::none;
  }

  const std::vector<BypassRule>& rules() const { return rules_; }
  const BypassCounters& counters(std::size_t rule, Side from) const { return state_[rule * 2 + index(from)].counters; }

 private:
  struct State {
    BypassCounters counters;
    TokenBucket bucket;
  };

  static std::size_t index(Side side) { return side == Side::red ? 0 : 1; }
  // The first rule for this direction that fits; Answer::none: no rule does.
  std::uint8_t find(Side from, const ClearPacket& packet, const std::uint8_t* frame, DropReason why) const noexcept;

  const std::vector<BypassRule> rules_;
  const std::uint64_t ticks_per_second_;
  std::unique_ptr<State[]> state_;  // [rule * 2 + side]
  std::unique_ptr<RecentFrames> recent_;
};

// Whether the packet has the form that the rule's protocol demands, and addresses that the rule allows.
bool fits(const BypassRule& rule, const ClearPacket& packet, const std::uint8_t* frame) noexcept;

}  // namespace sealcast::dataplane
