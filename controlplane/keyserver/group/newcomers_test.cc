// Newcomers that wait for a later epoch (rekey_on_join), and how often members may come, by themselves.
// newcomer_test.cc shows them in a group.
#include "controlplane/keyserver/group/newcomers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/keyserver/group/member_warnings.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

const Principal home{"home", "01"};
const SteadyTime at_start = SteadyTime() + 1000s;

TEST(NewcomersTest, OnlyALaterEpochIsForOneThatWasToldToComeAgain) {
  Newcomers newcomers;
  EXPECT_FALSE(newcomers.is_expected(home, 6, at_start));
  newcomers.told_to_come_again(home, 5, at_start);
  EXPECT_FALSE(newcomers.is_expected(home, 5, at_start)) << "that one was in use before it came";
  EXPECT_TRUE(newcomers.is_expected(home, 6, at_start + 59s));
  EXPECT_FALSE(newcomers.is_expected({"home", "02"}, 6, at_start)) << "another certificate is another member";
}

TEST(NewcomersTest, AskingAgainAndAgainChangesNothing) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, at_start);
  newcomers.told_to_come_again(home, 6, at_start + 30s);
  EXPECT_TRUE(newcomers.is_expected(home, 6, at_start + 30s));
  EXPECT_FALSE(newcomers.is_expected(home, 6, at_start + 60s)) << "from the first time on";
}

TEST(NewcomersTest, OneThatWasAdmittedOrStayedAwayForLongIsNewAgain) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, at_start);
  newcomers.admitted(home, 10, at_start);
  EXPECT_FALSE(newcomers.is_expected(home, 6, at_start));
  newcomers.told_to_come_again(home, 5, at_start);
  newcomers.told_to_come_again(home, 7, at_start + 60s);
  EXPECT_FALSE(newcomers.is_expected(home, 7, at_start + 60s));
  EXPECT_TRUE(newcomers.is_expected(home, 8, at_start + 60s));
}

TEST(NewcomersTest, H13_TheyAreBounded) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, at_start);
  for (int i = 0; i < 4096; ++i)
    newcomers.told_to_come_again({"n" + std::to_string(i), "01"}, 5, at_start);
  EXPECT_FALSE(newcomers.is_expected(home, 6, at_start)) << "forgotten: it is told so once more";
  EXPECT_TRUE(newcomers.is_expected({"n4095", "01"}, 6, at_start));
}

TEST(JoinLimit, H13_H27_AMemberJoinsThirtyTimesAtOnceThenTenTimesAMinute) {
  JoinLimit limit;
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(limit.may_join("home", 10, at_start)) << i;
    limit.took_place("home", 10, at_start);
  }
  const auto refused = limit.may_join("home", 10, at_start);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("again in 6 s"));
  EXPECT_TRUE(limit.may_join("studio", 10, at_start)) << "another member is not concerned";
  for (int i = 0; i < 100; ++i)
    EXPECT_FALSE(limit.may_join("home", 10, at_start + 5s)) << "asking does not make it longer";
  EXPECT_TRUE(limit.may_join("home", 10, at_start + 6s));
  limit.took_place("home", 10, at_start + 6s);
  EXPECT_FALSE(limit.may_join("home", 10, at_start + 7s));
  int joined = 0;
  for (int i = 0; i < 30; ++i) {
    if (!limit.may_join("home", 10, at_start + 1h)) break;
    limit.took_place("home", 10, at_start + 1h);
    ++joined;
  }
  EXPECT_EQ(joined, 30) << "an hour saves up no more";
  EXPECT_FALSE(limit.may_join("home", 10, at_start + 1h));
}

TEST(Duplicates, H13_ThreeReplacementsInAMinuteAreToldOnce) {
  Duplicates duplicates;
  EXPECT_FALSE(duplicates.replaced("home", at_start));
  EXPECT_FALSE(duplicates.replaced("studio", at_start));
  EXPECT_FALSE(duplicates.replaced("home", at_start + 1s));
  EXPECT_TRUE(duplicates.replaced("home", at_start + 2s));
  for (int i = 0; i < 30; ++i)
    EXPECT_FALSE(duplicates.replaced("home", at_start + 3s)) << "told already";
  EXPECT_FALSE(duplicates.replaced("home", at_start + 61s));
  EXPECT_FALSE(duplicates.replaced("home", at_start + 62s));
  EXPECT_TRUE(duplicates.replaced("home", at_start + 63s)) << "still so a minute later";
  // One replacement a minute is a network that changes.
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(duplicates.replaced("roams", at_start + 2h + i * 60s));
}

}  // namespace
}  // namespace sealcast::keyserver
