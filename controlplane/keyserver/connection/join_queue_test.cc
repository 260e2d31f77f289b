#include "controlplane/keyserver/connection/join_queue.h"

#include "controlplane/keyserver/testing/session_host_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

using Asked = JoinQueue::Asked;

class JoinQueueTest : public SessionHostTest {
 protected:
  JoinQueue queue_;
};

TEST_F(JoinQueueTest, H13_OneTurnAtATimeTheOldestGroupFirst) {
  EXPECT_FALSE(queue_.begin_turn()) << "nothing waits";
  EXPECT_EQ(queue_.ask("a"), Asked::waits);
  EXPECT_TRUE(queue_.begin_turn());
  EXPECT_EQ(queue_.ask("b"), Asked::waits);
  EXPECT_FALSE(queue_.begin_turn()) << "a turn is on its way";
  EXPECT_EQ(queue_.take(), "a");
  EXPECT_TRUE(queue_.begin_turn());
  EXPECT_EQ(queue_.take(), "b");
  EXPECT_FALSE(queue_.begin_turn());
}

TEST_F(JoinQueueTest, H13_AGroupIsAskedForOnceAndNotTooManyWait) {
  for (std::size_t i = 0; i < JoinQueue::most_waiting; ++i)
    EXPECT_EQ(queue_.ask("g" + std::to_string(i)), Asked::waits);
  EXPECT_EQ(queue_.ask("g7"), Asked::twice);
  EXPECT_EQ(queue_.ask("one more"), Asked::too_many);
  EXPECT_TRUE(queue_.begin_turn());
  EXPECT_EQ(queue_.take(), "g0");
  EXPECT_EQ(queue_.ask("g0"), Asked::waits) << "its turn is over";
}

TEST_F(JoinQueueTest, AGroupThatIsLeftBeforeItsTurnHasNone) {
  EXPECT_FALSE(queue_.used());
  queue_.ask("a");
  queue_.ask("b");
  EXPECT_TRUE(queue_.begin_turn());
  EXPECT_TRUE(queue_.withdraw("a"));
  EXPECT_FALSE(queue_.withdraw("a"));
  EXPECT_EQ(queue_.take(), "b") << "the turn is the next one's";
  queue_.ask("c");
  EXPECT_TRUE(queue_.begin_turn());
  queue_.clear();
  EXPECT_EQ(queue_.take(), std::nullopt);
  EXPECT_TRUE(queue_.used());
}

TEST_F(JoinQueueTest, EachTurnWaitsForSlotsOfItsOwnGroup) {
  EXPECT_FALSE(queue_.wait_for_slots(host_, [] {})) << "for no group";
  host_.slots = false;
  queue_.ask("a");
  queue_.ask("b");
  ASSERT_TRUE(queue_.begin_turn());
  EXPECT_TRUE(queue_.wait_for_slots(host_, [] {}));
  now_.steady += SlotWait::longest;
  EXPECT_FALSE(queue_.wait_for_slots(host_, [] {})) << "long enough";
  EXPECT_EQ(queue_.take(), "a");
  ASSERT_TRUE(queue_.begin_turn());
  EXPECT_TRUE(queue_.wait_for_slots(host_, [] {}));
  ASSERT_EQ(host_.waiting.size(), 2u);
  EXPECT_EQ(host_.waiting[1].first, "b");
}

}  // namespace
}  // namespace sealcast::keyserver::testing
