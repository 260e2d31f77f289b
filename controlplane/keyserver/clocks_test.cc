// The time that a key server judges by, over steps, restarts and an operator's word (H19).
#include "controlplane/keyserver/clocks.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t start_at = 1'800'000'000;
constexpr std::int64_t day = 86400;

class ClocksTest : public ::testing::Test {
 protected:
  ClocksTest() {
    char folder[] = "/tmp/sealcast-clocks-XXXXXX";
    folder_ = mkdtemp(folder);
    restart();
  }
  ~ClocksTest() override {
    store_.reset();
    for (const char* end : {"", "-wal", "-shm"})
      unlink((folder_ + "/db" + end).c_str());
    rmdir(folder_.c_str());
  }
  void restart() {
    store_.reset();
    clocks_ = std::make_unique<Clocks>(
        Clocks::Sources{[this] { return boot_; }, [this] { return wall_; }, [] { return 0ns; }}, 3600s);
    auto store = store::open_sqlite(folder_ + "/db", "ks",
                                    [this](const auto& before) { return clocks_->start(before, boot_id_); });
    ASSERT_TRUE(store) << store.error().message;
    store_ = std::move(*store);
    clocks_->keep_in(store_.get());
  }
  void pass(std::int64_t seconds) {
    boot_ += std::chrono::seconds(seconds);
    wall_ += seconds;
    clocks_->look();
  }

  std::string folder_;
  std::chrono::nanoseconds boot_ = 100s;
  std::int64_t wall_ = start_at;
  std::string boot_id_ = "first";
  std::unique_ptr<Clocks> clocks_;
  std::unique_ptr<store::Store> store_;
};

TEST_F(ClocksTest, H19_AStepIsSeenByTheProcessThatStandsAndByTheNext) {
  clocks_->hold();
  wall_ += 400 * day;
  EXPECT_FALSE(clocks_->agrees());
  EXPECT_EQ(clocks_->unix_now(), start_at);
  pass(60);
  EXPECT_EQ(clocks_->unix_now(), start_at + 60);
  EXPECT_EQ(clocks_->status().judged_by, start_at + 60);
  restart();
  EXPECT_FALSE(clocks_->agrees());
  EXPECT_EQ(clocks_->unix_now(), start_at + 60);
  wall_ -= 400 * day;
  EXPECT_TRUE(clocks_->agrees());
}

TEST_F(ClocksTest, H19_WhatIsAcceptedIsKept) {
  clocks_->hold();
  EXPECT_FALSE(clocks_->accept()) << "there is nothing to accept";
  wall_ -= 30 * day;
  ASSERT_TRUE(clocks_->accept());
  EXPECT_EQ(clocks_->unix_now(), start_at - 30 * day);
  restart();
  EXPECT_TRUE(clocks_->agrees());
}

TEST_F(ClocksTest, H19_AClockThatWasWrongAtTheStartMayBeSetBeforeItIsUsed) {
  wall_ = 946'684'800;
  restart();
  wall_ = start_at;
  EXPECT_TRUE(clocks_->agrees());
  clocks_->hold();
  wall_ = 946'684'800;
  EXPECT_FALSE(clocks_->agrees());
}

TEST_F(ClocksTest, H19_AfterAnotherBootItIsNoEarlierThanItWas) {
  clocks_->hold();
  pass(3 * day);
  boot_id_ = "second";
  boot_ = 5s;
  wall_ = 946'684'800;  // the battery is empty
  restart();
  EXPECT_FALSE(clocks_->agrees());
  EXPECT_GE(clocks_->unix_now(), start_at + 2 * day) << "as it was kept once a day";
  wall_ = start_at + 10 * day;
  clocks_->look();
  EXPECT_TRUE(clocks_->agrees());
  EXPECT_EQ(clocks_->unix_now(), wall_);
}

TEST_F(ClocksTest, H19_ADriftIsFollowedOverRestarts) {
  clocks_->hold();
  for (int days = 0; days < 2 * 365; ++days) {
    for (int hour = 0; hour < 24; ++hour)
      pass(3600);
    wall_ += 17;  // a day of 200 ppm, set right
    if (days % 30 == 0) restart();
    ASSERT_TRUE(clocks_->agrees()) << days;
    ASSERT_EQ(clocks_->unix_now(), wall_);
  }
}

}  // namespace
}  // namespace sealcast::keyserver
