#include "controlplane/keyserver/connection/handshake_turns.h"

#include <gtest/gtest.h>

#include <asio/post.hpp>
#include <chrono>
#include <string>
#include <thread>

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

TEST(HandshakeTurns, H13_WhatIsBegunIsFinishedFirst) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  std::string order;
  turns->wait([&] { order += 'a'; }, false);
  turns->wait([&] { order += 'b'; }, false);
  turns->wait([&] { order += 'c'; }, true);
  EXPECT_EQ(order, "");  // not from inside wait()
  io.run();
  EXPECT_EQ(order, "cab");
}

// Joined members' messages are handlers of the loop like this one: they wait for a slice at most, not for the queue.
TEST(HandshakeTurns, H13_OthersAreServedBetweenTwoSlices) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  int served = 0, served_before = -1;
  for (int i = 0; i < 200; ++i)
    turns->wait(
        [&] {
          ++served;
          std::this_thread::sleep_for(1ms);
        },
        false);
  asio::post(io, [&] { served_before = served; });
  io.run();
  EXPECT_EQ(served, 200);
  EXPECT_GE(served_before, 0);
  EXPECT_LT(served_before, 20);
}

TEST(HandshakeTurns, H13_ACrowdOfNewcomersStopsAccepting) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  for (std::size_t i = 0; i < HandshakeTurns::most_newcomers - 1; ++i)
    turns->wait([] {}, false);
  EXPECT_FALSE(turns->crowded());
  turns->wait([] {}, true);
  EXPECT_FALSE(turns->crowded());  // what is begun doesn't count: it was accepted
  turns->wait([] {}, false);
  EXPECT_TRUE(turns->crowded());
  int room = 0;
  turns->call_when_room([&] { ++room; });
  io.run();
  EXPECT_EQ(room, 1);
  EXPECT_FALSE(turns->crowded());
}

TEST(HandshakeTurns, H13_FurtherGroupsComeInSlicesToo) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  int served = 0, served_before = -1;
  for (int i = 0; i < 200; ++i)
    turns->wait_further([&] {
      ++served;
      std::this_thread::sleep_for(1ms);
    });
  asio::post(io, [&] { served_before = served; });
  io.run();
  EXPECT_EQ(served, 200);
  EXPECT_GE(served_before, 0);
  EXPECT_LT(served_before, 20);
}

// Neither of them keeps the other waiting until its time is over.
TEST(HandshakeTurns, H13_NewcomersAndFurtherGroupsTakeTurns) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  std::string order;
  for (int i = 0; i < 3; ++i)
    turns->wait_further([&] { order += 'g'; });
  for (int i = 0; i < 5; ++i)
    turns->wait([&] { order += 'n'; }, false);
  turns->wait([&] { order += 'b'; }, true);
  io.run();
  EXPECT_EQ(order, "bgngngnnn");
}

TEST(HandshakeTurns, NobodyIsServedAfterStop) {
  asio::io_context io;
  const auto turns = std::make_shared<HandshakeTurns>(io);
  turns->wait([] { ADD_FAILURE() << "served after stop()"; }, false);
  turns->wait_further([] { ADD_FAILURE() << "served after stop()"; });
  turns->stop();
  io.run();
}

}  // namespace
}  // namespace sealcast::keyserver
