// Which of its three ways a port takes to receive its groups, with devices that have any of them.
#include "dataplane/dpdk/multicast_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <vector>

namespace sealcast::dataplane {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Level = MulticastFilter::Level;

// Records every call as text and answers as the test says.
struct FakeDevice final : FilterDevice {
  int list_answer = 0, all_answer = 0, promiscuous_answer = 0;
  std::size_t list_room = 1000;
  std::vector<std::string> calls;

  int set_list(std::span<const MacAddress> addresses) override {
    calls.push_back("list " + std::to_string(addresses.size()));
    return addresses.size() > list_room ? -ENOSPC : list_answer;
  }
  int all_multicast(bool on) override {
    calls.push_back(on ? "all on" : "all off");
    return all_answer;
  }
  int promiscuous(bool on) override {
    calls.push_back(on ? "promiscuous on" : "promiscuous off");
    return promiscuous_answer;
  }
  std::vector<std::string> taken() { return std::exchange(calls, {}); }
};

PortFilter list_of(std::size_t n) {
  PortFilter filter;
  for (std::size_t i = 0; i < n; ++i)
    filter.multicast.push_back({1, 0, 0x5e, 0, 0, static_cast<std::uint8_t>(i)});
  return filter;
}

struct Filter : ::testing::Test {
  FakeDevice device;
  MulticastFilter filter;
  std::vector<std::string> log;
  Level apply(const PortFilter& wanted) {
    return filter.apply(device, wanted, [&](const std::string& line) { log.push_back(line); });
  }
};

TEST_F(Filter, TheListIsEnoughWhereTheDeviceTakesIt) {
  EXPECT_EQ(apply(list_of(3)), Level::list);
  EXPECT_THAT(device.taken(), ElementsAre("list 3"));
  EXPECT_THAT(log, IsEmpty());
}

TEST_F(Filter, TooLongAListBecomesAllMulticastAndComesBackWhenItFits) {
  device.list_room = 4;
  EXPECT_EQ(apply(list_of(5)), Level::all_multicast);
  EXPECT_THAT(device.taken(), ElementsAre("list 5", "all on"));
  EXPECT_THAT(log, ElementsAre(HasSubstr("refused list of 5 multicast addresses")));
  EXPECT_EQ(apply(list_of(4)), Level::list);
  EXPECT_THAT(device.taken(), ElementsAre("list 4", "all off")) << "widened before it is narrowed";
}

TEST_F(Filter, WithoutListsAllMulticastThenPromiscuousEachSaidOnce) {
  device.list_answer = -ENOTSUP;
  EXPECT_EQ(apply(list_of(1)), Level::all_multicast);
  EXPECT_EQ(apply(list_of(2)), Level::all_multicast);
  EXPECT_THAT(device.taken(), ElementsAre("list 1", "all on", "list 2"));
  EXPECT_THAT(log, ElementsAre(HasSubstr("has no list")));

  filter.forget();  // the device was closed; the driver is the same
  device.all_answer = -ENOTSUP;
  EXPECT_EQ(apply(list_of(1)), Level::promiscuous);
  EXPECT_EQ(apply(list_of(2)), Level::promiscuous);
  EXPECT_THAT(device.taken(), ElementsAre("list 1", "all on", "promiscuous on", "list 2", "all on"));
  EXPECT_THAT(log, ElementsAre(HasSubstr("has no list"), HasSubstr("has no all-multicast")));
}

TEST_F(Filter, ADeviceWithNoneIsPointToPoint) {
  device.list_answer = device.all_answer = device.promiscuous_answer = -ENOTSUP;
  EXPECT_EQ(apply(list_of(1)), Level::point_to_point);
  EXPECT_EQ(apply(list_of(1)), Level::point_to_point);
  EXPECT_EQ(log.size(), 3U) << "each of the three once";
}

TEST_F(Filter, AllMulticastIsAskedForWithoutAList) {
  PortFilter all;
  all.all_multicast = true;
  EXPECT_EQ(apply(all), Level::all_multicast);
  EXPECT_EQ(apply(all), Level::all_multicast);
  EXPECT_THAT(device.taken(), ElementsAre("all on")) << "and once";
}

TEST_F(Filter, ForeignUnicastNeedsPromiscuousAndStopsNeedingIt) {
  PortFilter bridge = list_of(2);
  bridge.promiscuous = true;
  EXPECT_EQ(apply(bridge), Level::promiscuous);
  EXPECT_EQ(apply(list_of(2)), Level::list);
  EXPECT_THAT(device.taken(), ElementsAre("promiscuous on", "list 2", "promiscuous off"));
  device.promiscuous_answer = -ENOTSUP;
  EXPECT_EQ(apply(bridge), Level::list) << "multicast at least";
  EXPECT_THAT(log, ElementsAre(HasSubstr("has no promiscuous mode")));
}

}  // namespace
}  // namespace sealcast::dataplane
