// Fragments against selectors. size_path_test.cc tests them through the worker.
#include "dataplane/path/fragment_matcher.h"

#include <gtest/gtest.h>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

constexpr std::uint64_t hz = 1000;

class FragmentMatcherTest : public ::testing::Test {
 protected:
  FragmentMatcherTest() {
    policy_.add(selector("239.1.1.0/24", PortRange{5000, 5000}), 7);
    policy_.add(selector("239.2.0.0/16"), 8);
    rules_.push_back(compile(selector("239.1.1.0/24", PortRange{5000, 5000}), 0));
  }

  static Bytes fragment(std::uint16_t offset, bool more, std::uint16_t port = 5000,
                        const std::string& to = "239.1.1.5") {
    Ipv4Fields fields;
    fields.destination = to;
    fields.id = 9;
    fields.fragment = static_cast<std::uint16_t>((more ? ipv4::more_fragments : 0) | (offset / 8));
    return ipv4(fields, offset == 0 ? udp(1, port, pattern(72)) : pattern(80));
  }
  struct Read {
    explicit Read(const Bytes& ip) {
      EXPECT_EQ(V4::parse(ip.data(), static_cast<std::uint32_t>(ip.size()), packet), DropReason::none);
    }
    Packet packet;
  };
  DropReason of_policy(const Bytes& ip, std::uint64_t now = 10 * hz) {
    const Packet packet = Read(ip).packet;
    EXPECT_TRUE(packet_key<V4>(ip.data(), packet, key_));
    group_ = 0;
    return matcher_.match(ip.data(), packet, key_, now, policy_, group_);
  }
  DropReason of_rules(const Bytes& ip, const std::vector<Rule>& rules) {
    const Packet packet = Read(ip).packet;
    EXPECT_TRUE(packet_key<V4>(ip.data(), packet, key_));
    return matcher_.match(ip.data(), packet, key_, 10 * hz, rules);
  }

  FragmentMatcher matcher_{hz};
  Policy policy_;
  std::vector<Rule> rules_;
  PacketKey key_;
  std::uint32_t group_ = 0;
};

TEST_F(FragmentMatcherTest, WhereThePortDecidesTheRestFollowsTheFirst) {
  EXPECT_EQ(of_policy(fragment(80, false)), DropReason::fragment_orphan) << "before its first";
  EXPECT_EQ(of_policy(fragment(0, true)), DropReason::none);
  EXPECT_EQ(of_policy(fragment(80, false)), DropReason::none);
  EXPECT_EQ(group_, 7U);
  EXPECT_TRUE(key_.has_ports);
  EXPECT_EQ(key_.destination_port, 5000);
  EXPECT_EQ(of_policy(fragment(80, true), 13 * hz), DropReason::fragment_orphan) << "two seconds are over";
}

TEST_F(FragmentMatcherTest, WithoutPortsEveryFragmentSpeaksForItself) {
  EXPECT_EQ(of_policy(fragment(80, false, 0, "239.2.1.1")), DropReason::none);
  EXPECT_EQ(group_, 8U);
  EXPECT_FALSE(key_.has_ports);
}

TEST_F(FragmentMatcherTest, EpochsDoNotShareTheirFirstFragments) {
  const std::vector<Rule> other = rules_;
  EXPECT_EQ(of_rules(fragment(0, true), rules_), DropReason::none);
  EXPECT_EQ(of_rules(fragment(80, true), rules_), DropReason::none);
  EXPECT_EQ(of_rules(fragment(80, true), other), DropReason::fragment_orphan);
}

TEST_F(FragmentMatcherTest, WhatNoHonestSenderMakesIsRefused) {
  Ipv4Fields odd;
  odd.fragment = ipv4::more_fragments;
  EXPECT_EQ(of_policy(ipv4(odd, udp(1, 5000, pattern(73)))), DropReason::bad_fragment);
}

TEST_F(FragmentMatcherTest, OnlyAHeaderRightBehindTheFixedOneIsPutTogetherAgain) {
  const auto verdict6 = [](const Bytes& extensions, std::uint8_t first) {
    Ipv6Fields fields;
    fields.next_header = first;
    fields.extensions = extensions;
    const Bytes ip = ipv6(fields, pattern(80));
    Packet packet;
    EXPECT_EQ(V6::parse(ip.data(), static_cast<std::uint32_t>(ip.size()), packet), DropReason::none);
    return can_reassemble(ip.data(), packet);
  };
  EXPECT_EQ(verdict6(fragment_header(protocol_esp, 80, false), header_fragment), DropReason::none);
  EXPECT_EQ(verdict6(extension(header_fragment) + fragment_header(protocol_esp, 80, false), header_destination_options),
            DropReason::fragment);
  const Bytes whole = fragment(0, true);
  EXPECT_EQ(can_reassemble(whole.data(), Read(whole).packet), DropReason::none);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
