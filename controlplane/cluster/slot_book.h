// The slots this key server may hand out: blocks of epochs that are its own for ever, because a transaction wrote its
// incarnation under (group, epoch, block) where nothing was (H9). What is left of them when it ends is burnt.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sealcast::cluster {

inline constexpr std::uint32_t most_block_slots = 16;

// A 64th of an epoch's slots, 16 at most: every key server takes a block of every epoch, and receivers derive a key for
// every slot of it.
inline std::uint32_t block_slots(std::uint8_t slot_bits) {
  return std::clamp<std::uint32_t>((1U << slot_bits) / 64, 1, most_block_slots);
}
// Slots an epoch can hand out (slot 65535 of a full range is left unused, as without a cluster).
inline std::uint32_t epoch_slots(std::uint8_t slot_bits) {
  return std::min<std::uint32_t>(1U << slot_bits, 65535);
}

class SlotBook {
 public:
  using Epoch = std::pair<std::string, std::uint64_t>;

  struct Taken {
    std::uint16_t first = 0;
    std::uint16_t used_to = 0;  // one above the highest slot known to be claimed
  };

  // Slots [first, end) are ours from now on.
  void add(const Epoch& epoch, std::uint32_t first, std::uint32_t end);
  // Others have claimed up to here.
  void claimed_to(const Epoch& epoch, std::uint32_t end);
  // count adjacent slots, never the same again; none: there are not so many in a row. count 0: only used_to.
  std::optional<Taken> take(const Epoch& epoch, std::uint32_t count);
  std::uint32_t left(const Epoch& epoch) const;
  std::uint32_t used_to(const Epoch& epoch) const;
  void forget(const Epoch& epoch) { pages_.erase(epoch); }
  void clear() { pages_.clear(); }

 private:
  struct Run {
    std::uint32_t next = 0;
    std::uint32_t end = 0;
  };
  struct Page {
    std::vector<Run> runs;
    std::uint32_t used_to = 0;
  };
  std::map<Epoch, Page> pages_;
};

}  // namespace sealcast::cluster
