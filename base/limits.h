// Bounds and defaults of the configuration values that more than one layer checks or starts with. All other bounds are
// in the configuration's reader, controlplane/config/.
#pragma once

#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sealcast {

template <typename T>
struct Limits {
  T least, most;
  T standard;  // default

  constexpr bool allow(T value) const { return least <= value && value <= most; }
  std::string range() const { return std::to_string(least) + " to " + std::to_string(most); }  // of numbers
};

inline constexpr Limits<std::uint32_t> worker_limits{1, 16, 1};
inline constexpr Limits<std::uint32_t> mtu_limits{576, 9000, 1500};                // of either port, bytes of IP packet
inline constexpr Limits<std::uint32_t> memory_limits{64, 65536, 256};              // hugepages, MiB
inline constexpr Limits<std::uint32_t> idle_nap_limits{0, 1000, 50};               // microseconds
inline constexpr Limits<std::uint32_t> replay_window_limits{1024, 1 << 20, 4096};  // of replay_window, packets
constexpr bool valid_replay_window(std::uint32_t packets) {
  return replay_window_limits.allow(packets) && std::has_single_bit(packets);
}

inline constexpr Limits<std::chrono::milliseconds> freshness_limits{
    std::chrono::milliseconds(100), std::chrono::minutes(10), std::chrono::seconds(5)};  // of freshness
// How far a packet's time may be ahead of the receiver's clock, beyond the clocks' errors.
inline constexpr std::chrono::milliseconds longest_ahead{500};

inline constexpr Limits<std::chrono::milliseconds> epoch_lifetime_limits{
    std::chrono::seconds(1), std::chrono::hours(720), std::chrono::hours(24)};  // of an epoch; a time has 32 bits
inline constexpr Limits<std::chrono::milliseconds> activation_delay_limits{
    std::chrono::seconds(0), std::chrono::minutes(10), std::chrono::seconds(2)};
inline constexpr Limits<std::chrono::milliseconds> deactivation_delay_limits{
    std::chrono::seconds(0), std::chrono::hours(1), std::chrono::seconds(10)};
inline constexpr Limits<std::chrono::seconds> authority_lease_limits{std::chrono::seconds(1), std::chrono::hours(24),
                                                                     std::chrono::seconds(60)};
inline constexpr Limits<std::chrono::seconds> lease_ttl_limits{
    std::chrono::seconds(2), std::chrono::seconds(60), std::chrono::seconds(5)};  // of a key server's place in etcd

inline constexpr Limits<std::uint32_t> audit_event_limits{0, 100'000'000, 200'000};

inline constexpr std::uint8_t standard_multicast_flag = 30;
inline constexpr std::uint8_t max_dscp = 63;
inline constexpr std::uint32_t first_usable_spi = 256;  // RFC 4303 §2.1 reserves 0 to 255
inline constexpr std::size_t max_selectors = 64;        // of a group
inline constexpr std::size_t max_name_bytes = 64;       // of a key server, group, member, user or bypass rule
inline constexpr std::size_t max_password_bytes = 128;
// Of a gateway's beacon on red (docs/dataplane.md, "The beacon on red").
inline constexpr std::uint16_t beacon_ether_type = 0x88b5;  // IEEE 802: for local experiments
inline constexpr std::size_t max_beacon_vlans = 8, max_ignored_neighbours = 16;
// Of a selector with groups that the gateway itself joins: bits of a group that may vary, and the groups they make.
inline constexpr unsigned max_joined_bits = 8;
inline constexpr std::size_t max_joined_per_selector = 1U << max_joined_bits;

}  // namespace sealcast
