#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controlplane/config/config.h"
#include "controlplane/config/testing/texts.h"

namespace sealcast::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Line 1 of `rules` is line 29 of the file.
std::string gateway_with_rules(const std::string& rules, const std::string& group_lines = "") {
  return R"([gateway]
admin_socket = "/run/sealcast/gateway.sock"
state = "gateway.state"

[red]
device = "af_packet:red"
mtu = 1400

[black]
device = "af_packet:black"
address4 = "10.9.0.2"

[member]
certificate = "pki/a.pem"
private_key = "pki/a.key"
ca = "pki/ca.pem"

[[member.group]]
id = "tv"
role = "both"
keyservers = ["10.9.0.1:7400"]
keyserver_name = "ks.example"
keyserver_id = "ks.example"
selectors = [ { destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" } ]
spi_range = ["0x10000000", "0x1fffffff"]
)" + group_lines +
         "\n\n\n" + rules;
}

std::vector<std::string> bypass_errors(const std::string& toml) {
  return texts(parse_gateway_config(toml, "gw.toml").errors);
}

TEST(BypassConfig, EveryKindOfRuleArrives) {
  const auto loaded = parse_gateway_config(gateway_with_rules(R"([[bypass]]
name = "resolve"
direction = "both"
protocol = "arp"
source = "10.0.0.0/24"
rate = 100

[[bypass]]
name = "lldp"
direction = "red-to-black"
ethertype = 0x88cc

[[bypass]]
name = "dns"
direction = "red-to-black"
protocol = "udp"
destination = "10.0.0.53"
ports = 53

[[bypass]]
name = "gre"
direction = "black-to-red"
protocol = 47
destination = "10.0.0.0/8"
)"),
                                           "gw.toml");
  ASSERT_TRUE(loaded.ok()) << loaded.errors.at(0).text();
  const auto& rules = loaded.value->bypass;
  ASSERT_EQ(rules.size(), 4U);
  EXPECT_EQ(rules[0].name, "resolve");
  EXPECT_EQ(rules[0].protocol, BypassProtocol::arp);
  EXPECT_EQ(rules[0].source->text(), "10.0.0.0/24");
  EXPECT_EQ(rules[0].rate, 100U);
  EXPECT_EQ(rules[1].protocol, BypassProtocol::ethertype);
  EXPECT_EQ(rules[1].ethertype, 0x88cc);
  EXPECT_EQ(rules[1].direction, BypassDirection::red_to_black);
  EXPECT_EQ(rules[1].rate, 256U);
  EXPECT_EQ(rules[2].ip_protocol, 17);
  EXPECT_EQ(rules[2].ports, (PortRange{53, 53}));
  EXPECT_EQ(rules[3].ip_protocol, 47);
  EXPECT_EQ(loaded.value->black.address4->text(), "10.9.0.2");
  EXPECT_TRUE(parse_gateway_config(gateway_with_rules(""), "gw.toml").value->bypass.empty());
}

TEST(BypassConfig, H10_ARuleThatWouldLetAProtectedGroupPassIsRefusedWithItsPlace) {
  EXPECT_THAT(bypass_errors(gateway_with_rules("[[bypass]]\nname = \"all\"\ndirection = \"both\"\nprotocol = \"udp\"\n"
                                               "destination = \"239.0.0.0/8\"\n")),
              ElementsAre("gw.toml:33:15: bypass[0].destination: expected nothing that a group protects, got a rule "
                          "that lets 239.1.1.0/24 udp ports 5000-5010 of group \"tv\" pass in clear"));
  EXPECT_THAT(
      bypass_errors(gateway_with_rules("[[bypass]]\nname = \"other ports\"\ndirection = \"both\"\nprotocol = \"udp\"\n"
                                       "destination = \"239.0.0.0/8\"\nports = \"1-4999\"\n")),
      IsEmpty());
  EXPECT_THAT(
      bypass_errors(gateway_with_rules("[[bypass]]\nname = \"another protocol\"\ndirection = \"both\"\nprotocol = 89\n"
                                       "destination = \"239.0.0.0/8\"\n")),
      IsEmpty());
}

TEST(BypassConfig, WhatCannotBeIsRefused) {
  const auto rule = [](const std::string& lines) {
    return bypass_errors(gateway_with_rules("[[bypass]]\nname = \"r\"\ndirection = \"both\"\n" + lines));
  };
  EXPECT_THAT(rule(""), ElementsAre(HasSubstr("bypass[0].protocol: expected \"arp\"")));
  EXPECT_THAT(rule("protocol = \"arp\"\nethertype = 0x88cc\n"),
              ElementsAre(HasSubstr("bypass[0].ethertype: expected this or protocol, got both")));
  EXPECT_THAT(rule("protocol = \"icmp\"\n"), ElementsAre(HasSubstr("expected \"arp\"")));
  EXPECT_THAT(rule("protocol = 2\ndestination = \"10.0.0.1\"\n"), ElementsAre(HasSubstr("expected \"igmp-report\"")));
  EXPECT_THAT(rule("protocol = 50\ndestination = \"10.0.0.1\"\n"), ElementsAre(HasSubstr("expected no ESP or AH")));
  EXPECT_THAT(rule("protocol = 47\n"), ElementsAre(HasSubstr("expected a destination")));
  EXPECT_THAT(rule("ethertype = 0x8100\n"), ElementsAre(HasSubstr("bypass[0].ethertype: expected an EtherType")));
  EXPECT_THAT(rule("ethertype = 0x0800\n"), ElementsAre(HasSubstr("bypass[0].ethertype: expected an EtherType")));
  EXPECT_THAT(rule("ethertype = 46\n"), ElementsAre(HasSubstr("bypass[0].ethertype: expected ")));
  EXPECT_THAT(rule("protocol = \"arp\"\nrate = -1\n"), ElementsAre(HasSubstr("bypass[0].rate: expected ")));
  EXPECT_THAT(rule("protocol = \"arp\"\nports = 5\n"), ElementsAre(HasSubstr("expected ports beside")));
  EXPECT_THAT(rule("protocol = \"nd\"\ndestination = \"10.0.0.1\"\n"),
              ElementsAre(HasSubstr("expected an IPv6 prefix")));
  EXPECT_THAT(rule("protocol = \"arp\"\nspeed = 1\n"), ElementsAre(HasSubstr("bypass[0].speed: unknown key")));
  EXPECT_THAT(bypass_errors(gateway_with_rules("[[bypass]]\nname = \"a\"\ndirection = \"both\"\nprotocol = \"arp\"\n"
                                               "[[bypass]]\nname = \"a\"\ndirection = \"both\"\nprotocol = \"nd\"\n")),
              ElementsAre(HasSubstr("bypass[1].name: another rule is named \"a\" already")));
  EXPECT_THAT(bypass_errors(gateway_with_rules("[[bypass]]\nname = \"a\"\nprotocol = \"arp\"\ndirection = \"out\"\n")),
              ElementsAre(HasSubstr("bypass[0].direction: expected \"red-to-black\"")));
  EXPECT_THAT(bypass_errors("bypass = [ 1 ]\n" + gateway_with_rules("")),
              ElementsAre(HasSubstr("bypass[0]: expected a [[bypass]] table")));
}

TEST(BypassConfig, JoinOnBlack) {
  const auto join = [](const std::string& lines) {
    return parse_gateway_config(gateway_with_rules("", lines), "gw.toml");
  };
  EXPECT_FALSE(join("").value->member.groups[0].join);
  EXPECT_TRUE(join("join = \"static\"").value->member.groups[0].join);
  EXPECT_FALSE(join("join = \"none\"").value->member.groups[0].join);
  EXPECT_THAT(bypass_errors(gateway_with_rules("", "join = \"on-demand\"")),
              ElementsAre(HasSubstr("expected role = \"receiver\"")));
  std::string receiver = gateway_with_rules("", "join = \"on-demand\"");
  receiver.replace(receiver.find("role = \"both\""), 13, "role = \"receiver\"");
  const auto on_demand = parse_gateway_config(receiver, "gw.toml");
  ASSERT_TRUE(on_demand.ok());
  EXPECT_TRUE(on_demand.value->member.groups[0].on_demand);
  EXPECT_FALSE(on_demand.value->member.groups[0].join);  // red's own reports pass
  EXPECT_THAT(bypass_errors(gateway_with_rules("", "join = \"sometimes\"")),
              ElementsAre(HasSubstr("join: expected \"none\" or \"static\" or \"on-demand\"")));
  std::string wide = gateway_with_rules("", "join = \"static\"");
  wide.replace(wide.find("239.1.1.0/24"), 12, "239.0.0.0/16");
  EXPECT_THAT(bypass_errors(wide), ElementsAre(HasSubstr("join: expected selectors of at most 256 groups each")));
}

TEST(BypassConfig, OwnIpv4AddressOnBlack) {
  for (const char* wrong : {"239.1.1.1", "fe80::1", "0.0.0.0", "10.9.0.2/24"}) {
    std::string toml = gateway_with_rules("");
    toml.replace(toml.find("10.9.0.2"), 8, wrong);
    EXPECT_THAT(bypass_errors(toml), ElementsAre(HasSubstr("black.address4: expected "))) << wrong;
  }
}

}  // namespace
}  // namespace sealcast::config
