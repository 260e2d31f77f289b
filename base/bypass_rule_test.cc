#include "base/bypass_rule.h"

#include <gtest/gtest.h>

namespace sealcast {
namespace {

Prefix prefix(const char* text) {
  return Prefix::parse(text).value();
}

Selector selector(const char* destination, std::optional<std::uint8_t> protocol = std::nullopt,
                  std::optional<PortRange> ports = std::nullopt, const char* source = nullptr) {
  Selector made;
  made.destination = prefix(destination);
  made.protocol = protocol;
  made.ports = ports;
  if (source != nullptr) made.source = prefix(source);
  return made;
}

BypassRule ip_rule(const char* destination, std::uint8_t protocol, std::optional<PortRange> ports = std::nullopt) {
  BypassRule rule;
  rule.name = "r";
  rule.protocol = BypassProtocol::ip;
  rule.ip_protocol = protocol;
  if (destination != nullptr) rule.destination = prefix(destination);
  rule.ports = ports;
  return rule;
}

TEST(BypassRule, H10_WhatCouldHideProtectedTrafficIsRefused) {
  for (const std::uint16_t type :
       {0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100, 0x8847, 0x8848, 0x8864, 0x6558, 0x88e7, 0x0806, 0x05ff, 0x0000}) {
    BypassRule rule;
    rule.name = "x";
    rule.protocol = BypassProtocol::ethertype;
    rule.ethertype = type;
    EXPECT_FALSE(validate(rule)) << std::hex << type;
    rule.ethertype = 0x88cc;
    EXPECT_TRUE(validate(rule));
  }
  for (const int protocol : {0, 2, 43, 44, 50, 51, 60})
    EXPECT_FALSE(validate(ip_rule("10.0.0.1", static_cast<std::uint8_t>(protocol)))) << protocol;
  EXPECT_TRUE(validate(ip_rule("10.0.0.1", 6, PortRange{22, 22})));
}

TEST(BypassRule, EveryKindTakesItsOwnFieldsOnly) {
  EXPECT_FALSE(validate(ip_rule(nullptr, 17))) << "a number needs a destination";
  EXPECT_FALSE(validate(ip_rule("10.0.0.1", 89, PortRange{1, 2}))) << "ports without UDP or TCP";
  BypassRule rule;
  EXPECT_FALSE(validate(rule)) << "no name";
  rule.name = "a";
  rule.protocol = BypassProtocol::arp;
  EXPECT_TRUE(validate(rule));
  rule.destination = prefix("fe80::/10");
  EXPECT_FALSE(validate(rule)) << "ARP is IPv4";
  rule.destination = prefix("10.0.0.0/8");
  EXPECT_TRUE(validate(rule));
  rule.source = prefix("239.0.0.1");
  EXPECT_FALSE(validate(rule)) << "no multicast source";
  rule = {};
  rule.name = "b";
  rule.protocol = BypassProtocol::stp;
  rule.destination = prefix("10.0.0.0/8");
  EXPECT_FALSE(validate(rule));
  rule = ip_rule("10.0.0.1", 17);
  rule.source = prefix("fe80::/10");
  EXPECT_FALSE(validate(rule)) << "mixed families";
  rule = ip_rule("10.0.0.1", 17);
  rule.rate = max_bypass_rate + 1;
  EXPECT_FALSE(validate(rule));
}

TEST(BypassRule, H10_OverlapsWithProtectedSelectorsAreSeen) {
  const Selector all = selector("239.1.1.0/24");
  const Selector udp = selector("239.1.1.0/24", 17, PortRange{5000, 5010});
  const Selector ssm = selector("239.1.1.0/24", std::nullopt, std::nullopt, "10.0.0.0/8");
  struct Case {
    const char* what;
    BypassRule rule;
    Selector selector;
    bool overlaps;
  };
  BypassRule from_elsewhere = ip_rule("239.1.1.1", 17);
  from_elsewhere.source = prefix("192.168.0.0/16");
  BypassRule pim;
  pim.protocol = BypassProtocol::pim;
  for (const Case& c : {
           Case{"the group itself", ip_rule("239.1.1.5", 17), all, true},
           Case{"all multicast", ip_rule("224.0.0.0/4", 17), all, true},
           Case{"everything", ip_rule("0.0.0.0/0", 17), all, true},
           Case{"another group", ip_rule("239.1.2.0/24", 17), all, false},
           Case{"link-local multicast", ip_rule("224.0.0.0/24", 17), all, false},
           Case{"unicast", ip_rule("10.0.0.0/8", 17), all, false},
           Case{"other ports", ip_rule("239.1.1.5", 17, PortRange{53, 53}), udp, false},
           Case{"ports that touch", ip_rule("239.1.1.5", 17, PortRange{1, 5000}), udp, true},
           Case{"another protocol", ip_rule("239.1.1.5", 89), udp, false},
           Case{"another source", from_elsewhere, ssm, false},
           Case{"any source", ip_rule("239.1.1.5", 17), ssm, true},
           Case{"another family", ip_rule("ff3e::/32", 17), all, false},
           Case{"a kind with a form of its own", pim, all, false},
       })
    EXPECT_EQ(overlap(c.rule, c.selector), c.overlaps) << c.what;
}

TEST(BypassRule, DefaultsStandUnlessTheirProtocolIsNamedInThatDirection) {
  EXPECT_EQ(with_defaults({}).size(), 4U);
  BypassRule mine;
  mine.name = "no reports";
  mine.protocol = BypassProtocol::igmp_report;
  mine.direction = BypassDirection::red_to_black;
  mine.rate = 0;
  const auto rules = with_defaults({mine});
  ASSERT_EQ(rules.size(), 4U);
  EXPECT_EQ(rules[0], mine);
  mine.direction = BypassDirection::black_to_red;
  EXPECT_EQ(with_defaults({mine}).size(), 5U) << "named in the other direction only";
  for (const BypassRule& rule : default_bypass_rules()) {
    EXPECT_TRUE(validate(rule)) << rule.name;
    EXPECT_EQ(bypass_protocol(rule.name), rule.protocol);
  }
  EXPECT_EQ(bypass_protocol("tcp"), std::nullopt);
}

}  // namespace
}  // namespace sealcast
