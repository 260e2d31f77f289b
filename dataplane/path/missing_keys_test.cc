// The wait for keys by itself, without a data plane: what is asked for, parked, handed on and given back.
#include "dataplane/path/missing_keys.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace sealcast::dataplane {
namespace {

constexpr std::uint64_t hz = 1'000'000;
constexpr std::uint64_t start = 50 * hz;
constexpr std::uint32_t first_spi = 0x10000000;

class MissingKeysTest : public ::testing::Test {
 protected:
  MissingKeysTest() {
    settings_.tsc_hz = hz;
    snapshot_.version = 1;
    snapshot_.ranges = {{first_spi, first_spi + 0xffff, first_spi + slot_window - 1}};
  }

  DropReason take_in(std::uint32_t spi, std::uint64_t now = start) {
    frame_ = Frame{};
    frame_.length = ++frames_;
    return keys_->take_in(frame_, spi, 0, now, snapshot_);
  }
  std::vector<std::uint32_t> asked() {
    std::vector<std::uint32_t> all;
    for (std::uint32_t spi = 0; keys_->slots_wanted().pop(spi);)
      all.push_back(spi);
    return all;
  }

  PathSettings settings_;
  Tally tally_{0};
  std::unique_ptr<MissingKeys> keys_ = std::make_unique<MissingKeys>(0, settings_, tally_);
  Snapshot snapshot_;
  Frame frame_;
  std::uint32_t frames_ = 0;
  std::array<Frame, 8> out_;
};

TEST_F(MissingKeysTest, OnlySlotsOfTheWindowAreAskedForAndParked) {
  EXPECT_EQ(take_in(first_spi - 1), DropReason::unknown_spi);
  EXPECT_EQ(take_in(first_spi + slot_window), DropReason::slot_out_of_window);
  EXPECT_TRUE(keys_->empty());
  EXPECT_EQ(take_in(first_spi + 3), DropReason::none);
  EXPECT_EQ(frame_.verdict, Verdict::park);
  EXPECT_FALSE(keys_->empty());
  EXPECT_EQ(asked(), std::vector<std::uint32_t>{first_spi + 3});
  EXPECT_EQ(tally_.counters().parked.get(), 1U);
}

TEST_F(MissingKeysTest, ASlotGoesToTheWorkerItWillBelongTo) {
  snapshot_.workers = 4;
  for (std::uint32_t spi = first_spi; spi < first_spi + slot_window; ++spi) {
    ASSERT_EQ(take_in(spi), DropReason::none);
    if (const std::uint32_t owner = worker_of_spi(spi, 4); owner == 0) {
      ASSERT_EQ(frame_.verdict, Verdict::park);
    } else {
      ASSERT_EQ(frame_.verdict, Verdict::hand_off);
      ASSERT_EQ(frame_.target, owner);
    }
  }
}

TEST_F(MissingKeysTest, DATA2_AStreamAsksTenTimesASecond) {
  int asks = 0;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    take_in(first_spi + 3, start + i * hz / 1000);
    asks += static_cast<int>(asked().size());
  }
  EXPECT_EQ(asks, 10);
}

TEST_F(MissingKeysTest, FramesComeBackOnceTheSnapshotDecidesAboutThem) {
  for (int i = 0; i < 3; ++i)
    take_in(first_spi + 3);
  take_in(first_spi + 4);
  EXPECT_EQ(keys_->take_decided(out_, snapshot_), 0U);
  snapshot_.spis.insert({first_spi + 3, 0, 0, nullptr});
  EXPECT_EQ(keys_->take_decided(out_, snapshot_), 0U) << "this version was looked at";
  snapshot_.version = 2;
  ASSERT_EQ(keys_->take_decided(std::span(out_).first(2), snapshot_), 2U);
  EXPECT_EQ(out_[0].length, 1U);
  EXPECT_EQ(out_[1].length, 2U);
  ASSERT_EQ(keys_->take_decided(out_, snapshot_), 1U) << "the rest of the same version";
  EXPECT_EQ(out_[0].length, 3U);
  EXPECT_EQ(keys_->take_decided(out_, snapshot_), 0U);
  snapshot_.version = 3;
  snapshot_.ranges.clear();
  EXPECT_EQ(keys_->take_decided(out_, snapshot_), 1U) << "the epoch is gone";
  EXPECT_TRUE(keys_->empty());
}

TEST_F(MissingKeysTest, AFrameWaitsASecond) {
  take_in(first_spi + 3);
  EXPECT_EQ(keys_->take_late(out_, start + hz - 1), 0U);
  EXPECT_EQ(keys_->take_late(out_, start + hz), 0U) << "looks fifty times a second";
  ASSERT_EQ(keys_->take_late(out_, start + hz + hz / 50), 1U);
  EXPECT_EQ(out_[0].verdict, Verdict::drop);
  EXPECT_EQ(out_[0].reason, DropReason::slot_timeout);
  EXPECT_TRUE(keys_->empty());
}

TEST_F(MissingKeysTest, AtTheEndAllFramesAreGivenBackAsDropped) {
  for (std::uint32_t i = 0; i < 10; ++i)
    take_in(first_spi + i);
  EXPECT_EQ(keys_->give_back(out_), 8U);
  EXPECT_EQ(out_[7].reason, DropReason::slot_pending);
  EXPECT_EQ(keys_->give_back(out_), 2U);
  EXPECT_EQ(keys_->give_back(out_), 0U);
  EXPECT_TRUE(keys_->empty());
}

}  // namespace
}  // namespace sealcast::dataplane
