// The window against a reference that stores every number.
#include "dataplane/sa/replay_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "dataplane/testing/seen_numbers.h"

namespace sealcast::dataplane {
namespace {

// Numbers as a network delivers them: in order, reordered near and far, repeated, with gaps and leaps.
TEST(ReplayWindow, AgreesWithTheReference) {
  std::mt19937_64 random(7);
  const std::uint64_t starts[] = {
      0, 1, 500, (std::uint64_t{1} << 32) - 3000, (std::uint64_t{3} << 32) - 100, ~std::uint64_t{0} - 200'000};
  for (const std::uint32_t size : {1024U, 4096U}) {
    for (const std::uint64_t start : starts) {
      ReplayWindow window(size, start);
      testing::SeenNumbers reference(size, start);
      std::deque<std::uint64_t> recent;
      std::uint64_t next = start;
      std::size_t accepted = 0, refused = 0;
      for (int i = 0; i < 40'000; ++i) {
        std::uint64_t number = next;
        switch (random() % 8) {
          case 0:  // again
            if (!recent.empty()) number = recent[random() % recent.size()];
            break;
          case 1:  // near and far behind
            number = next - std::min<std::uint64_t>(next, random() % (2 * size));
            break;
          case 2:  // a gap
            number = next + random() % 70;
            break;
          case 3:
            if (random() % 50 == 0) number = next + size - 2 + random() % 5;  // at the window's width
            break;
          default:
            break;
        }
        const bool expected = reference.accepts(number);
        ASSERT_EQ(window.check(number), expected) << number;
        if (random() % 4 == 0) {  // checked, but the tag was wrong: nothing may have changed
          ASSERT_EQ(window.highest(), reference.highest());
          continue;
        }
        ASSERT_EQ(window.commit(number), expected) << number;
        ++(expected ? accepted : refused);
        if (expected) reference.accept(number);
        ASSERT_EQ(window.highest(), reference.highest());
        recent.push_back(number);
        if (recent.size() > 3 * size) recent.pop_front();
        if (number >= next && number != ~std::uint64_t{0}) next = number + 1;
      }
      EXPECT_GT(accepted, 10'000U);
      EXPECT_GT(refused, 1'000U);
    }
  }
}

TEST(ReplayWindow, WholeWidthIsUsable) {
  ReplayWindow window(1024, 0);
  ASSERT_TRUE(window.commit(5000));
  EXPECT_FALSE(window.check(5000 - 1024));
  for (std::uint64_t number = 5000 - 1023; number < 5000; ++number) {
    EXPECT_TRUE(window.commit(number)) << number;
    EXPECT_FALSE(window.commit(number)) << number;
  }
}

TEST(ReplayWindow, EveryAdvanceForgetsExactlyWhatFellOut) {
  for (std::uint64_t step = 1; step <= 1100; ++step) {
    ReplayWindow window(1024, 0);
    for (std::uint64_t number = 1; number <= 1024; ++number)
      ASSERT_TRUE(window.commit(number));
    ASSERT_TRUE(window.commit(1024 + step));
    for (std::uint64_t number = 1; number < 1024 + step; ++number) {
      const bool new_gap = number > 1024;
      const bool inside = 1024 + step - number < 1024;
      ASSERT_EQ(window.check(number), new_gap && inside) << step << " " << number;
    }
  }
}

TEST(ReplayWindow, ZeroAndFloor) {
  ReplayWindow from_one(1024, 0);
  EXPECT_FALSE(from_one.check(0));
  EXPECT_FALSE(from_one.commit(0));
  EXPECT_TRUE(from_one.commit(1));
  ReplayWindow floored(1024, 100);
  EXPECT_FALSE(floored.commit(99));
  EXPECT_TRUE(floored.commit(150));
  EXPECT_FALSE(floored.commit(99));
  EXPECT_TRUE(floored.commit(100));
}

}  // namespace
}  // namespace sealcast::dataplane
