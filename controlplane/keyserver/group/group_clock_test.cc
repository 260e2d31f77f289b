// The group clock goes on over restarts of the process, and is another one after those of the machine (H17).
#include "controlplane/keyserver/group/group_clock.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "base/read_clock.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;

class GroupClockTest : public ::testing::Test {
 protected:
  GroupClockTest() {
    char name[] = "/tmp/sealcast-clock-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~GroupClockTest() override { std::filesystem::remove_all(folder_); }

  // One process on the state file.
  void process(const std::string& boot_id, const std::function<void(GroupClock&)>& run) {
    auto store = store::open_sqlite(folder_ + "/ks.db", "ks", 1'800'000'000);
    ASSERT_TRUE(store) << store.error().message;
    auto clock = GroupClock::open([this] { return booted_; }, boot_id, **store, handshake::system_random());
    ASSERT_TRUE(clock) << clock.error().message;
    run(*clock);
  }

  std::string folder_;
  std::chrono::nanoseconds booted_ = 1000s;
};

TEST_F(GroupClockTest, H17_ARestartOfTheProcessDoesNotStepIt) {
  handshake::ClockReading before;
  process("boot-a", [&](GroupClock& clock) {
    before = clock.read();
    booted_ += 5s;
    EXPECT_EQ(clock.read().now_ms, before.now_ms + 5000);
    EXPECT_EQ(clock.read().clock_id, before.clock_id);
    EXPECT_EQ(clock.zero().clock_id, before.clock_id);
    EXPECT_EQ(clock.zero().at_ms, clock.read().now_ms - 60'000) << "so that no time is ever negative";
  });
  booted_ += 2s;
  process("boot-a", [&](GroupClock& clock) {
    EXPECT_EQ(clock.read().clock_id, before.clock_id);
    EXPECT_EQ(clock.read().now_ms, before.now_ms + 7000);
  });
}

TEST_F(GroupClockTest, H17_ARestartOfTheMachineMakesAnother) {
  std::uint64_t id = 0;
  process("boot-a", [&](GroupClock& clock) { id = clock.read().clock_id; });
  EXPECT_NE(id, 0U);
  booted_ = 3s;
  process("boot-b", [&](GroupClock& clock) {
    EXPECT_NE(clock.read().clock_id, id);
    EXPECT_NE(clock.read().clock_id, 0U);
    EXPECT_GE(clock.read().now_ms, 60'000U) << "room for an epoch's zero";
    id = clock.read().clock_id;
  });
  process("boot-b", [&](GroupClock& clock) { EXPECT_EQ(clock.read().clock_id, id); });
}

TEST_F(GroupClockTest, AMachineThatWasResumedHasAnother) {
  std::uint64_t renewed = 0;
  process("boot-a", [&](GroupClock& clock) {
    const std::uint64_t id = clock.read().clock_id;
    ASSERT_TRUE(clock.renew());
    renewed = clock.read().clock_id;
    EXPECT_NE(renewed, id);
  });
  process("boot-a", [&](GroupClock& clock) { EXPECT_EQ(clock.read().clock_id, renewed); });
}

TEST(GroupClockOfThisMachine, HasABootIdAndATimeThatRises) {
  const auto id = boot_id();
  ASSERT_TRUE(id) << id.error().message;
  EXPECT_EQ(id->size(), 36U);
  EXPECT_EQ(*boot_id(), *id);
  const auto first = read_clock(CLOCK_BOOTTIME);
  EXPECT_GT(first.count(), 0);
  EXPECT_GE(read_clock(CLOCK_BOOTTIME), first);
}

}  // namespace
}  // namespace sealcast::keyserver
