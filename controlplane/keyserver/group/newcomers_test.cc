// Newcomers that wait for a later epoch (rekey_on_join), by themselves. newcomer_test.cc shows them in a group.
#include "controlplane/keyserver/group/newcomers.h"

#include <gtest/gtest.h>

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
  newcomers.admitted(home);
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

}  // namespace
}  // namespace sealcast::keyserver
