#include "controlplane/keyserver/connection/handshake_turns.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>

#include "base/testing/manual_loop.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

TEST(HandshakeTurns, H13_WhatIsBegunIsFinishedFirst) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  std::string order;
  turns->wait([&] { order += 'a'; }, false);
  turns->wait([&] { order += 'b'; }, false);
  turns->wait([&] { order += 'c'; }, true);
  EXPECT_EQ(order, "");  // not from inside wait()
  loop.run();
  EXPECT_EQ(order, "cab");
}

// Strangers that begin and send a byte now and then keep no newcomer out.
TEST(HandshakeTurns, H13_WhatIsBegunLeavesEveryFifthTurnToOthers) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  std::string order;
  std::function<void()> again = [&] {
    order += 'b';
    if (order.size() < 200) turns->wait(again, true);  // it always has something to say
  };
  for (int i = 0; i < 3; ++i)
    turns->wait(again, true);
  for (int i = 0; i < 3; ++i)
    turns->wait([&] { order += 'n'; }, false);
  turns->wait_further([&] { order += 'g'; });
  loop.run();
  EXPECT_EQ(order.substr(0, 21), "bbbbgbbbbnbbbbnbbbbnb");
}

// Joined members' messages are handlers of the loop like this one: they wait for a slice at most, not for the queue.
TEST(HandshakeTurns, H13_OthersAreServedBetweenTwoSlices) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  int served = 0, served_before = -1;
  for (int i = 0; i < 200; ++i)
    turns->wait(
        [&] {
          ++served;
          loop.pass(1ms);
        },
        false);
  loop.post([&] { served_before = served; });
  loop.run();
  EXPECT_EQ(served, 200);
  EXPECT_EQ(served_before, 2) << "a slice is 2 ms";
}

TEST(HandshakeTurns, H13_ACrowdOfNewcomersStopsAccepting) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  for (std::size_t i = 0; i < HandshakeTurns::most_newcomers - 1; ++i)
    turns->wait([] {}, false);
  EXPECT_FALSE(turns->crowded());
  turns->wait([] {}, true);
  EXPECT_FALSE(turns->crowded());  // what is begun doesn't count: it was accepted
  turns->wait([] {}, false);
  EXPECT_TRUE(turns->crowded());
  int room = 0;
  turns->call_when_room([&] { ++room; });
  loop.run();
  EXPECT_EQ(room, 1);
  EXPECT_FALSE(turns->crowded());
}

TEST(HandshakeTurns, H13_FurtherGroupsComeInSlicesToo) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  int served = 0, served_before = -1;
  for (int i = 0; i < 200; ++i)
    turns->wait_further([&] {
      ++served;
      loop.pass(1ms);
    });
  loop.post([&] { served_before = served; });
  loop.run();
  EXPECT_EQ(served, 200);
  EXPECT_EQ(served_before, 2) << "a slice is 2 ms";
}

// Neither of them keeps the other waiting until its time is over.
TEST(HandshakeTurns, H13_NewcomersAndFurtherGroupsTakeTurns) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  std::string order;
  for (int i = 0; i < 3; ++i)
    turns->wait_further([&] { order += 'g'; });
  for (int i = 0; i < 5; ++i)
    turns->wait([&] { order += 'n'; }, false);
  turns->wait([&] { order += 'b'; }, true);
  loop.run();
  EXPECT_EQ(order, "bgngngnnn");
}

TEST(HandshakeTurns, NobodyIsServedAfterStop) {
  sealcast::testing::ManualLoop loop;
  const auto turns = std::make_shared<HandshakeTurns>(loop);
  turns->wait([] { ADD_FAILURE() << "served after stop()"; }, false);
  turns->wait_further([] { ADD_FAILURE() << "served after stop()"; });
  turns->stop();
  loop.run();
}

}  // namespace
}  // namespace sealcast::keyserver
