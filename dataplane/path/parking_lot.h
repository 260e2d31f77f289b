// Frames that wait for the key of their slot, of one worker. Their number is bounded, by slot and in all. Nothing is
// allocated after construction, and the work per frame is constant.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "dataplane/packet/frame.h"
#include "dataplane/sa/counter.h"

namespace sealcast::dataplane {

// Room for a newcomer's first burst, while its key is derived. More room would only hold more forged frames.
inline constexpr std::uint32_t parked_per_slot = 64;
inline constexpr std::uint32_t parked_frames = 1024;  // of all slots of one worker

class alignas(cache_line) ParkingLot {
 public:
  // What park() did with the frame it was given.
  enum class Place : std::uint8_t {
    kept,      // the frame waits here now
    swapped,   // it waits here; the parameter now holds another frame that had to make room for it
    no_place,  // left to the caller: its slot has parked_per_slot already, or its fair share of a full lot
  };

  ParkingLot();

  // Places are shared fairly. When the lot is full, the slot with the most frames gives up its youngest one for a slot
  // that has fewer. So a flood of many slots leaves room for every newcomer (DATA-2). Frames of a slot keep their
  // order.
  Place park(std::uint32_t spi, Frame& frame, std::uint64_t now_tsc) noexcept;

  std::uint32_t size() const noexcept { return size_; }
  std::uint32_t slots() const noexcept { return slots_in_use_; }
  std::uint32_t of_slot(std::uint32_t spi) const noexcept;

  // Takes the oldest frame of a slot for which wanted(spi, arrived_tsc of that frame) is true. False: there is none.
  // The search begins where the last call found one.
  template <typename Wanted>
  bool take(Wanted&& wanted, Frame& frame, std::uint32_t& spi) noexcept {
    for (std::uint32_t seen = 0; seen < slots_in_use_; ++seen) {
      const std::uint16_t i = in_use_[(turn_ + seen) % slots_in_use_];
      if (!wanted(slots_[i].spi, places_[slots_[i].first].arrived_tsc)) continue;
      turn_ = (turn_ + seen) % slots_in_use_;
      spi = slots_[i].spi;
      frame = take(i, slots_[i].first);
      return true;
    }
    return false;
  }
  // Takes any frame. False: there is none.
  bool take_any(Frame& frame) noexcept {
    std::uint32_t spi = 0;
    return take([](std::uint32_t, std::uint64_t) { return true; }, frame, spi);
  }

 private:
  static constexpr std::uint16_t none = 0xffff;
  static constexpr std::uint32_t hash_size = 2 * parked_frames;

  struct Parked {
    Frame frame;
    std::uint64_t arrived_tsc = 0;
    std::uint16_t previous = none, next = none;  // of its slot; next also links free places
  };
  struct Slot {
    std::uint32_t spi = 0;
    std::uint16_t count = 0;
    std::uint16_t first = none, last = none;      // oldest and youngest place
    std::uint16_t shorter = none, longer = none;  // neighbours among the slots of the same count
    std::uint16_t use = none;                     // where in in_use_
    std::uint16_t next = none;                    // of the same hash; also links free slots
  };
  struct ByCount {
    std::uint16_t first = none, last = none;  // oldest in this list first
  };

  static std::uint32_t hash(std::uint32_t spi) noexcept { return (spi * 2654435769U) >> 21; }
  static_assert(hash_size == 1U << (32 - 21));

  std::uint16_t find(std::uint32_t spi) const noexcept;
  std::uint16_t make_slot(std::uint32_t spi) noexcept;
  void end_slot(std::uint16_t slot) noexcept;
  void set_count(std::uint16_t slot, std::uint16_t count) noexcept;
  void append(std::uint16_t slot, const Frame& frame, std::uint64_t now_tsc) noexcept;
  // Takes the frame at a place of that slot; the place is free then.
  Frame take(std::uint16_t slot, std::uint16_t place) noexcept;

  std::uint32_t size_ = 0, slots_in_use_ = 0, turn_ = 0;
  std::uint16_t free_place_ = 0, free_slot_ = 0;
  std::uint64_t counts_[2] = {0, 0};  // bit n: some slot has n frames; 0..64
  std::array<ByCount, parked_per_slot + 1> by_count_;
  std::array<Parked, parked_frames> places_;
  std::array<Slot, parked_frames> slots_;
  std::array<std::uint16_t, parked_frames> in_use_{};
  std::array<std::uint16_t, hash_size> heads_{};
};

}  // namespace sealcast::dataplane
