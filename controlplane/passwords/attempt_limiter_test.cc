#include "controlplane/passwords/attempt_limiter.h"

#include <gtest/gtest.h>

#include <string>

namespace sealcast::passwords {
namespace {

using std::chrono::milliseconds;
using Time = AttemptLimiter::Clock::time_point;

constexpr AttemptLimits test_limits{{3, milliseconds{1000}}, {5, milliseconds{100}}, 4096};
const Time start_time{std::chrono::hours{100}};

Secret<16> key(std::uint8_t first = 7) {
  Secret<16> k;
  k.data()[0] = first;
  return k;
}
IpAddress address(std::uint32_t last) {
  return IpAddress::v4(0x0a000000u + last);
}

TEST(AttemptLimiter, H7_AttemptsOnOneUserAreLimitedWhereverTheyComeFrom) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    EXPECT_TRUE(limiter.take("anna", address(i), start_time).allowed) << i;
  const auto refused = limiter.take("anna", address(3), start_time);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, milliseconds{1000});
  EXPECT_TRUE(limiter.take("bert", address(4), start_time).allowed) << "another user is not concerned";
}

TEST(AttemptLimiter, H7_AttemptsFromOneAddressAreLimitedWhoeverIsNamed) {
  AttemptLimiter limiter(test_limits, key());
  for (int i = 0; i < 5; ++i)
    EXPECT_TRUE(limiter.take("user" + std::to_string(i), address(1), start_time).allowed) << i;
  const auto refused = limiter.take("user5", address(1), start_time);
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, milliseconds{100});
  EXPECT_TRUE(limiter.take("user5", address(2), start_time).allowed);
}

TEST(AttemptLimiter, H7_AnIpv6PeerCountsByItsNetwork) {
  AttemptLimiter limiter(test_limits, key());
  auto peer = *IpAddress::parse("2001:db8:1:2::1");
  for (int i = 0; i < 5; ++i) {
    peer.bytes[15] = static_cast<std::uint8_t>(i);
    EXPECT_TRUE(limiter.take("user" + std::to_string(i), peer, start_time).allowed);
  }
  peer.bytes[15] = 200;
  EXPECT_FALSE(limiter.take("user9", peer, start_time).allowed);
  EXPECT_TRUE(limiter.take("user9", *IpAddress::parse("2001:db8:1:3::1"), start_time).allowed);
}

TEST(AttemptLimiter, H7_TheAllowanceComesBackOnePerIntervalAndNeverBeyondTheBurst) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_TRUE(limiter.take("anna", address(i), start_time).allowed);
  EXPECT_FALSE(limiter.take("anna", address(9), start_time + milliseconds{999}).allowed);
  EXPECT_TRUE(limiter.take("anna", address(9), start_time + milliseconds{1000}).allowed);
  EXPECT_FALSE(limiter.take("anna", address(9), start_time + milliseconds{1001}).allowed);
  const Time later = start_time + std::chrono::hours{1000};
  for (std::uint32_t i = 0; i < 3; ++i)
    EXPECT_TRUE(limiter.take("anna", address(20 + i), later).allowed);
  EXPECT_FALSE(limiter.take("anna", address(30), later).allowed) << "an idle time saves up no more than the burst";
}

TEST(AttemptLimiter, H7_ARefusedAttemptTakesNothing) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_TRUE(limiter.take("anna", address(1), start_time).allowed);
  for (int i = 0; i < 1000; ++i)
    ASSERT_FALSE(limiter.take("anna", address(1), start_time).allowed);
  EXPECT_TRUE(limiter.take("bert", address(1), start_time).allowed) << "the address had two left";
  EXPECT_TRUE(limiter.take("anna", address(2), start_time + milliseconds{1000}).allowed) << "the wait did not grow";
}

TEST(AttemptLimiter, H7_ARightPasswordCountsNotButEarlierFailuresDo) {
  AttemptLimiter limiter(test_limits, key());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(limiter.take("anna", address(1), start_time).allowed) << i;
    limiter.give_back("anna", address(1));
  }
  ASSERT_TRUE(limiter.take("victim", address(1), start_time).allowed);
  ASSERT_TRUE(limiter.take("victim", address(1), start_time).allowed);
  ASSERT_TRUE(limiter.take("anna", address(1), start_time).allowed);
  limiter.give_back("anna", address(1));
  ASSERT_TRUE(limiter.take("victim", address(1), start_time).allowed);
  EXPECT_FALSE(limiter.take("victim", address(1), start_time).allowed)
      << "a success of anna's forgives no other user's failures";
}

TEST(AttemptLimiter, H13_NoFloodOfNamesForgetsAFailureOrCostsMemory) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_TRUE(limiter.take("anna", address(i), start_time).allowed);
  for (std::uint32_t i = 0; i < 100'000; ++i)
    limiter.take("flood" + std::to_string(i), address(1000 + i), start_time);
  EXPECT_FALSE(limiter.take("anna", address(0xf0000), start_time).allowed);
}

TEST(AttemptLimiter, H13_WhoSharesACellDependsOnTheKey) {
  // One cell of two: with some key, "bert" falls beside "anna"; with another he does not.
  const AttemptLimits two{{1, milliseconds{1000}}, {1000, milliseconds{1}}, 2};
  bool together = false;
  bool apart = false;
  for (std::uint8_t k = 0; k < 64; ++k) {
    AttemptLimiter limiter(two, key(k));
    ASSERT_TRUE(limiter.take("anna", address(1), start_time).allowed);
    (limiter.take("bert", address(2), start_time).allowed ? apart : together) = true;
  }
  EXPECT_TRUE(together && apart);
}

TEST(AttemptLimiter, H7_ATimeThatGoesBackGivesNothing) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_TRUE(limiter.take("anna", address(i), start_time).allowed);
  const auto refused = limiter.take("anna", address(9), start_time - std::chrono::hours{50});
  EXPECT_FALSE(refused.allowed);
  EXPECT_EQ(refused.retry_after, milliseconds{1000});
}

}  // namespace
}  // namespace sealcast::passwords
