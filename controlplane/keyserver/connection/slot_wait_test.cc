#include "controlplane/keyserver/connection/slot_wait.h"

#include "controlplane/keyserver/testing/session_host_fixture.h"

namespace sealcast::keyserver::testing {
namespace {

class SlotWaitTest : public SessionHostTest {
 protected:
  bool wait() {
    return slots_.wait(host_, "tv", [this] { ++woken_; });
  }
  SlotWait slots_;
  int woken_ = 0;
};

TEST_F(SlotWaitTest, NothingWaitsWhereThereAreSlots) {
  EXPECT_FALSE(wait());
  EXPECT_TRUE(host_.waiting.empty());
}

TEST_F(SlotWaitTest, ItAsksAgainUntilTheWaitWasLongEnough) {
  host_.slots = false;
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(wait()) << i;
    now_.steady += 1s;
  }
  EXPECT_FALSE(wait()) << "three seconds from the first wait on";
  ASSERT_EQ(host_.waiting.size(), 3u);
  EXPECT_EQ(host_.waiting[0].first, "tv");
  host_.waiting[0].second();
  EXPECT_EQ(woken_, 1);
}

TEST_F(SlotWaitTest, TheNextGroupHasAWaitOfItsOwn) {
  host_.slots = false;
  EXPECT_TRUE(wait());
  now_.steady += SlotWait::longest;
  EXPECT_FALSE(wait());
  slots_.restart();
  EXPECT_TRUE(wait());
}

}  // namespace
}  // namespace sealcast::keyserver::testing
