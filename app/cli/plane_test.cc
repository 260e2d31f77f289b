// The screens of sealcast ports, groups, sas and top, from answers as the gateway makes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/cli/plane_text.h"
#include "controlplane/admin/plane_answers.h"

namespace sealcast::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A gateway's counters after so many seconds of one stream out and one in.
DataPlaneStatistics counted(std::uint64_t seconds) {
  DataPlaneStatistics all;
  all.taken = SteadyTime(std::chrono::seconds(100 + seconds));
  all.engine = "burst";
  PortStatistics red;
  red.name = "red";
  red.device = "null";
  red.link_up = true;
  red.rx_packets = 1000 * seconds;
  red.rx_bytes = 125'000 * seconds;
  all.ports = {red};
  SaStatistics out;
  out.group_id = "tv";
  out.epoch = 7;
  out.spi = 0x10000000;
  out.outbound = out.active = true;
  out.packets = 1000 * seconds;
  out.bytes = 125'000 * seconds;
  out.next_number = out.packets + 1;
  out.drops = {{"too_big", 3}};
  SaStatistics in;
  in.group_id = "tv";
  in.epoch = 7;
  in.spi = 0x10000008;
  in.worker = 1;
  in.packets = 10 * seconds;
  in.next_number = 12 * seconds;
  in.sender = SenderEstimate{1, 12 * seconds, 17, 1, 9, 3, 2, 5, 40, 30, 4, 6, 2.5};
  SaStatistics unused = in;
  unused.spi = 0x10000009;
  unused.packets = 0;
  unused.sender = SenderEstimate{};
  all.sas = {out, in, unused};
  GroupStatistics tv;
  tv.group_id = "tv";
  tv.active_epoch = 7;
  tv.epochs = 1;
  tv.senders = 1;
  tv.sealed = out.packets;
  tv.sealed_bytes = out.bytes;
  tv.opened = in.packets;
  tv.lost = 17;
  tv.silent_s = 2.5;
  tv.drops = {{"too_big", 3}, {"no_sa", 1}};
  GroupStatistics radio;
  radio.group_id = "radio";
  all.groups = {radio, tv};
  WorkerStatistics worker;
  worker.sealed = out.packets;
  worker.drops = {{"too_big", 3}};
  all.workers = {worker};
  all.drops = {{"too_big", 3}, {"replay", 0}};
  all.cut = 12;
  all.parked = 40;
  all.spread_waits = 1500;
  return all;
}

// As the command line tool gets it.
template <typename Request, typename Answer>
DataPlaneStatistics told(const Answer& answer) {
  const auto read = admin::read_answer<Request>(admin::to_json(answer));
  EXPECT_TRUE(read.has_value());
  if constexpr (std::is_same_v<Answer, admin::PlaneGroups>)
    return std::get<Answer>(read->value).statistics;
  else
    return read->value.statistics;
}
DataPlaneStatistics ports(std::uint64_t seconds) {
  return told<admin::PortsRequest>(admin::PortsAnswer{counted(seconds)});
}
DataPlaneStatistics top(std::uint64_t seconds) {
  return told<admin::TopRequest>(admin::TopAnswer{counted(seconds)});
}
DataPlaneStatistics sas(const admin::SasRequest& request) {
  return told<admin::SasRequest>(*admin::sas_answer(counted(5), request));
}

TEST(PlaneText, PortsWithAndWithoutRates) {
  EXPECT_EQ(ports_text({ports(5)}),
            "port  device  link  rx packets  rx bytes  tx packets  tx bytes  tx dropped\n"
            "red   null    up         5,000    625 kB           0       0 B           0\n"
            "\n"
            "worker  sealed  sealed bytes  opened  opened bytes  bypassed  dropped\n"
            "     0   5,000           0 B       0           0 B         0        3\n"
            "\n"
            "on the way: 12 cut before sealing, 40 parked until their key came, 1,500 waits of a spread stream\n"
            "\n"
            "dropped because  packets\n"
            "too_big                3\n");
  const auto earlier = ports(3);
  EXPECT_THAT(ports_text({ports(5), &earlier}),
              AllOf(HasSubstr("rx packets/s  rx bits/s"), HasSubstr("       1,000    1.00 Mb")));
}

TEST(PlaneText, ACounterThatBeganAnewHasNoRate) {
  // Smaller counters in the later answer: the daemon was started again.
  auto restarted = counted(1);
  restarted.taken = SteadyTime(std::chrono::seconds(200));
  const auto before = ports(50);
  const auto text = ports_text({restarted, &before});
  EXPECT_THAT(text, HasSubstr("rx packets/s"));
  EXPECT_THAT(text, HasSubstr("red   null    up         1,000    125 kB           0       0 B           0"
                              "                                      0        0 b\n"));
}

TEST(PlaneText, SasHideWhatNobodyUsesAndShowTheEstimates) {
  const auto text = sas_text({sas({.group = "tv"})}, false);
  EXPECT_THAT(text, AllOf(HasSubstr("0x10000000"), HasSubstr("too_big 3"), Not(HasSubstr("0x10000009"))));
  EXPECT_THAT(text, HasSubstr("tv     0x10000008  in             7               1       50     0 B      60    17      "
                              "     9       3        2          5          30           4     6     2 s\n"));
  const auto all = sas({.group = "tv", .all = true});
  EXPECT_THAT(sas_text({all}, true), HasSubstr("0x10000009"));
  EXPECT_THAT(sas_text({all}, false), Not(HasSubstr("0x10000009"))) << "an older gateway names all";
  const auto error = admin::sas_answer(counted(5), {.group = "news"});
  ASSERT_FALSE(error);
  EXPECT_THAT(error.error().message, HasSubstr("no group \"news\""));
}

TEST(PlaneText, TopShowsTheBusiestGroupsFirst) {
  const auto earlier = top(3);
  const auto text = top_text({top(5), &earlier}, 1);
  EXPECT_THAT(text, AllOf(HasSubstr("tv"), HasSubstr("1,000"), Not(HasSubstr("radio")), HasSubstr("2 groups in all")));
  EXPECT_THAT(plane_groups_text({told<admin::GroupsRequest>(admin::PlaneGroups{counted(5)})}),
              AllOf(HasSubstr("radio"), HasSubstr("no_sa 1, too_big 3")));
}

TEST(PlaneText, StrangeAnswersAreErrorsOrBlank) {
  for (const char* answer : {"", "7", "[]", "no JSON", R"({"error":"x"})"}) {
    EXPECT_FALSE(admin::read_answer<admin::PortsRequest>(answer));
    EXPECT_FALSE(admin::read_answer<admin::GroupsRequest>(answer));
    EXPECT_FALSE(admin::read_answer<admin::SasRequest>(answer));
    EXPECT_FALSE(admin::read_answer<admin::TopRequest>(answer));
  }
  const auto odd = admin::read_answer<admin::TopRequest>(
      R"({"ports":[3,{"name":7,"rx_packets":"x"}],"groups":[[],{"group":{}}],"sas":{"a":1},"taken_s":"x"})");
  ASSERT_TRUE(odd);
  const Looks looks{odd->value.statistics, &odd->value.statistics};
  EXPECT_THAT(top_text(looks, 5), HasSubstr("down"));
  EXPECT_THAT(ports_text(looks), HasSubstr("down"));
  EXPECT_THAT(plane_groups_text(looks), HasSubstr("because"));
  EXPECT_THAT(sas_text(looks, true), HasSubstr("SPI"));
}

}  // namespace
}  // namespace sealcast::cli
