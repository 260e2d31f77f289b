// Packets that come before their key: parked, opened in order when it comes, never at another's cost.
#include <gtest/gtest.h>

#include "dataplane/path/parking_lot.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t prefix_base = 0x10000000;

class Slots : public ::testing::Test {
 protected:
  Slots() { path_.install_tv(); }

  // Packet number of a slot's sender; its inner packet tells which.
  static Bytes inner(std::uint32_t slot, std::uint64_t number) {
    return ipv4({}, udp(static_cast<std::uint16_t>(slot), static_cast<std::uint16_t>(number), pattern(20)));
  }
  static Bytes sealed(std::uint32_t slot, std::uint64_t number) {
    EspFields fields;
    fields.spi = prefix_base + slot;
    fields.number = number;
    return esp_frame(fields, inner(slot, number));
  }
  void give_key(std::uint32_t slot) {
    std::vector<sealcast::InboundSa> keys;
    keys.push_back({key_of(prefix_base + slot), 0});
    ASSERT_TRUE(path_.plane().add_inbound("tv", 1, std::move(keys)));
  }

  Harness path_;
};

TEST_F(Slots, DATA1_PacketsBeforeTheKeyAreOpenedInTheOrderTheyCame) {
  std::vector<Bytes> early;
  for (std::uint64_t number = 1; number <= parked_per_slot; ++number)
    early.push_back(sealed(10, number));
  for (const Outcome& outcome : path_.black(early))
    EXPECT_EQ(outcome.verdict, Verdict::park);
  EXPECT_EQ(path_.held(), parked_per_slot);
  EXPECT_TRUE(path_.unpark().empty()) << "no key yet";

  // One too many is dropped, and the frames of the slot stay in order.
  EXPECT_EQ(path_.black(sealed(10, 65)).reason, DropReason::slot_pending);
  give_key(11);
  EXPECT_TRUE(path_.unpark().empty()) << "another slot's key";
  give_key(10);
  const auto opened = path_.unpark();
  ASSERT_EQ(opened.size(), parked_per_slot);
  for (std::uint64_t number = 1; number <= parked_per_slot; ++number) {
    EXPECT_EQ(opened[number - 1].verdict, Verdict::forward);
    EXPECT_EQ(opened[number - 1].frame, ethernet(inner(10, number)));
  }
  EXPECT_EQ(path_.held(), 0U);
  EXPECT_FALSE(path_.plane().worker(0).parks());
  EXPECT_EQ(path_.black(sealed(10, 66)).verdict, Verdict::forward);
  EXPECT_EQ(path_.plane().worker(0).counters().parked.get(), parked_per_slot);
}

TEST_F(Slots, DATA2_WhatWaitsInVainIsDroppedAndSaidSo) {
  path_.black(sealed(10, 1));
  path_.advance(999ms);
  path_.black(sealed(12, 1));
  EXPECT_TRUE(path_.unpark().empty());
  path_.advance(30ms);
  const auto late = path_.unpark();
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].verdict, Verdict::drop);
  EXPECT_EQ(late[0].reason, DropReason::slot_timeout);
  EXPECT_EQ(path_.dropped(DropReason::slot_timeout), 1U);
  EXPECT_EQ(path_.held(), 1U) << "the younger one waits on";
}

TEST_F(Slots, FramesOfAnEpochThatEndsAreDroppedAtOnce) {
  path_.black(sealed(10, 1));
  ASSERT_TRUE(path_.plane().retire("tv", 1));
  const auto gone = path_.unpark();
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].reason, DropReason::unknown_spi);
}

TEST_F(Slots, H9_ASlotThatBecomesOurOwnOpensNothing) {
  path_.black(sealed(10, 1));
  std::vector<sealcast::OutboundSa> own;
  own.push_back({key_of(prefix_base + 10)});
  ASSERT_TRUE(path_.plane().replace_outbound("tv", 1, std::move(own)));
  const auto ours = path_.unpark();
  ASSERT_EQ(ours.size(), 1U);
  EXPECT_EQ(ours[0].reason, DropReason::own_spi);
}

TEST_F(Slots, DATA2_AFloodOfEverySlotOfManyEpochsLeavesANewcomersFirstPackets) {
  for (std::uint32_t n = 2; n <= 24; ++n)
    ASSERT_TRUE(
        path_.plane().install(path_.epoch("tv", n, prefix_base + (n << 16), {selector("239.1.1.0/24")}, false)));
  const Bytes inner = ipv4({}, udp(1, 2, pattern(10)));
  std::vector<Bytes> flood;
  for (std::uint32_t n = 2; n <= 24; ++n)
    for (std::uint32_t slot = 0; slot < slot_window; ++slot) {
      EspFields fields;
      fields.spi = prefix_base + (n << 16) + slot;
      flood.push_back(esp_frame(fields, inner));
    }
  ASSERT_GT(flood.size(), parked_frames) << "more slots than places";
  path_.black(flood);
  path_.black(flood);
  EXPECT_EQ(path_.held(), parked_frames);
  EXPECT_EQ(path_.black(sealed(10, 1)).reason, DropReason::slot_pending) << "the frame that made room";
  EXPECT_EQ(path_.held(), parked_frames);
  give_key(10);
  const auto opened = path_.unpark();
  ASSERT_EQ(opened.size(), 1U);
  EXPECT_EQ(opened[0].frame, ethernet(this->inner(10, 1)));
}

TEST_F(Slots, WhatIsParkedIsGivenBackAtTheEnd) {
  for (std::uint32_t slot = 10; slot < 15; ++slot)
    path_.black(sealed(slot, 1));
  std::array<Frame, 3> out;
  EXPECT_EQ(path_.plane().worker(0).give_back(out), 3U);
  EXPECT_EQ(path_.plane().worker(0).give_back(out), 2U);
  EXPECT_EQ(path_.plane().worker(0).give_back(out), 0U);
  EXPECT_FALSE(path_.plane().worker(0).parks());
}

TEST(SlotsOfWorkers, AnUnknownSlotIsParkedWhereItWillBeOpened) {
  Harness path(Harness::Options{.workers = 4});
  path.install_tv();
  EspFields fields;
  fields.spi = prefix_base + 20;
  const Bytes frame = esp_frame(fields, ipv4({}, udp(1, 2, pattern(10))));
  const std::uint32_t owner = worker_of_spi(fields.spi, 4);
  for (std::uint32_t w = 0; w < 4; ++w) {
    const Outcome outcome = path.black(std::vector<Bytes>{frame}, w)[0];
    EXPECT_EQ(outcome.verdict, w == owner ? Verdict::park : Verdict::hand_off);
    if (w != owner) {
      EXPECT_EQ(outcome.target, owner);
      EXPECT_EQ(outcome.frame, frame);
    }
  }
  EXPECT_EQ(path.plane().take_events().slots_wanted.size(), 1U) << "asked for by the owner alone";
}

}  // namespace
}  // namespace sealcast::dataplane::testing
