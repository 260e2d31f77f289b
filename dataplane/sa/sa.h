// One security association as its worker uses it. The control thread makes and ends it. In between, exactly one worker
// writes all that changes, except the deadline, which the control thread moves.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "base/dataplane_control.h"
#include "dataplane/aead/engine.h"
#include "dataplane/policy/policy.h"
#include "dataplane/sa/counter.h"
#include "dataplane/sa/counters.h"
#include "dataplane/sa/number_time.h"
#include "dataplane/sa/replay_window.h"

namespace sealcast::dataplane {

// OuterTunnel in the path's form.
struct OuterHeader {
  std::uint8_t family = 0;         // 4 or 6
  std::uint8_t ttl = 0;            // 0: the inner packet's
  std::uint8_t dscp = inner_dscp;  // 0..63
  static constexpr std::uint8_t inner_dscp = 0xff;
  Address4 source = 0, destination = 0;
  Address6 source6{}, destination6{};
};

// Shared by all SAs of an epoch; constant after install.
struct EpochRules {
  std::vector<Rule> rules;    // the epoch's selectors, IPv4
  std::vector<Rule6> rules6;  // ... IPv6
  EspMode mode = EspMode::tunnel_preserve;
  OuterHeader outer;              // with tunnel_fixed
  bool same_as_policy = false;    // they equal the group's protected selectors: the policy match suffices
  bool foreign = false;           // Numbers::foreign
  std::uint64_t expires_tsc = 0;  // nothing is sealed or opened from then on

  template <typename Address>
  const std::vector<RuleOf<Address>>& of() const noexcept {
    if constexpr (std::is_same_v<Address, Address4>) {
      return rules;
    } else {
      return rules6;
    }
  }
  // Family of the outer header for an inner packet's family.
  std::uint8_t outer_family(std::uint8_t inner_family) const noexcept {
    return mode == EspMode::tunnel_fixed ? outer.family : inner_family;
  }
};

// Outbound: one slot of our own, one worker. A packet needs one line of it; with thousands of groups each line is
// another cache miss.
struct alignas(cache_line) SealingSa {
  aead::Key key;
  std::uint32_t spi = 0;
  std::array<std::uint8_t, 4> salt{};
  // min(epoch's end, lease): the worker compares it with the burst's time, so that a hung control thread cannot keep an
  // expired key alive.
  std::atomic<std::uint64_t> seal_until_tsc{0};
  Counter blocks;                         // AES blocks under this key
  Counter next_number;                    // the next packet's IV, from 1 (H9), but for its time
  Counter bytes;                          // sealed, of inner IP packets
  bool limit_reported = false;            // worker only
  bool keeps_addresses = false;           // of epoch: tunnel_preserve
  bool same_as_policy = false;            // of epoch
  std::atomic<bool> timed{false};         // zero_ms is set
  std::atomic<std::uint32_t> zero_ms{0};  // the worker's clock (TickScale) when the epoch's time was 0
  // Read for unusual packets only.
  alignas(cache_line) const EpochRules* epoch = nullptr;
  Counter wraps;  // how often the sequence came round to 0
  DropSlot drops;
  std::uint32_t worker = 0;  // the only worker that may touch it

  // Sealed, or failed in the engine (DropReason::engine_failed).
  std::uint64_t packets() const noexcept {
    return (wraps.get() << 32) + static_cast<std::uint32_t>(next_number.get()) - 1;
  }
  // The next packet's number: the sequence follows the last one's, and the time never falls.
  std::uint64_t next(std::uint32_t now_ms) const noexcept {
    const std::uint64_t number = next_number.get();
    return timed.load(std::memory_order_relaxed) ? not_before(now_ms - zero_ms.load(std::memory_order_relaxed), number)
                                                 : number;
  }
  // All numbers before this one were used or skipped; fewer than 2^32 of them since the last call.
  void use_up_to(std::uint64_t number) noexcept {
    const std::uint64_t before = next_number.get();
    next_number.set(number);
    if (static_cast<std::uint32_t>(number) < static_cast<std::uint32_t>(before)) [[unlikely]]
      wraps.add(1);
  }

  // Call it before a worker sees the SA; rules outlives it.
  void set_rules(const EpochRules& rules) noexcept {
    epoch = &rules;
    keeps_addresses = rules.mode == EspMode::tunnel_preserve;
    same_as_policy = rules.same_as_policy;
  }
};

// Inbound: one slot of another sender. Two lines for a packet that comes in order.
struct alignas(cache_line) OpeningSa {
  OpeningSa(std::uint32_t window, std::uint64_t floor) : replay(window, floor) {}

  aead::Key key;
  std::uint32_t spi = 0;
  std::array<std::uint8_t, 4> salt{};
  std::uint16_t worker = 0;      // the only worker that may touch it
  bool keeps_addresses = false;  // of epoch: tunnel_preserve
  bool foreign = false;          // of epoch
  // Worker only: the latest flow that passed the rules, which need not be checked again. Addresses as in the header;
  // the inner port, and when that flow passed as well, by SourceGuard::generation(); 0: not yet.
  std::uint16_t flow_port = 0;
  std::uint32_t flow_generation = 0;
  std::uint64_t flow_addresses = 0;
  std::uint64_t expires_tsc = 0;  // of epoch
  const EpochRules* epoch = nullptr;
  FreshTimes fresh;
  alignas(cache_line) Counter packets, bytes;  // opened and accepted; bytes of inner IP packets
  ReplayWindow replay;
  Counter refused;                                // numbers taken, but the opened packets were not accepted
  std::atomic<bool> timed{false};                 // zero_ms is set
  std::atomic<std::uint32_t> zero_ms{0};          // as in SealingSa
  std::atomic<std::int32_t> last_distance_ms{0};  // of the last time that was not fresh (FreshTimes::distance)
  DropSlot drops;

  // Call it before a worker sees the SA; rules outlives it.
  void set_rules(const EpochRules& rules) noexcept {
    epoch = &rules;
    expires_tsc = rules.expires_tsc;
    keeps_addresses = rules.mode == EspMode::tunnel_preserve;
    foreign = rules.foreign;
  }
  // The number by which a packet is ordered, from its IV and its sequence.
  std::uint64_t number_of(std::uint64_t iv, std::uint32_t sequence) const noexcept { return foreign ? sequence : iv; }
};

// The worker an inbound SPI belongs to.
constexpr std::uint32_t worker_of_spi(std::uint32_t spi, std::uint32_t workers) {
  return static_cast<std::uint32_t>((std::uint64_t{spi * 2654435769U} * workers) >> 32);
}

}  // namespace sealcast::dataplane
