// A loop of a test behaves as the product's does.
#include "base/loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/asio_loop.h"
#include "base/testing/manual_loop.h"

namespace sealcast {
namespace {

using namespace std::chrono_literals;

struct OfAsio {
  asio::io_context io;
  AsioLoop loop{io};
  void run_for(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }
};
struct OfTest {
  testing::ManualLoop loop;
  void run_for(std::chrono::milliseconds time) { loop.run_for(time); }
};

template <typename Of>
class LoopTest : public ::testing::Test {
 protected:
  Of of_;
  Loop& loop_ = of_.loop;
  std::string order_;
  Loop::Then note(char letter) {
    return [this, letter] { order_ += letter; };
  }
};
using Loops = ::testing::Types<OfAsio, OfTest>;
TYPED_TEST_SUITE(LoopTest, Loops);

TYPED_TEST(LoopTest, TurnsComeInOrderAndNeverFromInside) {
  this->loop_.post([this] {
    this->order_ += 'a';
    this->loop_.post(this->note('c'));
    this->order_ += 'b';
  });
  EXPECT_EQ(this->order_, "");
  this->of_.run_for(5ms);
  EXPECT_EQ(this->order_, "abc");
}

TYPED_TEST(LoopTest, ATimerFiresOnceAtItsTimeInTheOrderOfTheTimes) {
  const auto late = this->loop_.timer(), early = this->loop_.timer();
  const SteadyTime begun = this->loop_.now();
  late->set(begun + 20ms, this->note('b'));
  early->set(begun + 10ms, this->note('a'));
  this->of_.run_for(5ms);
  EXPECT_EQ(this->order_, "");
  this->of_.run_for(200ms);
  EXPECT_EQ(this->order_, "ab");
  EXPECT_GE(this->loop_.now(), begun + 20ms);
}

TYPED_TEST(LoopTest, WhatTookAnothersPlaceIsCalledAloneAlsoWhenItsTimeHadCome) {
  const auto timer = this->loop_.timer();
  const SteadyTime past = this->loop_.now() - 1s;
  timer->set(past, this->note('x'));
  timer->set(past, this->note('a'));
  this->of_.run_for(20ms);
  EXPECT_EQ(this->order_, "a");
}

TYPED_TEST(LoopTest, WhatWasCancelledOrDestroyedIsNotCalled) {
  const auto timer = this->loop_.timer();
  auto gone = this->loop_.timer();
  timer->set(this->loop_.now(), this->note('x'));
  gone->set(this->loop_.now(), this->note('x'));
  timer->cancel();
  gone.reset();
  this->of_.run_for(20ms);
  EXPECT_EQ(this->order_, "");
  timer->set(this->loop_.now() + 1ms, this->note('a'));
  this->of_.run_for(100ms);
  EXPECT_EQ(this->order_, "a") << "it can be set again";
}

TYPED_TEST(LoopTest, ATimerMaySetItselfAnewAndDestroyItself) {
  auto timer = this->loop_.timer();
  int left = 3;
  std::function<void()> again = [&] {
    this->order_ += 'a';
    if (--left == 0) return timer.reset();
    timer->set(this->loop_.now() + 1ms, again);
  };
  timer->set(this->loop_.now(), again);
  this->of_.run_for(200ms);
  EXPECT_EQ(this->order_, "aaa");
}

TEST(ManualLoop, TimePassesOnlyWhereItIsToldAndFromTimerToTimer) {
  testing::ManualLoop loop(SteadyTime(100s), 1000s);
  std::vector<SteadyTime> seen;
  const auto one = loop.timer(), two = loop.timer();
  one->set(SteadyTime(101s), [&] { seen.push_back(loop.now()); });
  two->set(SteadyTime(102s), [&] { seen.push_back(loop.now()); });
  EXPECT_EQ(loop.timers(), 2u);
  loop.run();
  EXPECT_EQ(loop.now(), SteadyTime(100s));
  loop.run_for(10s);
  EXPECT_THAT(seen, ::testing::ElementsAre(SteadyTime(101s), SteadyTime(102s)));
  EXPECT_EQ(loop.now(), SteadyTime(110s));
  EXPECT_EQ(loop.unix_now(), 1010);
  loop.set_unix_time(5000s);
  loop.run_for(1s);
  EXPECT_EQ(loop.unix_now(), 5001);
  EXPECT_EQ(loop.timers(), 0u);
}

}  // namespace
}  // namespace sealcast
