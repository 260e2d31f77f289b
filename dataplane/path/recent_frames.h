// Remembers for a second what was bypassed and from which side it came. If the same frame arrives on the other side,
// there is a second way around this gateway. One worker's; bounded.
#pragma once

#include <array>
#include <cstdint>

namespace sealcast::dataplane {

enum class Side : std::uint8_t { red, black };  // where a frame came in
constexpr Side other(Side side) {
  return side == Side::red ? Side::black : Side::red;
}

class RecentFrames {
 public:
  // seed: random and secret, so that no frames can be chosen that displace or block a given other one.
  RecentFrames(std::uint64_t ticks_per_second, std::uint64_t seed) : window_(ticks_per_second), seed_(seed) {}

  // Of a frame's bytes; trailing zeros (padding) do not count.
  std::uint64_t hash(const std::uint8_t* data, std::uint32_t bytes) const noexcept;

  // A frame that may pass from this side arrived. True: the same frame passed from the other side within the last
  // second, or is known to loop. From then on it is known to loop for a second, on both sides, so that no copy can go
  // round, whichever came first.
  bool loops(std::uint64_t hash, Side from, std::uint64_t now) noexcept;
  // It passed.
  void remember(std::uint64_t hash, Side from, std::uint64_t now) noexcept;

  // Whether that frame was bypassed from `from` within the last second.
  bool came_from(std::uint64_t hash, Side from, std::uint64_t now) const noexcept;

 private:
  static constexpr std::size_t ways = 4;
  static constexpr std::size_t sets = 1024;  // 4096 frames, 64 KiB
  static constexpr std::uint64_t unused = 0, from_red = 1, from_black = 2, looped = 3;
  struct Entry {
    std::uint64_t at = 0;  // ticks of the last time it passed, or was found to loop
    std::uint64_t tag : 62 = 0;
    std::uint64_t state : 2 = unused;
  };

  static std::uint64_t passed(Side from) { return from == Side::red ? from_red : from_black; }
  Entry* find(std::uint64_t hash, std::uint64_t now) noexcept;
  bool live(const Entry& entry, std::uint64_t now) const noexcept {
    return entry.state != unused && now - entry.at < window_;
  }

  const std::uint64_t window_;
  const std::uint64_t seed_;
  std::array<std::array<Entry, ways>, sets> sets_{};
};

}  // namespace sealcast::dataplane
