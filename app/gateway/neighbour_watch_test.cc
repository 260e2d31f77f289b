#include "app/gateway/neighbour_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::gateway {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

RedSegmentStatistics beside(const std::string& state, const std::string& others_state, bool ignored = false) {
  return {
      .state = state, .neighbours = {{"north", "hq", "02:00:00:00:00:01", others_state, ignored}}, .last_moved = {}};
}

TEST(NeighbourWatch, SaysNothingOfAGatewayThatIsAlone) {
  NeighbourWatch watch;
  for (const char* state : {"listens", "works", "works"})
    EXPECT_THAT(watch.look({.state = state, .neighbours = {}, .last_moved = {}}), IsEmpty());
  EXPECT_THAT(watch.look(beside("works", "works", true)), IsEmpty()) << "an ignored one";
}

TEST(NeighbourWatch, AlarmsOnEveryChangeAndEachMinuteWhileItLasts) {
  NeighbourWatch watch;
  const auto first = watch.look(beside("stands by", "works"));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_TRUE(first[0].alarm);
  EXPECT_THAT(first[0].text, AllOf(HasSubstr("north (site hq, 02:00:00:00:00:01) works"),
                                   HasSubstr("this one stands by"), HasSubstr("ignore_neighbours")));
  for (unsigned i = 1; i < NeighbourWatch::repeat_looks; ++i)
    EXPECT_THAT(watch.look(beside("stands by", "works")), IsEmpty()) << i;
  EXPECT_EQ(watch.look(beside("stands by", "works")).size(), 1U);
  EXPECT_EQ(watch.look(beside("works", "stands by")).size(), 1U);
  const auto over = watch.look({.state = "works", .neighbours = {}, .last_moved = {}});
  ASSERT_EQ(over.size(), 1U);
  EXPECT_FALSE(over[0].alarm);
  EXPECT_THAT(watch.look({.state = "works", .neighbours = {}, .last_moved = {}}), IsEmpty());
}

}  // namespace
}  // namespace sealcast::gateway
