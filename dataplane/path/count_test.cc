// What is charged to which SA and group: drops and estimates, across epochs, and that the sums agree.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const GroupStatistics& group(const DataPlaneStatistics& all, const std::string& id) {
  for (const GroupStatistics& entry : all.groups)
    if (entry.group_id == id) return entry;
  static const GroupStatistics none;
  ADD_FAILURE() << "no group " << id;
  return none;
}

std::uint64_t dropped_for(const std::vector<DropCount>& drops, DropReason reason) {
  for (const DropCount& drop : drops)
    if (drop.reason == name(reason)) return drop.packets;
  return 0;
}

TEST(Counts, NoSaAndClearOnBlackAreTheGroups) {
  Harness plane;
  ASSERT_TRUE(plane.plane().protect("radio", {{selector("239.2.2.0/24")}}));
  plane.install_tv();
  Ipv4Fields radio;
  radio.destination = "239.2.2.2";
  EXPECT_EQ(plane.red(udp_frame(100, radio)).reason, DropReason::no_sa);
  EXPECT_EQ(plane.red(udp_frame(100, radio)).reason, DropReason::no_sa);
  EXPECT_EQ(plane.black(udp_frame(100)).reason, DropReason::clear_on_black);
  const auto all = plane.statistics();
  EXPECT_EQ(dropped_for(group(all, "radio").drops, DropReason::no_sa), 2U);
  EXPECT_EQ(group(all, "radio").drops.size(), 1U);
  EXPECT_EQ(dropped_for(group(all, "tv").drops, DropReason::clear_on_black), 1U);
  EXPECT_EQ(dropped_for(all.workers[0].drops, DropReason::no_sa), 2U);
}

// What makes an SA refuse a packet, each way once; the SA, its group and the worker all count it.
TEST(Counts, EveryDropOfAnSaIsChargedToItItsGroupAndItsWorker) {
  Harness plane({.path = {.black_mtu = 600, .red_mtu = 400}});
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  EXPECT_EQ(plane.red(udp_frame(700)).reason, DropReason::too_big);
  const Bytes good = sender.seal(udp_frame(100));
  EXPECT_EQ(plane.black(good).verdict, Verdict::forward);
  EXPECT_EQ(plane.black(good).reason, DropReason::replay);
  EXPECT_EQ(plane.black({sender.seal(udp_frame(100)), good})[1].reason, DropReason::replay);
  Bytes broken = sender.seal(udp_frame(100));
  broken.back() ^= 1;
  EXPECT_EQ(plane.black(broken).reason, DropReason::bad_tag);
  EXPECT_EQ(plane.black(sender.seal(udp_frame(500))).reason, DropReason::too_big_for_red);
  EspFields lie;
  lie.number = 50;
  lie.sequence = 51;
  EXPECT_EQ(plane.black(esp_frame(lie, ipv4({}, udp(1, 5000, {})))).reason, DropReason::iv_sequence_mismatch);
  lie.sequence = 50;
  lie.next_header = 6;
  EXPECT_EQ(plane.black(esp_frame(lie, ipv4({}, udp(1, 5000, {})))).reason, DropReason::bad_next_header);
  plane.advance(std::chrono::minutes(2));
  EXPECT_EQ(plane.red(udp_frame(100)).reason, DropReason::lease_expired);

  const SaStatistics out = *plane.sa(0x10000000);
  EXPECT_EQ(dropped_for(out.drops, DropReason::too_big), 1U);
  EXPECT_EQ(dropped_for(out.drops, DropReason::lease_expired), 1U);
  EXPECT_EQ(out.drops.size(), 2U);
  const SaStatistics in = *plane.sa(0x10000008);
  EXPECT_EQ(in.replays, 2U);
  EXPECT_EQ(in.bad_tags, 1U);
  for (const DropReason reason :
       {DropReason::too_big_for_red, DropReason::iv_sequence_mismatch, DropReason::bad_next_header})
    EXPECT_EQ(dropped_for(in.drops, reason), 1U) << name(reason);
  EXPECT_THAT(plane.sa(0x10000009)->drops, IsEmpty());
  const auto all = plane.statistics();
  for (const SaStatistics& sa : {out, in})
    for (const DropCount& drop : sa.drops) {
      const auto of_group = group(all, "tv").drops;
      EXPECT_TRUE(std::any_of(of_group.begin(), of_group.end(), [&](const DropCount& c) {
        return c.reason == drop.reason && c.packets == drop.packets;
      })) << drop.reason;
    }
  for (const DropCount& lost : all.events_lost)
    EXPECT_EQ(lost.packets, 0U) << lost.reason;
}

TEST(Counts, GroupsAddUpWhatRetiredEpochsCounted) {
  Harness plane;
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  for (int i = 0; i < 5; ++i) {
    plane.red(udp_frame(100));
    plane.black(sender.seal(udp_frame(72)));
  }
  const Bytes twice = sender.seal(udp_frame(72));
  plane.black(twice);
  plane.black(twice);
  const auto before = plane.statistics();
  EXPECT_EQ(group(before, "tv").sealed, 5U);
  EXPECT_EQ(group(before, "tv").opened, 6U);
  EXPECT_EQ(group(before, "tv").opened_bytes, 6U * (72 + 28));
  EXPECT_EQ(group(before, "tv").senders, 1U);
  EXPECT_EQ(before.workers[0].sealed_bytes, 5U * 128);

  GroupEpoch second = plane.epoch("tv", 2, 0x20000000, tv_selectors());
  second.outbound.push_back({key_of(0x20000000)});
  ASSERT_TRUE(plane.plane().install(std::move(second)));
  plane.red(udp_frame(100));
  ASSERT_TRUE(plane.plane().retire("tv", 1));
  const auto after = plane.statistics();
  EXPECT_EQ(group(after, "tv").sealed, 6U);
  EXPECT_EQ(group(after, "tv").opened, 6U);
  EXPECT_EQ(group(after, "tv").duplicates, 1U);
  EXPECT_EQ(dropped_for(group(after, "tv").drops, DropReason::replay), 1U);
  EXPECT_EQ(group(after, "tv").epochs, 1U);
  EXPECT_EQ(group(after, "tv").senders, 0U);
  EXPECT_EQ(after.workers[0].sealed_bytes, 6U * 128);
  EXPECT_EQ(after.workers[0].opened_bytes, 6U * 100);
  ASSERT_TRUE(group(after, "tv").silent_s.has_value()) << "what was heard is remembered";

  ASSERT_TRUE(plane.plane().replace_outbound("tv", 2, {}));
  plane.plane().drop_all_outbound();
  EXPECT_EQ(group(plane.statistics(), "tv").sealed, 6U);
}

TEST(Counts, ASenderIsSilentSinceItsLastPacketWasNoticed) {
  Harness plane;
  plane.install_tv();
  Sender sender(0x10000008, tv_selectors());
  EXPECT_EQ(plane.sa(0x10000008)->sender->silent_s, std::nullopt);
  plane.black(sender.seal(udp_frame(100)));
  EXPECT_EQ(plane.sa(0x10000008)->sender->silent_s, 0.0);
  plane.advance(std::chrono::seconds(7));
  EXPECT_NEAR(plane.sa(0x10000008)->sender->silent_s.value_or(-1), 7.0, 0.001);
  EXPECT_NEAR(group(plane.statistics(), "tv").silent_s.value_or(-1), 7.0, 0.001);
  plane.black(sender.seal(udp_frame(100)));
  EXPECT_EQ(plane.sa(0x10000008)->sender->silent_s, 0.0);
}

// Through the worker: the estimates of a stream that was lost, held back and repeated in part.
TEST(Counts, EstimatesOfAStreamAgreeWithWhatWasDoneToIt) {
  Harness plane;
  plane.install_tv();  // window 1024
  Sender sender(0x10000008, tv_selectors());
  std::mt19937 random(5);
  std::uint64_t lost = 0, repeated = 0, swapped = 0;
  constexpr int packets = 4000;
  for (int i = 0; i < packets; ++i) {
    const Bytes frame = sender.seal(udp_frame(64));
    const bool early = i > 0 && i < packets - 1200;  // the last window's gaps are not yet lost
    switch (random() % 20) {
      case 0:
        if (early) {
          ++lost;
          continue;
        }
        break;
      case 1:
        plane.black(frame);
        ++repeated;
        break;
      case 2:
        if (i > 0) {
          plane.black(sender.seal(udp_frame(64)));
          ++i;
          ++swapped;
        }
        break;
      default:
        break;
    }
    plane.black(frame);
  }
  const SaStatistics& sa = *plane.sa(0x10000008);
  EXPECT_EQ(sa.sender->first, 1U);
  EXPECT_EQ(sa.sender->lost, lost);
  EXPECT_EQ(sa.sender->missing, 0U);
  EXPECT_EQ(sa.sender->duplicates, repeated);
  EXPECT_EQ(sa.sender->reordered, swapped);
  EXPECT_EQ(sa.sender->reorder_max, 1U);
  EXPECT_EQ(sa.packets, sa.sender->last - lost);
  EXPECT_GT(lost, 50U);
}

TEST(Counts, SamplesOfDropsOnlyWhenAskedFor) {
  Harness plane;
  plane.install_tv();
  plane.black(udp_frame(100));
  DropSample sample;
  EXPECT_FALSE(plane.plane().worker(0).sampler().pop(sample));
  plane.plane().worker(0).sampler().grant(2);
  plane.black(udp_frame(100));
  Ipv4Fields elsewhere;
  elsewhere.destination = "239.9.9.9";
  plane.red(udp_frame(100, elsewhere));
  plane.red(udp_frame(100, elsewhere));
  ASSERT_TRUE(plane.plane().worker(0).sampler().pop(sample));
  EXPECT_EQ(sample.reason, DropReason::clear_on_black);
  EXPECT_EQ(sample.side, Side::black);
  ASSERT_TRUE(plane.plane().worker(0).sampler().pop(sample));
  EXPECT_EQ(sample.reason, DropReason::no_policy);
  EXPECT_EQ(sample.side, Side::red);
  EXPECT_FALSE(plane.plane().worker(0).sampler().pop(sample));
}

}  // namespace
}  // namespace sealcast::dataplane::testing
