// A group's live epochs by themselves: phases, ends, leases.
#include "controlplane/keyserver/group/epochs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class EpochsTest : public ::testing::Test {
 protected:
  void add(std::uint64_t number, std::chrono::seconds lease = 60s) {
    Epoch epoch;
    epoch.number = number;
    epoch.expires = now_ + 1h;
    epoch.policy.deactivation_delay_ms = 10'000;
    epoch.policy.authority_lease_s = static_cast<std::uint32_t>(lease.count());
    epochs_.add(std::move(epoch));
  }
  Epochs epochs_;
  SteadyTime now_{1000s};
};

TEST_F(EpochsTest, TheNextBecomesActiveAndTheActiveOneOldForTheDelay) {
  add(1);
  epochs_.activate(1, now_);
  add(2);
  EXPECT_EQ(epochs_.active()->number, 1u);
  EXPECT_EQ(epochs_.pending()->number, 2u);
  epochs_.activate(2, now_);
  EXPECT_EQ(epochs_.active()->number, 2u);
  EXPECT_EQ(epochs_.pending(), nullptr);
  EXPECT_EQ(epochs_.find(1)->phase, Phase::old);
  EXPECT_EQ(epochs_.next_deadline(), now_ + 10s);
  EXPECT_THAT(epochs_.over(now_ + 10s - 1ms), IsEmpty());
  EXPECT_THAT(epochs_.over(now_ + 10s), ElementsAre(1));
  EXPECT_THAT(epochs_.over(now_ + 1h), ElementsAre(1, 2));
}

TEST_F(EpochsTest, AnOldOneEndsNoLaterThanItExpires) {
  add(1);
  epochs_.activate(1, now_);
  add(2);
  epochs_.activate(2, now_ + 1h - 5s);
  EXPECT_EQ(epochs_.next_deadline(), now_ + 1h);
}

TEST_F(EpochsTest, WhatALaterActivationSkipsIsOld) {
  for (const std::uint64_t number : {1, 2, 3})
    add(number);
  epochs_.activate(1, now_);
  epochs_.skip_pending_before(3, now_);
  epochs_.activate(3, now_);
  EXPECT_EQ(epochs_.find(1)->phase, Phase::old);
  EXPECT_EQ(epochs_.find(2)->phase, Phase::old);
  EXPECT_EQ(epochs_.active()->number, 3u);
}

TEST_F(EpochsTest, FourFillTheGroupAndTheActiveOneIsNeverTheOldestToGo) {
  add(1);
  epochs_.activate(1, now_);
  for (const std::uint64_t number : {2, 3, 4}) {
    EXPECT_FALSE(epochs_.full());
    add(number);
  }
  EXPECT_TRUE(epochs_.full());
  EXPECT_EQ(epochs_.oldest_inactive(), 2u);
  epochs_.remove(2);
  EXPECT_FALSE(epochs_.lives(2));
  EXPECT_EQ(epochs_.oldest(), 1u);
  EXPECT_EQ(epochs_.newest(), 4u);
}

TEST_F(EpochsTest, H11_LeasesAreThoseOfAllLiveEpochsAndTheConfiguredOne) {
  add(1, 90s);
  add(2, 30s);
  EXPECT_EQ(epochs_.longest_lease(60s), 90s);
  EXPECT_EQ(epochs_.shortest_lease(60s), 30s);
  EXPECT_EQ(epochs_.longest_lease(120s), 120s);
  epochs_.clear();
  EXPECT_EQ(epochs_.longest_lease(60s), 60s);
  EXPECT_EQ(epochs_.newest(), 0u);
  EXPECT_EQ(epochs_.next_deadline(), std::nullopt);
}

}  // namespace
}  // namespace sealcast::keyserver
