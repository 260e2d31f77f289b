#include "dataplane/packet/multicast_macs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

using testing::bypass_rule;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> texts(const PortFilter& filter) {
  std::vector<std::string> out;
  for (const MacAddress& mac : filter.multicast)
    out.push_back(text(mac));
  return out;
}

std::vector<Prefix> prefixes(std::initializer_list<const char*> list) {
  std::vector<Prefix> out;
  for (const char* entry : list)
    out.push_back(Prefix::parse(entry).value());
  return out;
}

TEST(MulticastMacs, AddressesFollowTheStandards) {
  EXPECT_EQ(text(multicast_mac(IpAddress::parse("239.129.2.3").value())), "01:00:5e:01:02:03");
  EXPECT_EQ(text(multicast_mac(IpAddress::parse("ff3e::8001:203").value())), "33:33:80:01:02:03");
}

TEST(MulticastMacs, RedWantsTheGroupsAndWhatReportsAreSentTo) {
  const PortFilter filter =
      port_filter(prefixes({"239.1.1.5", "232.1.1.5"}), with_defaults({}), BypassDirection::red_to_black);
  // Both groups have the same address: 23 bits are left of 28.
  EXPECT_THAT(texts(filter), ElementsAre("01:00:5e:00:00:02", "01:00:5e:00:00:16", "01:00:5e:01:01:05",
                                         "33:33:00:00:00:02", "33:33:00:00:00:16"));
  EXPECT_FALSE(filter.all_multicast);
  EXPECT_FALSE(filter.promiscuous);
}

TEST(MulticastMacs, BlackWantsTheGroupsAndQueries) {
  const PortFilter filter = port_filter(prefixes({"239.1.1.4/31"}), with_defaults({}), BypassDirection::black_to_red);
  EXPECT_THAT(texts(filter),
              ElementsAre("01:00:5e:00:00:01", "01:00:5e:01:01:04", "01:00:5e:01:01:05", "33:33:00:00:00:01"));
}

TEST(MulticastMacs, TheListIsBoundedThenEverythingIsTaken) {
  PortFilter filter = port_filter(prefixes({"239.1.1.0/24"}), {}, BypassDirection::black_to_red);
  EXPECT_EQ(filter.multicast.size(), 256U);
  filter = port_filter(prefixes({"239.1.1.0/24", "239.1.2.1"}), {}, BypassDirection::black_to_red);
  EXPECT_TRUE(filter.all_multicast);
  EXPECT_THAT(filter.multicast, IsEmpty());
  EXPECT_TRUE(port_filter(prefixes({"ff3e::/32"}), {}, BypassDirection::black_to_red).all_multicast);
  EXPECT_TRUE(port_filter(prefixes({"224.0.0.0/4"}), {}, BypassDirection::black_to_red).all_multicast);
}

TEST(MulticastMacs, RulesThatBridgeUnicastNeedPromiscuous) {
  EXPECT_TRUE(port_filter({}, {bypass_rule(BypassProtocol::arp)}, BypassDirection::red_to_black).promiscuous);
  const PortFilter nd = port_filter({}, {bypass_rule(BypassProtocol::nd)}, BypassDirection::red_to_black);
  EXPECT_TRUE(nd.promiscuous && nd.all_multicast);
  EXPECT_FALSE(port_filter({}, {bypass_rule(BypassProtocol::pim)}, BypassDirection::red_to_black).promiscuous);
  BypassRule unicast = bypass_rule(BypassProtocol::ip);
  unicast.destination = Prefix::parse("10.0.0.1").value();
  EXPECT_TRUE(port_filter({}, {unicast}, BypassDirection::red_to_black).promiscuous);
  // Nothing for the other direction, nor for a rule that lets nothing pass.
  EXPECT_EQ(
      port_filter({}, {bypass_rule(BypassProtocol::arp, BypassDirection::black_to_red)}, BypassDirection::red_to_black),
      PortFilter{});
  unicast.rate = 0;
  EXPECT_EQ(port_filter({}, {unicast}, BypassDirection::red_to_black), PortFilter{});
}

}  // namespace
}  // namespace sealcast::dataplane
