// A receiver's estimates about a sender, from the numbers in its packets, against a reference that stores every number:
// docs/dataplane.md, "What the numbers tell about a sender".
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "dataplane/sa/replay_window.h"
#include "dataplane/testing/number_model.h"

namespace sealcast::dataplane {
namespace {

// Straight from the definitions, without a ring.
class CountedNumbers {
 public:
  CountedNumbers(std::uint64_t size, std::uint64_t floor) : size_(size), model_(std::uint64_t{1} << 32, size, floor) {}

  void arrive(std::uint64_t number) {
    if (model_.accepts(number)) {
      if (number < model_.highest()) {
        reorder_sum_ += model_.highest() - number;
        reorder_max_ = std::max(reorder_max_, model_.highest() - number);
      } else if (model_.accepted() != 0 && number - model_.highest() >= size_) {
        leapt_over_ += number - model_.highest() - 1;
      }
      model_.accept(number);
    } else if (number <= model_.base() || (number <= model_.highest() && model_.highest() - number >= size_)) {
      ++late_;
    } else {
      ++duplicates_;
    }
  }
  std::uint64_t lost() const { return model_.lost(); }
  void expect_equal(const ReplayWindow& window) const {
    ASSERT_EQ(window.highest(), model_.highest());
    ASSERT_EQ(window.lowest(), model_.lowest());
    ASSERT_EQ(window.expected(), model_.expected());
    ASSERT_EQ(window.counts().lost.get(), lost());
    ASSERT_EQ(window.counts().leaps.get(), model_.leaps());
    ASSERT_EQ(window.counts().leapt_over.get(), leapt_over_);
    ASSERT_EQ(window.counts().breaks.get(), model_.breaks());
    ASSERT_EQ(window.counts().reordered.get(), reordered());
    ASSERT_EQ(window.counts().reorder_sum.get(), reorder_sum_);
    ASSERT_EQ(window.counts().reorder_max.get(), reorder_max_);
    ASSERT_EQ(window.counts().duplicates.get(), duplicates_);
    ASSERT_EQ(window.counts().late.get(), late_);
  }
  std::uint64_t duplicates() const { return duplicates_; }
  std::uint64_t leaps() const { return model_.leaps(); }
  std::uint64_t reordered() const { return model_.reordered(); }

 private:
  std::uint64_t size_;
  std::uint64_t leapt_over_ = 0, reorder_sum_ = 0, reorder_max_ = 0, duplicates_ = 0, late_ = 0;
  testing::NumberModel model_;
};

void arrive(ReplayWindow& window, std::uint64_t number) {
  if (!window.check(number) || !window.commit(number)) window.count_refused(number);
}

// A network that loses, delays, repeats and, now and then, fails for longer than the window is wide.
TEST(SenderEstimate, AgreesWithTheReferenceUnderLossReorderingAndRepetition) {
  std::mt19937_64 random(11);
  const std::uint64_t starts[] = {1, 77, (std::uint64_t{1} << 32) - 5000, ~std::uint64_t{0} - 400'000};
  for (const std::uint32_t size : {64U, 1024U, 4096U}) {
    for (const std::uint64_t start : starts) {
      for (const std::uint64_t floor : {std::uint64_t{0}, start, start + 40}) {
        ReplayWindow window(size, floor);
        CountedNumbers reference(size, floor);
        std::vector<std::uint64_t> held;
        std::uint64_t next = start;
        for (int i = 0; i < 12'000; ++i) {
          const std::uint64_t number = next++;
          const auto dice = random() % 1000;
          if (dice < 30) continue;                       // lost
          if (dice < 33) next += random() % (3 * size);  // an outage
          if (dice >= 900) {
            held.push_back(number);
          } else {
            arrive(window, number);
            reference.arrive(number);
          }
          if (dice >= 500 && dice < 540) {
            arrive(window, number);
            reference.arrive(number);
          }
          if (held.size() > 20 || (!held.empty() && dice % 7 == 0)) {
            const auto pick = static_cast<std::ptrdiff_t>(random() % held.size());
            arrive(window, held[static_cast<std::size_t>(pick)]);
            reference.arrive(held[static_cast<std::size_t>(pick)]);
            held.erase(held.begin() + pick);
          }
          if (i % 500 == 0) {
            ASSERT_NO_FATAL_FAILURE(reference.expect_equal(window)) << size << " " << start << " " << i;
          }
        }
        ASSERT_NO_FATAL_FAILURE(reference.expect_equal(window)) << size << " " << start;
        EXPECT_GT(reference.lost(), 100U);
        EXPECT_GT(reference.leaps(), 5U);
        EXPECT_GT(reference.reordered(), 100U);
        EXPECT_GT(reference.duplicates(), 50U);
      }
    }
  }
}

// Every distance, over a window half full.
TEST(SenderEstimate, EveryDistanceCountsExactlyWhatLeftUnseen) {
  for (std::uint64_t step = 1; step <= 2200; ++step) {
    ReplayWindow window(1024, 0);
    CountedNumbers reference(1024, 0);
    for (std::uint64_t number = 10; number <= 1500; number += number % 3 == 0 ? 1 : 2) {
      arrive(window, number);
      reference.arrive(number);
    }
    const std::uint64_t leap = window.highest() + step;
    arrive(window, leap);
    reference.arrive(leap);
    ASSERT_NO_FATAL_FAILURE(reference.expect_equal(window)) << step;
  }
}

TEST(SenderEstimate, WhatCameBeforeTheFirstPacketIsNoLoss) {
  ReplayWindow window(64, 0);
  arrive(window, 1'000'000);
  for (std::uint64_t number = 1'000'001; number < 1'000'200; ++number)
    arrive(window, number);
  EXPECT_EQ(window.counts().lost.get(), 0U);
  EXPECT_EQ(window.lowest(), 1'000'000U);
}

TEST(SenderEstimate, ACopySeesWhatTheOriginalSaw) {
  ReplayWindow window(64, 5);
  for (const std::uint64_t number : {10, 12, 11, 60, 100})
    arrive(window, number);
  ReplayWindow copy(1024, 0);
  copy.copy_from(window);
  for (std::uint64_t number = 0; number < 200; ++number)
    EXPECT_EQ(copy.check(number), window.check(number)) << number;
  EXPECT_TRUE(copy.commit(99));
  EXPECT_TRUE(window.check(99)) << "the original knows nothing of it";
}

}  // namespace
}  // namespace sealcast::dataplane
