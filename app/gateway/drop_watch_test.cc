// Drops that a wrong set-up causes are logged once, with the remedy, and again only after a quiet spell.
#include "app/gateway/drop_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sealcast::gateway {
namespace {

using testing::HasSubstr;

DataPlaneStatistics drops(std::uint64_t partial, std::uint64_t too_big, std::uint64_t replay = 0) {
  DataPlaneStatistics statistics;
  statistics.drops = {{"partial_checksum", partial}, {"too_big", too_big}, {"replay", replay}};
  return statistics;
}

TEST(DropWatch, TellsOnceWithTheRemedy) {
  DropWatch watch("af_packet:veth-red?queues=1", 1500);
  EXPECT_THAT(watch.look(drops(0, 0)), testing::IsEmpty());
  const auto lines = watch.look(drops(3, 2));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("partial_checksum: 3 packets"), HasSubstr("link to veth-red"),
                                             HasSubstr("ethtool -K INTERFACE tx off"))));
  EXPECT_THAT(lines, testing::Contains(AllOf(HasSubstr("too_big: 2 packets"), HasSubstr("black MTU of 1500"))));
  EXPECT_THAT(watch.look(drops(9, 9)), testing::IsEmpty());
}

TEST(DropWatch, TellsAgainAfterAQuietSpellOnly) {
  DropWatch watch("virtio-user:/run/x.sock", 1500);
  EXPECT_EQ(watch.look(drops(1, 0)).size(), 1u);
  for (unsigned i = 0; i + 1 < DropWatch::quiet_looks; ++i)
    EXPECT_THAT(watch.look(drops(1, 0)), testing::IsEmpty());
  EXPECT_THAT(watch.look(drops(2, 0)), testing::IsEmpty()) << "one look too early";
  for (unsigned i = 0; i < DropWatch::quiet_looks; ++i)
    EXPECT_THAT(watch.look(drops(2, 0)), testing::IsEmpty());
  EXPECT_THAT(watch.look(drops(7, 0)), testing::ElementsAre(HasSubstr("partial_checksum: 5 packets")));
}

TEST(DropWatch, H18_TellsOfLoopsAndNamesTheSourceThatMoved) {
  DropWatch watch("null", 1500);
  DataPlaneStatistics statistics;
  statistics.drops = {{"own_spi", 3}, {"local_source", 4}, {"local_red_source", 5}, {"source_moved", 1}};
  statistics.red_segment.last_moved = "10.0.0.1 to red";
  EXPECT_THAT(watch.look(statistics),
              testing::ElementsAre(AllOf(HasSubstr("own_spi: 3 packets"), HasSubstr("second gateway or a cable")),
                                   AllOf(HasSubstr("local_source: 4 packets"), HasSubstr("second gateway or a cable")),
                                   AllOf(HasSubstr("local_red_source: 5 packets"), HasSubstr("came out of ESP")),
                                   AllOf(HasSubstr("source_moved: 1 sources"), HasSubstr("10.0.0.1 to red"))));
  EXPECT_THAT(watch.look(statistics), testing::IsEmpty());
}

TEST(DropWatch, OtherReasonsAreNotItsBusiness) {
  DropWatch watch("null", 1500);
  EXPECT_THAT(watch.look(drops(0, 0, 1000)), testing::IsEmpty());
}

TEST(DropWatch, LoopsAreToldOnceAMinuteAsLongAsTheyLast) {
  DropWatch watch("null", 1500);
  const auto looped = [](std::uint64_t frames) {
    DataPlaneStatistics statistics;
    BypassStatistics arp;
    arp.rule = "resolve";
    arp.direction = "red-to-black";
    arp.looped = frames;
    arp.last_loop = "02:00:00:00:00:01 on black";
    statistics.bypass = {arp};
    return statistics;
  };
  EXPECT_THAT(watch.look(looped(0)), testing::IsEmpty());
  EXPECT_THAT(watch.look(looped(3)),
              testing::ElementsAre(AllOf(HasSubstr("bypass_loop: 3 frames"),
                                         HasSubstr("resolve red-to-black (last from 02:00:00:00:00:01 on black)"))));
  for (unsigned i = 1; i < DropWatch::quiet_looks; ++i)
    EXPECT_THAT(watch.look(looped(3 + i)), testing::IsEmpty()) << i;
  EXPECT_THAT(watch.look(looped(100)), testing::ElementsAre(HasSubstr("bypass_loop: 97 frames")));
}

}  // namespace
}  // namespace sealcast::gateway
