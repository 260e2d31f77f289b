// The settings of the packet path.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/bypass_rule.h"

namespace sealcast::dataplane {

class HostFilter;

// Fixed at start-up; the same for all workers.
struct PathSettings {
  std::uint32_t black_mtu = 1500;                           // largest IP packet on black, bytes
  std::uint32_t red_mtu = 65535;                            // ... on red
  std::uint64_t tsc_hz = 0;                                 // ticks per second of now_tsc
  std::vector<BypassRule> bypass = default_bypass_rules();  // in force, validated; what passes in clear
  std::uint64_t bypass_seed = 0;                            // random (RecentFrames, Sources)
  std::uint64_t soft_block_limit = std::uint64_t{1} << 42;  // AES blocks under one SPI: ask for a rekey
  std::uint64_t hard_block_limit = std::uint64_t{1} << 44;  // ... stop
  std::array<std::uint8_t, 16> red_address6{};              // source of Packet Too Big on red; zeros: none is sent
  bool reassemble = false;                                  // fragments of ESP packets: put together, not dropped
  std::vector<Prefix> local_red_sources = {};               // an opened packet from one of these is a loop
  // Source of the frames that are opened and leave on red, which by it no gateway seals again (red_mark.h). Zeros: they
  // keep their sender's.
  std::array<std::uint8_t, 6> red_mac{};
  bool learn_sources = false;        // ... and one from a source that is heard on red
  const HostFilter* host = nullptr;  // of the gateway's own interface on black, if it has one
};

}  // namespace sealcast::dataplane
