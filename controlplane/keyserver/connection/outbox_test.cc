#include "controlplane/keyserver/connection/outbox.h"

#include <gtest/gtest.h>

namespace sealcast::keyserver {
namespace {

std::string text(ByteView bytes) {
  return {bytes.begin(), bytes.end()};
}
Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(Outbox, WhatWaitsLeavesInOneWriteAfterTheOneUnderWay) {
  Outbox outbox;
  EXPECT_TRUE(outbox.push(bytes_of("ab"), 100));
  EXPECT_EQ(text(outbox.next()), "ab");
  EXPECT_TRUE(outbox.push(bytes_of("cd"), 100));
  EXPECT_TRUE(outbox.push(bytes_of("ef"), 100));
  EXPECT_TRUE(outbox.next().empty()) << "one write at a time";
  outbox.written();
  EXPECT_EQ(text(outbox.next()), "cdef");
  outbox.written();
  EXPECT_TRUE(outbox.next().empty()) << "nothing waits";
}

TEST(Outbox, H13_ItsBoundIsOnWhatWaitsBehindTheWriteUnderWay) {
  Outbox outbox;
  EXPECT_TRUE(outbox.push(Bytes(10), 10));
  EXPECT_EQ(outbox.next().size(), 10u);
  EXPECT_TRUE(outbox.push(Bytes(10), 10));
  EXPECT_FALSE(outbox.push(Bytes(1), 10));
  EXPECT_EQ(outbox.waiting(), 11u) << "for the log";
}

TEST(Outbox, ItFinishesOnceAndOnlyWhenAllIsWritten) {
  Outbox outbox;
  EXPECT_TRUE(outbox.push(bytes_of("goodbye"), 100));
  EXPECT_FALSE(outbox.finish()) << "it waits";
  outbox.next();
  EXPECT_FALSE(outbox.finish()) << "it is being written";
  outbox.written();
  EXPECT_TRUE(outbox.finish());
  EXPECT_FALSE(outbox.finish()) << "once";
}

}  // namespace
}  // namespace sealcast::keyserver
