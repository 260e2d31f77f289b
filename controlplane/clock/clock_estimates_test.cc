// What a member knows of a key server's clock (H17, H19): true whatever happens to answers on their way.
#include "controlplane/clock/clock_estimates.h"

#include <gtest/gtest.h>

#include <random>

namespace sealcast::clock {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using Outcome = ClockEstimates::Outcome;

constexpr std::uint64_t clock_id = 7;
constexpr std::chrono::seconds lease = 60s;

// A key server whose clock runs `drift` parts per million fast, against ours.
struct KeyServer {
  double drift = 0;
  SteadyTime start{1000s};
  milliseconds at_start{5'000'000};

  nanoseconds at(SteadyTime ours) const {
    const auto passed = std::chrono::duration<double>(ours - start) * (1 + drift * 1e-6);
    return at_start + std::chrono::duration_cast<nanoseconds>(passed);
  }
  handshake::ClockReading read(SteadyTime ours, std::uint32_t error_ms = 1) const {
    return {clock_id, static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(at(ours)).count()), error_ms};
  }
};

// How far the estimated zero is from the true one, against the bound that comes with it.
void expect_true(const ClockEstimates& estimates, const KeyServer& server, SteadyTime now) {
  const handshake::EpochZero zero{clock_id, static_cast<std::uint64_t>(server.at_start.count()) - 60'000};
  const auto clock = estimates.of(zero, now, lease);
  ASSERT_TRUE(clock);
  const nanoseconds time = now - clock->zero, truth = server.at(now) - milliseconds(zero.at_ms);
  EXPECT_LE(std::chrono::abs(time - truth), clock->error + 1ms);
  EXPECT_GE(clock->worst_error, clock->error + 11ms) << "a lease of drift";
}

TEST(ClockEstimates, NothingIsKnownBeforeTheFirstAnswer) {
  ClockEstimates estimates;
  EXPECT_FALSE(estimates.of({clock_id, 0}, SteadyTime(5s), lease));
  EXPECT_EQ(estimates.measured({}, SteadyTime(1s), SteadyTime(2s)), Outcome::no_clock);
  EXPECT_EQ(estimates.measured({clock_id, ~0ULL, 0}, SteadyTime(1s), SteadyTime(2s)), Outcome::no_clock);
  EXPECT_FALSE(estimates.of({clock_id, 0}, SteadyTime(5s), lease));
  EXPECT_EQ(estimates.measured({clock_id, 90'000, 1}, SteadyTime(1s), SteadyTime(2s)), Outcome::taken);
  EXPECT_TRUE(estimates.of({clock_id, 0}, SteadyTime(5s), lease));
  EXPECT_FALSE(estimates.of({clock_id + 1, 0}, SteadyTime(5s), lease)) << "another clock";
  EXPECT_FALSE(estimates.of({0, 0}, SteadyTime(5s), lease)) << "an epoch without times";
  EXPECT_FALSE(estimates.of({clock_id, 100'000}, SteadyTime(5s), lease)) << "it has not begun";
  EXPECT_FALSE(estimates.of({clock_id, ~0ULL}, SteadyTime(5s), lease));
}

// H17: whatever is held back, the truth stays inside; and good answers make the interval narrow.
TEST(ClockEstimates, H17_AnswersHeldBackByUpToTenSecondsNeverMakeItWrong) {
  std::mt19937 random(5);
  for (const double drift : {-100.0, 0.0, 100.0}) {
    ClockEstimates estimates;
    const KeyServer server{drift};
    SteadyTime now = server.start;
    for (int i = 0; i < 3000; ++i) {
      now += milliseconds(random() % 20'000);
      const SteadyTime asked = now;
      now += i % 3 == 0 ? milliseconds(random() % 10'000) : milliseconds(random() % 20);
      const auto reading = server.read(now);
      now += i % 5 == 0 ? milliseconds(random() % 10'000) : milliseconds(random() % 20);
      ASSERT_EQ(estimates.measured(reading, asked, now), Outcome::taken);
      ASSERT_NO_FATAL_FAILURE(expect_true(estimates, server, now + milliseconds(random() % 60'000)));
    }
    EXPECT_LT(estimates.of({clock_id, 0}, now, lease)->error, 60ms);
  }
}

// The error grows while no key server answers, by 200 ppm: 17 s a day.
TEST(ClockEstimates, H19_WithoutAnswersTheErrorGrows) {
  ClockEstimates estimates;
  const KeyServer server{150};
  const SteadyTime now = server.start + 10s;
  ASSERT_EQ(estimates.measured(server.read(now - 1ms), now - 2ms, now), Outcome::taken);
  EXPECT_LE(estimates.of({clock_id, 0}, now, lease)->error, 3ms);
  for (const auto later : {1min, 60min, 60 * 24min}) {
    const auto clock = estimates.of({clock_id, 0}, now + later, lease);
    ASSERT_TRUE(clock);
    const milliseconds drift = drift_over(later) / 1ms * 1ms;
    EXPECT_GE(clock->error, drift);
    EXPECT_LE(clock->error, drift + 3ms);
    expect_true(estimates, server, now + later);
  }
}

TEST(ClockEstimates, AnAnswerThatContradictsIsLeftOutUntilTheThird) {
  ClockEstimates estimates;
  KeyServer server;
  SteadyTime now = server.start;
  const auto answer = [&](milliseconds off) {
    now += 10s;
    auto reading = server.read(now);
    reading.now_ms += static_cast<std::uint64_t>(off.count());
    return estimates.measured(reading, now - 5ms, now + 5ms);
  };
  ASSERT_EQ(answer(0ms), Outcome::taken);
  EXPECT_EQ(answer(900ms), Outcome::contradicts);
  ASSERT_NO_FATAL_FAILURE(expect_true(estimates, server, now));
  EXPECT_EQ(answer(0ms), Outcome::taken) << "and the count begins anew";
  EXPECT_EQ(answer(10s), Outcome::contradicts);
  EXPECT_EQ(answer(10s), Outcome::contradicts);
  ASSERT_NO_FATAL_FAILURE(expect_true(estimates, server, now));
  EXPECT_EQ(answer(10s), Outcome::begun_anew) << "this machine slept, or the key server's did";
  server.at_start += 10s;
  ASSERT_NO_FATAL_FAILURE(expect_true(estimates, server, now));
}

// An epoch keeps the clock on which it began, whatever clock the key server has now.
TEST(ClockEstimates, ClocksOfBeforeRunOn) {
  ClockEstimates estimates;
  const SteadyTime now(100s);
  for (std::uint64_t id = 1; id <= 5; ++id)
    ASSERT_EQ(estimates.measured({id, 1000 * id, 1}, now + milliseconds(id), now + milliseconds(id + 1)),
              Outcome::taken);
  EXPECT_FALSE(estimates.of({1, 0}, now + 1s, lease)) << "the oldest of more than four";
  for (std::uint64_t id = 2; id <= 5; ++id) {
    const auto clock = estimates.of({id, 0}, now + 1s, lease);
    ASSERT_TRUE(clock);
    EXPECT_NEAR(static_cast<double>(std::chrono::duration_cast<milliseconds>(now + 1s - clock->zero).count()),
                static_cast<double>(1000 * id + 1000), 10);
  }
}

}  // namespace
}  // namespace sealcast::clock
