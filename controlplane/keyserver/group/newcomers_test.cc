// Newcomers that wait for a later epoch (rekey_on_join), by themselves. newcomer_test.cc shows them in a group.
#include "controlplane/keyserver/group/newcomers.h"

#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

const Principal home{"home", "01"};
const SteadyTime now = SteadyTime() + 1000s;

TEST(NewcomersTest, OnlyALaterEpochIsForOneThatWasToldToComeAgain) {
  Newcomers newcomers;
  EXPECT_FALSE(newcomers.is_expected(home, 6, now));
  newcomers.told_to_come_again(home, 5, now);
  EXPECT_FALSE(newcomers.is_expected(home, 5, now)) << "that one was in use before it came";
  EXPECT_TRUE(newcomers.is_expected(home, 6, now + 59s));
  EXPECT_FALSE(newcomers.is_expected({"home", "02"}, 6, now)) << "another certificate is another member";
}

TEST(NewcomersTest, AskingAgainAndAgainChangesNothing) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, now);
  newcomers.told_to_come_again(home, 6, now + 30s);
  EXPECT_TRUE(newcomers.is_expected(home, 6, now + 30s));
  EXPECT_FALSE(newcomers.is_expected(home, 6, now + 60s)) << "from the first time on";
}

TEST(NewcomersTest, OneThatWasAdmittedOrStayedAwayForLongIsNewAgain) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, now);
  newcomers.admitted(home);
  EXPECT_FALSE(newcomers.is_expected(home, 6, now));
  newcomers.told_to_come_again(home, 5, now);
  newcomers.told_to_come_again(home, 7, now + 60s);
  EXPECT_FALSE(newcomers.is_expected(home, 7, now + 60s));
  EXPECT_TRUE(newcomers.is_expected(home, 8, now + 60s));
}

TEST(NewcomersTest, H13_TheyAreBounded) {
  Newcomers newcomers;
  newcomers.told_to_come_again(home, 5, now);
  for (int i = 0; i < 4096; ++i)
    newcomers.told_to_come_again({"n" + std::to_string(i), "01"}, 5, now);
  EXPECT_FALSE(newcomers.is_expected(home, 6, now)) << "forgotten: it is told so once more";
  EXPECT_TRUE(newcomers.is_expected({"n4095", "01"}, 6, now));
}

}  // namespace
}  // namespace sealcast::keyserver
