// Parking against a reference of plain containers; and what a flood may take from a newcomer.
#include "dataplane/path/parking_lot.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

namespace sealcast::dataplane {
namespace {

using Place = ParkingLot::Place;

Frame numbered(std::uint32_t number) {
  Frame frame;
  frame.length = number;
  return frame;
}

// Slots and their frames; every change of the lot is replayed here and must have been allowed.
class ReferenceLot {
 public:
  std::map<std::uint32_t, std::deque<std::uint32_t>> slots;
  std::size_t size() const {
    std::size_t n = 0;
    for (const auto& [spi, frames] : slots)
      n += frames.size();
    return n;
  }
  std::size_t most() const {
    std::size_t n = 0;
    for (const auto& [spi, frames] : slots)
      n = std::max(n, frames.size());
    return n;
  }
};

TEST(ParkingLot, DATA2_AgreesWithAReferenceUnderRandomTraffic) {
  std::mt19937 random(3);
  for (const std::uint32_t senders : {1U, 5U, 16U, 17U, 40U, 3000U}) {
    ParkingLot lot;
    ReferenceLot reference;
    std::uint32_t next = 0;
    int swaps = 0, refusals = 0;
    for (int step = 0; step < (senders > 100 ? 5'000 : 40'000); ++step) {
      if (random() % 4 != 0) {
        const std::uint32_t spi = 0x10000000 + random() % senders;
        auto& mine = reference.slots[spi];
        const std::size_t before = mine.size(), full = reference.size(), most = reference.most();
        Frame frame = numbered(next);
        switch (lot.park(spi, frame, 0)) {
          case Place::kept:
            ASSERT_LT(full, parked_frames);
            ASSERT_LT(before, parked_per_slot);
            break;
          case Place::swapped: {
            ++swaps;
            ASSERT_EQ(full, parked_frames);
            ASSERT_TRUE(most > before + 1 || (before == 0 && most >= 1));
            bool found = false;
            for (auto& [other, frames] : reference.slots) {
              if (frames.size() != most || frames.back() != frame.length) continue;
              ASSERT_NE(other, spi);
              frames.pop_back();
              found = true;
              break;
            }
            ASSERT_TRUE(found) << "the youngest frame of a slot with the most makes room";
            break;
          }
          case Place::no_place:
            ++refusals;
            ASSERT_TRUE(before == parked_per_slot || (full == parked_frames && before != 0 && most <= before + 1));
            ASSERT_EQ(frame.length, next) << "still the caller's";
            ASSERT_EQ(lot.of_slot(spi), before);
            ++next;
            continue;
        }
        mine.push_back(next++);
        ASSERT_EQ(lot.of_slot(spi), mine.size());
      } else if (random() % 64 == 0) {  // one slot's key came
        const std::uint32_t spi = 0x10000000 + random() % senders;
        Frame frame;
        std::uint32_t of_spi = 0;
        auto& mine = reference.slots[spi];
        while (lot.take([&](std::uint32_t s, std::uint64_t) { return s == spi; }, frame, of_spi)) {
          ASSERT_EQ(of_spi, spi);
          ASSERT_FALSE(mine.empty());
          ASSERT_EQ(frame.length, mine.front()) << "in order of arrival";
          mine.pop_front();
        }
        ASSERT_TRUE(mine.empty());
      }
      ASSERT_EQ(lot.size(), reference.size());
      ASSERT_LE(lot.size(), parked_frames);
    }
    EXPECT_EQ(swaps > 0, senders > 16) << senders;
    if (senders < 3000) {
      EXPECT_GT(refusals, 0);
    }
    Frame frame;
    std::size_t left = 0;
    while (lot.take_any(frame))
      ++left;
    EXPECT_EQ(left, reference.size());
    EXPECT_EQ(lot.size(), 0U);
    EXPECT_EQ(lot.slots(), 0U);
  }
}

TEST(ParkingLot, DATA2_AFloodOfOtherSlotsLeavesANewcomerItsShare) {
  for (const std::uint32_t flooding : {16U, 63U, 500U, 1024U, 4000U}) {
    ParkingLot lot;
    const auto flood = [&](std::uint32_t rounds) {
      for (std::uint32_t round = 0; round < rounds; ++round)
        for (std::uint32_t slot = 0; slot < flooding; ++slot) {
          Frame frame = numbered(slot);
          lot.park(0x20000000 + slot, frame, 0);
        }
    };
    flood(70);
    EXPECT_EQ(lot.size(), parked_frames);
    for (std::uint32_t i = 0; i < 10; ++i) {
      Frame mine = numbered(i);
      const Place place = lot.park(0x10000000, mine, 0);
      if (i == 0) {
        EXPECT_EQ(place, Place::swapped) << "the first frame always finds room";
      }
    }
    const std::uint32_t share = parked_frames / (flooding + 1);
    EXPECT_GE(lot.of_slot(0x10000000), std::min<std::uint32_t>(10, std::max<std::uint32_t>(1, share)));
    if (flooding <= 500) {
      flood(70);
      EXPECT_GE(lot.of_slot(0x10000000), std::min<std::uint32_t>(10, share)) << "and keeps it";
    }
  }
}

TEST(ParkingLot, AFullSlotTakesNoMoreAndNothingFromOthers) {
  ParkingLot lot;
  Frame frame = numbered(1);
  for (std::uint32_t i = 0; i < parked_per_slot; ++i)
    EXPECT_EQ(lot.park(5, frame, i), Place::kept);
  EXPECT_EQ(lot.park(5, frame, 0), Place::no_place);
  EXPECT_EQ(lot.size(), parked_per_slot);
  std::uint32_t spi = 0;
  EXPECT_FALSE(lot.take([](std::uint32_t, std::uint64_t arrived) { return arrived > 0; }, frame, spi))
      << "the oldest of a slot decides";
  EXPECT_TRUE(lot.take([](std::uint32_t, std::uint64_t arrived) { return arrived == 0; }, frame, spi));
  EXPECT_EQ(lot.park(5, frame, 0), Place::kept);
}

}  // namespace
}  // namespace sealcast::dataplane
