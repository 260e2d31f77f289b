// A wall clock that is stepped, drifts, or was never right (H19).
#include "base/clock_trust.h"

#include <gtest/gtest.h>

namespace sealcast {
namespace {

using namespace std::chrono_literals;
using Time = ClockTrust::Time;
using Reading = ClockTrust::Reading;

constexpr Time day = 24h;
constexpr Reading start{1000s, 1'800'000'000s};

constexpr Reading after(Time passed, Time stepped = {}) {
  return {start.boot + passed, start.real + passed + stepped};
}

ClockTrust held() {
  ClockTrust clock(1h);
  clock.hold(start);
  return clock;
}

TEST(ClockTrust, H19_StepsOfMinus400To400DaysAreSeenAndTimeGoesOn) {
  for (int days = -400; days <= 400; ++days) {
    ClockTrust clock = held();
    clock.look(after(1s));
    const Reading stepped = after(2s, days * day);
    clock.look(stepped);
    EXPECT_EQ(clock.agrees(stepped), days == 0) << days;
    EXPECT_EQ(clock.judged(stepped), start.real + 2s) << days;
    EXPECT_EQ(clock.apart(stepped), days * day) << days;
    clock.look(after(30 * day, days * day));
    EXPECT_EQ(clock.judged(after(30 * day, days * day)), start.real + 30 * day) << days << ": not forgotten by waiting";
    EXPECT_TRUE(clock.agrees(after(31 * day))) << days << ": it was set back";
    clock.accept(stepped);
    EXPECT_TRUE(clock.agrees(after(3s, days * day)));
    EXPECT_EQ(clock.judged(after(3s, days * day)), start.real + 3s + days * day);
  }
}

TEST(ClockTrust, H19_AStepWithinTheToleranceIsTheTime) {
  const ClockTrust clock = held();
  EXPECT_EQ(clock.judged(after(1s, 59min)), start.real + 1s + 59min);
  EXPECT_EQ(clock.judged(after(1s, -59min)), start.real + 1s - 59min);
  EXPECT_FALSE(clock.agrees(after(1s, 61min)));
}

TEST(ClockTrust, H19_ACrystalThatIsCorrectedEveryDayForYearsIsNeverDoubted) {
  for (const int direction : {-1, 1}) {
    ClockTrust clock = held();
    Time stepped{};
    for (int days = 1; days <= 3 * 365; ++days) {
      for (Time passed = (days - 1) * day; passed < days * day; passed += 1h)
        clock.look(after(passed, stepped));
      stepped += direction * 17s;  // a day of 200 ppm
      ASSERT_TRUE(clock.agrees(after(days * day, stepped))) << days;
    }
  }
}

TEST(ClockTrust, H19_StepsWithinTheToleranceLeadNoFartherThanIt) {
  ClockTrust clock = held();
  Time stepped{}, passed{};
  int steps = 0;
  while (clock.agrees(after(passed, stepped))) {
    clock.look(after(passed, stepped));
    passed += 1min;
    stepped += 50min;
    ASSERT_LT(++steps, 3);
  }
}

TEST(ClockTrust, H19_BeforeAnythingIsJudgedTheClockMayBeSet) {
  ClockTrust clock(1h);
  clock.look({5s, 7s});  // 1970
  clock.look(start);
  EXPECT_TRUE(clock.agrees(start));
  EXPECT_EQ(clock.judged(start), start.real);
  clock.hold(start);
  EXPECT_FALSE(clock.agrees(after(1s, day)));
}

TEST(ClockTrust, H19_WhatWasBelievedBeforeHoldsForTheNextProcessOfTheSameBoot) {
  ClockTrust clock(1h);
  clock.resume(held().ahead());
  EXPECT_TRUE(clock.agrees(after(1h)));
  EXPECT_EQ(clock.judged(after(1h, 400 * day)), start.real + 1h);
}

TEST(ClockTrust, H19_AfterAnotherBootTheTimeIsNoEarlierThanItWas) {
  const Reading dead_battery{10s, 946'684'800s};  // 2000
  ClockTrust clock(1h);
  clock.resume_no_earlier(start.real, dead_battery);
  EXPECT_FALSE(clock.agrees(dead_battery));
  EXPECT_EQ(clock.judged(dead_battery), start.real);
  const Reading set{40s, start.real + 5 * day};
  EXPECT_TRUE(clock.agrees(set)) << "it may have been off for days";
  clock.look(set);
  EXPECT_FALSE(clock.agrees({50s, set.real + 10s + 3 * day})) << "from then on it is held to that";

  ClockTrust right(1h);
  right.resume_no_earlier(start.real, {10s, start.real + 400 * day});
  EXPECT_TRUE(right.agrees({10s, start.real + 400 * day}));
}

}  // namespace
}  // namespace sealcast
