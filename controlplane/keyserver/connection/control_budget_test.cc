#include "controlplane/keyserver/connection/control_budget.h"

#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

constexpr SteadyTime budget_start{1000s};

int messages_at_once(ControlBudget& budget, std::size_t further_groups, SteadyTime now) {
  int count = 0;
  while (count < 10'000 && budget.spend(further_groups, now))
    ++count;
  return count;
}

TEST(ControlBudget, H13_ABurstIsAllowedAndFiftyASecondAfterIt) {
  ControlBudget budget(2s);
  EXPECT_EQ(messages_at_once(budget, 0, budget_start), 100);
  ControlBudget steady(2s);
  SteadyTime now = budget_start;
  EXPECT_EQ(messages_at_once(steady, 0, now), 100);
  now += 40ms;  // one that was too many has used up 20 ms of it
  EXPECT_TRUE(steady.spend(0, now));
  EXPECT_FALSE(steady.spend(0, now));
}

TEST(ControlBudget, H13_MessagesAtTheSteadyRateAreNeverTooMany) {
  ControlBudget budget(40ms);
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(budget.spend(0, budget_start + i * 20ms)) << i;
  EXPECT_TRUE(budget.spend(0, budget_start + 1000 * 20ms)) << "what is not used in a long time does not add up";
  EXPECT_EQ(messages_at_once(budget, 0, budget_start + 1h), 2);
}

TEST(ControlBudget, H13_FurtherGroupsAddToTheBurstAndToTheRate) {
  ControlBudget budget(2s);
  EXPECT_EQ(messages_at_once(budget, 10, budget_start), 160) << "six more for each";
  ControlBudget twice(20ms);
  for (int i = 0; i < 1000; ++i)
    ASSERT_TRUE(twice.spend(100, budget_start + i * 10ms)) << "a hundred further groups: twice as many a second";
}

}  // namespace
}  // namespace sealcast::keyserver
