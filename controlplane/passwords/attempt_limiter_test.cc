#include "controlplane/passwords/attempt_limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sealcast::passwords {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Guess = AttemptLimiter::Guess;
using Told = AttemptLimiter::Told;
using Verdict = AttemptLimiter::Verdict;
using Time = AttemptLimiter::Clock::time_point;

constexpr AttemptLimits test_limits{{3, milliseconds{1000}, milliseconds{8000}, 5, 8}, {5, milliseconds{100}}, 4096};
const Time start_time{hours{100}};

Secret<16> key(std::uint8_t first = 7) {
  Secret<16> k;
  k.data()[0] = first;
  return k;
}
IpAddress address(std::uint32_t last) {
  return IpAddress::v4(0x0a000000u + last);
}
// Of no user.
Guess no_user(const std::string& text, std::uint64_t tag = 1) {
  return {text, "", tag};
}
Guess a_user(const std::string& text, std::uint64_t tag = 1) {
  return {text, "0123", tag};
}

class AttemptLimiterTest : public ::testing::Test {
 protected:
  // Another address each time, so that it is the user that is limited.
  bool try_wrong(const std::string& who, Time now) {
    ++count_;
    const Guess guess = a_user(who, count_);
    if (limiter_.take(guess, address(count_), now) != Verdict::allowed) return false;
    told_ = limiter_.wrong(guess, address(count_));
    return true;
  }
  AttemptLimiter limiter_{test_limits, key()};
  std::uint32_t count_ = 0;
  Told told_ = Told::nothing;
};

TEST_F(AttemptLimiterTest, H7_AttemptsOnOneUserAreLimitedWhereverTheyComeFrom) {
  for (int i = 0; i < 3; ++i)
    EXPECT_TRUE(try_wrong("anna", start_time)) << i;
  EXPECT_FALSE(try_wrong("anna", start_time));
  EXPECT_TRUE(try_wrong("bert", start_time)) << "another user is not concerned";
}

TEST_F(AttemptLimiterTest, H7_EachFurtherWrongPasswordIsWaitedForTwiceAsLong) {
  Time now = start_time;
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(try_wrong("anna", now));
  for (const int wait : {1, 2, 4, 8}) {
    EXPECT_FALSE(try_wrong("anna", now + seconds{wait} - milliseconds{1})) << wait;
    EXPECT_FALSE(try_wrong("anna", now + seconds{wait} - milliseconds{1})) << "asking makes it no longer";
    now += seconds{wait};
    EXPECT_TRUE(try_wrong("anna", now)) << wait;
  }
  EXPECT_FALSE(try_wrong("anna", now + milliseconds{7999}));
  EXPECT_TRUE(try_wrong("anna", now + milliseconds{8000})) << "no longer than the longest";
}

TEST_F(AttemptLimiterTest, H7_AnOperatorIsToldAndAtLastTheUserIsLockedUntilUnlocked) {
  std::vector<Told> told;
  Time now = start_time;
  for (int i = 0; i < 8; ++i, now += hours{1}) {
    ASSERT_TRUE(try_wrong("anna", now)) << i;
    told.push_back(told_);
  }
  EXPECT_THAT(told, ElementsAre(Told::nothing, Told::nothing, Told::nothing, Told::nothing, Told::alarm, Told::nothing,
                                Told::nothing, Told::locked));
  EXPECT_EQ(limiter_.take(a_user("anna"), address(9999), now + hours{10'000}), Verdict::locked);
  EXPECT_THAT(limiter_.locked(), ElementsAre("anna"));
  EXPECT_FALSE(limiter_.unlock("bert"));
  EXPECT_TRUE(limiter_.unlock("anna"));
  EXPECT_THAT(limiter_.locked(), IsEmpty());
  EXPECT_TRUE(try_wrong("anna", now));
}

TEST_F(AttemptLimiterTest, H7_StrangersElsewhereLockNoUserOutOfItsOwnPlace) {
  ASSERT_EQ(limiter_.take(a_user("anna"), address(77), start_time), Verdict::allowed);
  limiter_.right(a_user("anna"), address(77));
  for (Time now = start_time; try_wrong("anna", now); now += hours{1}) {
  }
  const Time later = start_time + hours{100};
  ASSERT_EQ(limiter_.take(a_user("anna"), address(9999), later), Verdict::locked);
  EXPECT_EQ(limiter_.take(a_user("anna"), address(77), later), Verdict::allowed);
  limiter_.right(a_user("anna"), address(77));
  EXPECT_EQ(limiter_.take(a_user("anna"), address(9999), later), Verdict::locked) << "it is no proof of that place";
  for (int i = 0; i < 8; ++i) {
    const Guess guess = a_user("anna", 1000 + static_cast<std::uint64_t>(i));
    ASSERT_EQ(limiter_.take(guess, address(77), later + hours{i}), Verdict::allowed) << i;
    limiter_.wrong(guess, address(77));
  }
  EXPECT_EQ(limiter_.take(a_user("anna"), address(77), later + hours{100}), Verdict::locked) << "no more of them there";
}

// A gateway with a password of yesterday.
TEST_F(AttemptLimiterTest, H7_TheSameWrongPasswordAgainLocksNobodyOutAndIsHashedSeldom) {
  Time now = start_time;
  for (int i = 0; i < 100; ++i, now += milliseconds{1000}) {
    ASSERT_EQ(limiter_.take(a_user("anna"), address(1), now), Verdict::allowed) << i;
    EXPECT_EQ(limiter_.wrong(a_user("anna"), address(1)), Told::nothing);
    if (i == 0) continue;
    EXPECT_EQ(limiter_.take(a_user("anna"), address(2), now + milliseconds{999}), Verdict::later) << i;
  }
  EXPECT_EQ(limiter_.take(a_user("anna", 2), address(1), now), Verdict::allowed) << "and the right one is let in";
}

TEST_F(AttemptLimiterTest, H7_ANewPasswordOrARemovedUserBeginsAnew) {
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(try_wrong("anna", start_time));
  EXPECT_EQ(limiter_.take({"anna", "4567", 1}, address(8), start_time), Verdict::allowed) << "another stamp";
  limiter_.forget_unless([](const std::string&, const std::string& stamp) { return stamp == "4567"; });
  EXPECT_TRUE(try_wrong("anna", start_time)) << "it was forgotten";
}

TEST_F(AttemptLimiterTest, H7_AUTH2_ANameOfNoUserIsLimitedAlike) {
  Time now = start_time;
  const auto try_name = [&](Time at) {
    ++count_;
    if (limiter_.take(no_user("nobody", count_), address(count_), at) != Verdict::allowed) return false;
    EXPECT_EQ(limiter_.wrong(no_user("nobody", count_), address(count_)), Told::nothing) << "no operator needs to know";
    return true;
  };
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(try_name(now));
  for (const int wait : {1, 2, 4, 8}) {
    EXPECT_FALSE(try_name(now + seconds{wait} - milliseconds{1})) << wait;
    now += seconds{wait};
    EXPECT_TRUE(try_name(now)) << wait;
  }
}

TEST(AttemptLimiter, H7_AttemptsFromOneAddressAreLimitedWhoeverIsNamed) {
  AttemptLimiter limiter(test_limits, key());
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(limiter.take(no_user("user" + std::to_string(i)), address(1), start_time), Verdict::allowed) << i;
  EXPECT_EQ(limiter.take(no_user("user5"), address(1), start_time), Verdict::later);
  EXPECT_EQ(limiter.take(no_user("user5"), address(2), start_time), Verdict::allowed);
  EXPECT_EQ(limiter.take(no_user("user6"), address(1), start_time + milliseconds{99}), Verdict::later);
  EXPECT_EQ(limiter.take(no_user("user6"), address(1), start_time + milliseconds{100}), Verdict::allowed);
}

TEST(AttemptLimiter, H7_AnIpv6PeerCountsByItsNetwork) {
  AttemptLimiter limiter(test_limits, key());
  auto peer = *IpAddress::parse("2001:db8:1:2::1");
  for (int i = 0; i < 5; ++i) {
    peer.bytes[15] = static_cast<std::uint8_t>(i);
    EXPECT_EQ(limiter.take(no_user("user" + std::to_string(i)), peer, start_time), Verdict::allowed);
  }
  peer.bytes[15] = 200;
  EXPECT_EQ(limiter.take(no_user("user9"), peer, start_time), Verdict::later);
  EXPECT_EQ(limiter.take(no_user("user9"), *IpAddress::parse("2001:db8:1:3::1"), start_time), Verdict::allowed);
}

TEST(AttemptLimiter, H7_ARefusedAttemptTakesNothing) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_EQ(limiter.take(a_user("anna"), address(1), start_time), Verdict::allowed);
  for (int i = 0; i < 1000; ++i)
    ASSERT_EQ(limiter.take(a_user("anna"), address(1), start_time), Verdict::later);
  EXPECT_EQ(limiter.take(a_user("bert"), address(1), start_time), Verdict::allowed) << "the address had two left";
}

TEST(AttemptLimiter, H7_ARightPasswordCountsNotButEarlierFailuresOfItsAddressDo) {
  AttemptLimiter limiter(test_limits, key());
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(limiter.take(a_user("anna"), address(1), start_time), Verdict::allowed) << i;
    limiter.right(a_user("anna"), address(1));
  }
  for (int i = 0; i < 2; ++i)
    ASSERT_EQ(limiter.take(a_user("victim"), address(1), start_time), Verdict::allowed);
  ASSERT_EQ(limiter.take(a_user("anna"), address(1), start_time), Verdict::allowed);
  limiter.right(a_user("anna"), address(1));
  ASSERT_EQ(limiter.take(a_user("victim"), address(1), start_time), Verdict::allowed);
  EXPECT_EQ(limiter.take(a_user("victim"), address(1), start_time), Verdict::later)
      << "a success of anna's forgives no other user's failures";
}

TEST(AttemptLimiter, H7_AnAttemptThatWasNeverCheckedCountsAgainstNoUser) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 50; ++i) {
    ASSERT_EQ(limiter.take(a_user("anna"), address(i), start_time), Verdict::allowed) << i;
    limiter.unchecked(a_user("anna"), address(i));
  }
}

TEST(AttemptLimiter, H13_NoFloodOfNamesForgetsAFailureOrCostsMemory) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_EQ(limiter.take(a_user("anna"), address(i), start_time), Verdict::allowed);
  for (std::uint32_t i = 0; i < 100'000; ++i)
    limiter.take(no_user("flood" + std::to_string(i)), address(1000 + i), start_time);
  EXPECT_EQ(limiter.take(a_user("anna"), address(0xf0000), start_time), Verdict::later);
  EXPECT_EQ(limiter.take(a_user("bert"), address(0xf0001), start_time), Verdict::allowed)
      << "a user shares its count with no name";
}

TEST(AttemptLimiter, H13_WhoSharesACellDependsOnTheKey) {
  // One cell of two: with some key, "bert" falls beside "anna"; with another he does not.
  const AttemptLimits two{{1, milliseconds{1000}}, {1000, milliseconds{1}}, 2};
  bool together = false;
  bool apart = false;
  for (std::uint8_t k = 0; k < 64; ++k) {
    AttemptLimiter limiter(two, key(k));
    ASSERT_EQ(limiter.take(no_user("anna"), address(1), start_time), Verdict::allowed);
    (limiter.take(no_user("bert"), address(2), start_time) == Verdict::allowed ? apart : together) = true;
  }
  EXPECT_TRUE(together && apart);
}

TEST(AttemptLimiter, H7_ATimeThatGoesBackGivesNothing) {
  AttemptLimiter limiter(test_limits, key());
  for (std::uint32_t i = 0; i < 3; ++i)
    ASSERT_EQ(limiter.take(a_user("anna"), address(i), start_time), Verdict::allowed);
  EXPECT_EQ(limiter.take(a_user("anna"), address(9), start_time - hours{50}), Verdict::later);
  EXPECT_EQ(limiter.take(a_user("anna"), address(9), start_time + milliseconds{1000}), Verdict::allowed);
}

TEST(AttemptLimiter, H7_H14_ATagIsOfThePasswordAndOfThisProcessAlone) {
  const auto secret = [](const std::string& text) {
    SecretBytes out(text.size());
    std::copy(text.begin(), text.end(), out.data());
    return out;
  };
  AttemptLimiter one(test_limits, key(1)), other(test_limits, key(2));
  EXPECT_EQ(one.tag_of(secret("horse")), one.tag_of(secret("horse")));
  EXPECT_NE(one.tag_of(secret("horse")), one.tag_of(secret("house")));
  EXPECT_NE(one.tag_of(secret("horse")), other.tag_of(secret("horse")));
}

}  // namespace
}  // namespace sealcast::passwords
