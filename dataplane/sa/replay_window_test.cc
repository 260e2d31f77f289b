// The window against a reference that stores every number.
#include "dataplane/sa/replay_window.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <vector>

#include "dataplane/testing/number_model.h"
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

// ---- Numbers of which the high half is a time, ordered by the whole number (H17). 512 sequences, so that they wrap
// often.

using SmallWindow = BasicReplayWindow<9>;
constexpr std::uint64_t small_sequences = 512;

std::uint64_t number_at(std::uint64_t time, std::uint64_t sequence) {
  return time * small_sequences + sequence % small_sequences;
}

// A sender whose time runs, a network that loses, repeats and reorders, and a member that forges numbers around those.
TEST(ReplayWindow, WithTimesAndWrapsAgreesWithTheReferenceAndTakesNoNumberTwice) {
  std::uint64_t accepted = 0, refused = 0, leaps = 0, breaks = 0;
  for (std::uint32_t seed = 0; seed < 4000; ++seed) {
    std::mt19937_64 random(seed);
    const auto chance = [&](unsigned of_hundred) { return random() % 100 < of_hundred; };
    SmallWindow window(64, seed % 3 == 0 ? 0 : number_at(2, 40));
    testing::NumberModel model(small_sequences, 64, window.floor());
    const bool forges = seed % 2 == 0;
    std::vector<std::uint64_t> sent;
    std::uint64_t last = 0;
    std::uint64_t time = 0;
    for (int i = 0; i < 3000; ++i) {
      std::uint64_t number = 0;
      const auto dice = random() % 100;
      if (dice < 60 || sent.empty()) {
        if (chance(2)) time += random() % 3;
        last = std::max(last + 1, number_at(time, last + 1));
        number = last;
        if (chance(1)) last += random() % 200;  // an outage
        sent.push_back(number);
        if (chance(20)) continue;
      } else if (dice < 80) {
        number = sent[sent.size() - 1 - random() % std::min<std::size_t>(sent.size(), 100)];
      } else if (dice < 90 || !forges) {
        number = sent[random() % sent.size()];
      } else {
        number = number_at(time + random() % 6, random());
        sent.push_back(number);
      }
      const bool expected = model.accepts(number);
      ASSERT_EQ(window.check(number), expected) << seed << " " << number;
      if (chance(10)) continue;  // checked, but the tag was wrong: nothing may have changed
      ASSERT_EQ(window.commit(number), expected) << seed << " " << number;
      ++(expected ? accepted : refused);
      if (expected) {
        ASSERT_TRUE(model.accept(number)) << number << " was accepted twice, seed " << seed;
      }
      ASSERT_EQ(window.highest(), model.highest());
      ASSERT_EQ(window.base(), model.base());
      ASSERT_EQ(window.expected(), model.expected());
      ASSERT_EQ(window.counts().lost.get(), model.lost());
      ASSERT_EQ(window.counts().reordered.get(), model.reordered());
    }
    ASSERT_EQ(window.counts().leaps.get(), model.leaps());
    ASSERT_EQ(window.counts().breaks.get(), model.breaks());
    leaps += model.leaps();
    breaks += model.breaks();
  }
  EXPECT_GT(accepted, 1'000'000U);
  EXPECT_GT(refused, 500'000U);
  EXPECT_GT(leaps, 10'000U);
  EXPECT_GT(breaks, 1'000U);
}

// The sequence comes round within one burst, which has one time: the time moves on with it.
TEST(ReplayWindow, TakesAWrapWithinABurst) {
  ReplayWindow window(1024, 0);
  const std::uint64_t time = 5000;
  std::uint64_t number = (time << 32) | 0xffff'fff0;
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(window.commit(number + static_cast<std::uint64_t>(i)));
  EXPECT_EQ(window.highest() >> 32, time + 1);
  EXPECT_EQ(window.counts().lost.get(), 0U);
  EXPECT_EQ(window.expected(), 40U);
  EXPECT_EQ(window.counts().breaks.get() + window.counts().leaps.get(), 0U);
}

// N2: one packet with a forged sequence and the present time silences its sender until its time has come, and no longer
// however far ahead the sequence is.
TEST(ReplayWindow, AForgedNumberSilencesItsSenderNoLongerThanItsTimeIsAhead) {
  for (const std::uint64_t ahead_ms : {0, 500}) {
    for (const std::uint64_t sequence_ahead : {1ULL, 100ULL, 5000ULL, (1ULL << 31) - 1, 1ULL << 31, (1ULL << 32) - 1}) {
      ReplayWindow window(1024, 0);
      std::uint64_t time = 10'000;
      std::uint64_t last = (time << 32) | 77;
      const auto next = [&] { return last = std::max(last + 1, (time << 32) | ((last + 1) & 0xffff'ffff)); };
      for (int i = 0; i < 2000; ++i)
        ASSERT_TRUE(window.commit(next()));
      const std::uint64_t forged = ((time + ahead_ms) << 32) | ((last + sequence_ahead) & 0xffff'ffff);
      if (forged <= last) continue;
      ASSERT_TRUE(window.commit(forged));
      time += ahead_ms + 1;
      for (int i = 0; i < 2000; ++i)
        ASSERT_TRUE(window.commit(next())) << ahead_ms << " " << sequence_ahead << " " << i;
    }
  }
}

// A second writer, or a forger, uses sequences again with later times.
TEST(ReplayWindow, CountsABreakWhereTheSequenceDoesNotRise) {
  ReplayWindow window(1024, 0);
  for (std::uint64_t sequence = 1; sequence <= 100; ++sequence)
    ASSERT_TRUE(window.commit((std::uint64_t{1} << 32) | sequence));
  EXPECT_TRUE(window.commit((std::uint64_t{2} << 32) | 100));
  EXPECT_EQ(window.counts().breaks.get(), 1U);
  EXPECT_TRUE(window.commit((std::uint64_t{3} << 32) | 7));
  EXPECT_EQ(window.counts().breaks.get(), 2U);
  EXPECT_FALSE(window.check((std::uint64_t{1} << 32) | 99)) << "everything up to the break is refused";
  EXPECT_EQ(window.counts().leaps.get(), 0U);
  EXPECT_EQ(window.expected(), 102U);
  EXPECT_EQ(window.counts().lost.get(), 0U);
}

}  // namespace
}  // namespace sealcast::dataplane
