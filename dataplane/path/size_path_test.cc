// Size and fragments through the worker's path: what is to be cut, answered or dropped; fragments that follow their
// first, on both sides and in both families; hostile fragments.
#include <gtest/gtest.h>

#include "base/esp_overhead.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

constexpr std::uint8_t udp_protocol = 17;
const std::string group6 = "ff1e::1:0/112";

Harness::Options narrow(std::uint32_t black_mtu = 1500, bool answers = true) {
  Harness::Options options;
  options.path.black_mtu = black_mtu;
  if (answers) options.path.red_address6 = IpAddress::parse("fe80::99").value().bytes;
  return options;
}

Bytes part4(std::uint16_t offset, const Bytes& payload, bool more, std::uint16_t id = 7) {
  Ipv4Fields fields;
  fields.id = id;
  fields.fragment = static_cast<std::uint16_t>((more ? 0x2000 : 0) | (offset / 8));
  return ethernet(ipv4(fields, payload));
}
Bytes part6(std::uint16_t offset, const Bytes& payload, bool more, std::uint32_t id = 7, const Bytes& behind = {}) {
  Ipv6Fields fields;
  fields.next_header = 44;
  fields.extensions = fragment_header(behind.empty() ? udp_protocol : 60, offset, more, id) + behind;
  return ethernet(ipv6(fields, payload), {}, ether_type_ipv6);
}

TEST(Size, EverySizeAroundTheLimitIsSealedCutOrDropped) {
  for (const EspMode mode : {EspMode::tunnel_preserve, EspMode::tunnel_fixed, EspMode::transport}) {
    for (const bool dont_fragment : {false, true}) {
      Harness path(narrow());
      GroupProtection protection{{selector("239.1.1.0/24")}, mode};
      if (mode == EspMode::tunnel_fixed) {
        protection.outer.emplace();
        protection.outer->destination = IpAddress::parse("239.9.9.9").value();
        protection.outer->source = IpAddress::parse("10.9.0.2").value();
      }
      path.install(protection);
      const std::uint32_t limit = largest_inner_bytes(mode, 4, 1500);
      for (std::uint32_t size = limit - 40; size <= limit + 40; ++size) {
        Ipv4Fields fields;
        fields.fragment = dont_fragment ? 0x4000 : 0;
        const Bytes frame = udp_frame(size - 28, fields);
        const Outcome outcome = path.red(frame);
        if (size <= limit) {
          ASSERT_EQ(outcome.verdict, Verdict::forward) << size;
          ASSERT_LE(outcome.frame.size() - 14, 1500U);
        } else if (dont_fragment || mode == EspMode::transport) {
          ASSERT_EQ(name(outcome.reason), "too_big") << size;
          ASSERT_EQ(outcome.verdict, Verdict::drop);
        } else {
          ASSERT_EQ(outcome.verdict, Verdict::fragment) << size;
          ASSERT_EQ(outcome.target, limit);
          ASSERT_EQ(outcome.frame, frame) << "untouched";
        }
      }
    }
  }
}

// No number may be taken by a packet behind one that is still to be cut; what is dropped or passes in clear is not
// held.
TEST(Size, WhatComesBehindAPacketToBeCutWaits) {
  Harness path(narrow());
  path.install_tv();
  const auto burst = path.red({udp_frame(100), udp_frame(1500, may_be_cut()), udp_frame(100), udp_frame(1500),
                               udp_frame(1500, may_be_cut()), ethernet(ipv4({}, pattern(5)))});
  EXPECT_EQ(burst[0].verdict, Verdict::forward);
  EXPECT_EQ(burst[1].verdict, Verdict::fragment);
  EXPECT_EQ(burst[2].verdict, Verdict::fragment);
  EXPECT_GE(burst[2].target, 128U) << "as it is";
  EXPECT_EQ(name(burst[3].reason), "too_big");
  EXPECT_EQ(burst[4].verdict, Verdict::fragment);
  EXPECT_EQ(name(burst[5].reason), "short_frame");
  EXPECT_EQ(path.sa(0x10000000)->packets, 1U);
  EXPECT_EQ(path.red(udp_frame(100)).verdict, Verdict::forward) << "the next burst is free again";
}

TEST(Size, RFC4443_TooBigIpv6IsAnsweredToItsSender) {
  Harness path(narrow());
  path.install({{selector(group6)}});
  const std::uint32_t limit = largest_inner_bytes(EspMode::tunnel_preserve, 6, 1500);
  EXPECT_EQ(path.red(udp6_frame(limit - 48)).verdict, Verdict::forward);
  const Bytes frame = udp6_frame(limit - 48 + 1);
  const Outcome answer = path.red(frame);
  ASSERT_EQ(answer.verdict, Verdict::reply) << name(answer.reason);
  EXPECT_EQ(name(answer.reason), "too_big_answered");
  EXPECT_EQ(path.dropped(DropReason::too_big_answered), 1U);
  EXPECT_EQ(Bytes(answer.frame.begin(), answer.frame.begin() + 6), Bytes(frame.begin() + 6, frame.begin() + 12));
  EXPECT_EQ(answer.frame[14 + 40], 2) << "Packet Too Big";
  EXPECT_EQ(load32(&answer.frame[14 + 44]), limit);
  EXPECT_EQ(answer.frame.size(), 14U + 1280U);
}

TEST(Size, RFC4443_AnswersAreBounded) {
  Harness path(narrow());
  path.install({{selector(group6)}});
  const auto answered = [&](int packets) {
    int count = 0;
    for (int i = 0; i < packets; ++i)
      count += path.red(udp6_frame(1450)).verdict == Verdict::reply ? 1 : 0;
    return count;
  };
  EXPECT_EQ(answered(1000), 10) << "at once";
  path.advance(std::chrono::seconds(10));
  EXPECT_EQ(answered(1000), 10) << "nothing is saved up";
  int in_a_second = 0;
  for (int i = 0; i < 1000; ++i) {
    path.advance(std::chrono::milliseconds(1));
    in_a_second += answered(10);
  }
  EXPECT_GE(in_a_second, 95);
  EXPECT_LE(in_a_second, 105);
  EXPECT_EQ(path.dropped(DropReason::too_big) + path.dropped(DropReason::too_big_answered), 1000U + 1000U + 10000U);
}

TEST(Size, WhereNoAnswerMayBeSentItIsDroppedAndCounted) {
  const auto reason = [](Harness::Options options, const Bytes& frame) {
    Harness path(std::move(options));
    path.install({{selector(group6)}});
    return std::string(name(path.red(frame).reason));
  };
  EXPECT_EQ(reason(narrow(1500, false), udp6_frame(1450)), "too_big") << "no address6";
  EXPECT_EQ(reason(narrow(1300), udp6_frame(1240)), "too_big") << "no host goes below 1280";
  EXPECT_EQ(reason(narrow(), part6(1448, pattern(1456), true)), "too_big") << "a later fragment";
  Ipv6Fields unspecified;
  unspecified.source = "::";
  EXPECT_EQ(reason(narrow(), udp6_frame(1450, unspecified)), "too_big");
  Ipv6Fields error;
  error.next_header = 58;
  EXPECT_EQ(reason(narrow(), ethernet(ipv6(error, Bytes{1, 0} + pattern(1450)), {}, ether_type_ipv6)), "too_big")
      << "an ICMPv6 error";
  EXPECT_EQ(reason(narrow(), udp6_frame(1450)), "too_big_answered");
}

class Following : public ::testing::TestWithParam<int> {
 protected:
  Following() {
    const std::vector<Selector> selectors = {
        selector(GetParam() == 4 ? "239.1.1.0/24" : group6, PortRange{5000, 5000})};
    path_.install({selectors});
    receiver_.install({selectors});
  }
  static Bytes part(std::uint16_t offset, const Bytes& payload, bool more, std::uint16_t id = 7) {
    return GetParam() == 4 ? part4(offset, payload, more, id) : part6(offset, payload, more, id);
  }
  static Bytes first(std::uint16_t port = 5000, std::uint16_t id = 7) {
    return part(0, udp(4000, port, pattern(1000), 0xbeef), true, id);
  }
  static Bytes second(std::uint16_t id = 7) { return part(1008, pattern(1000), true, id); }
  static Bytes last(std::uint16_t id = 7) { return part(2008, pattern(100), false, id); }
  std::string red(const Bytes& frame) {
    const Outcome outcome = path_.red(frame);
    return outcome.verdict == Verdict::forward ? "sealed" : std::string(name(outcome.reason));
  }
  // Sealed by another member without a look at fragments, opened here.
  std::string opened(const Bytes& frame) {
    EspFields fields;
    fields.number = ++number_;
    if (GetParam() == 6) {
      fields.outer6.emplace();
      fields.next_header = 41;
    }
    const Outcome outcome = receiver_.black(esp_frame(fields, Bytes(frame.begin() + 14, frame.end())));
    if (outcome.verdict != Verdict::forward) return std::string(name(outcome.reason));
    EXPECT_EQ(outcome.frame, frame);
    return "opened";
  }

  Harness path_, receiver_;
  std::uint64_t number_ = 0;
};

TEST_P(Following, TheRestFollowsTheFirstOnBothSides) {
  EXPECT_EQ(red(first()), "sealed");
  EXPECT_EQ(red(second()), "sealed");
  EXPECT_EQ(red(last()), "sealed");
  EXPECT_EQ(opened(first()), "opened");
  EXPECT_EQ(opened(last()), "opened") << "in any order";
  EXPECT_EQ(opened(second()), "opened");
  EXPECT_EQ(path_.sa(0x10000000)->packets, 3U);
}

TEST_P(Following, WithoutItsFirstThereIsNoVerdict) {
  EXPECT_EQ(red(second()), "fragment_orphan");
  EXPECT_EQ(opened(second()), "fragment_orphan");
  EXPECT_EQ(red(first(6000)), "no_policy");
  EXPECT_EQ(red(second()), "fragment_orphan") << "its first was not ours";
  EXPECT_EQ(opened(first(6000)), "selector_mismatch");
  EXPECT_EQ(opened(second()), "fragment_orphan");
  EXPECT_EQ(red(first()), "sealed");
  EXPECT_EQ(red(second(8)), "fragment_orphan") << "another datagram";
  path_.advance(std::chrono::seconds(3));
  EXPECT_EQ(red(second()), "fragment_orphan") << "too late";
}

// Attacks by fragments: a row each, in order, with what becomes of them.
TEST_P(Following, HostileFragments) {
  struct Row {
    const char* what;
    Bytes frame;
    const char* expected;
  };
  const std::vector<std::vector<Row>> attacks = {
      {{"first", first(), "sealed"},
       {"a second first for another port", first(6000), "no_policy"},
       {"the rest", second(), "sealed"}},
      {{"first", first(), "sealed"},
       {"overlaps the ports", part(8, pattern(1000), true), "bad_fragment"},
       {"overlaps the first's end", part(1000, pattern(1000), true), "bad_fragment"},
       {"the rest", second(), "sealed"}},
      {{"tiny: the first ends inside the UDP header", part(0, Bytes(GetParam() == 4 ? 4 : 7, 0), true), "short_frame"},
       {"and its rest", part(8, pattern(1000), true), "fragment_orphan"}},
      {{"the smallest first there is", part(0, udp(4000, 5000, {}, 0xbeef), true), "sealed"},
       {"its rest", part(8, pattern(1000), true), "sealed"}},
      {{"first", first(), "sealed"}, {"empty", part(1008, {}, true), "bad_fragment"}},
      {{"first", first(), "sealed"}, {"no multiple of 8", part(1008, pattern(1001), true), "bad_fragment"}},
      {{"first", first(), "sealed"}, {"ping of death", part(65528, pattern(1000), false), "bad_fragment"}},
      {{"first", first(), "sealed"},
       {"last", last(), "sealed"},
       {"behind the last", part(3008, pattern(8), true), "bad_fragment"},
       {"another last", part(4008, pattern(8), false), "bad_fragment"}},
      {{"a first of seven bytes more than a multiple of 8", part(0, udp(4000, 5000, pattern(999), 0xbeef), true),
        "bad_fragment"}},
  };
  for (std::size_t i = 0; i < attacks.size(); ++i) {
    path_.advance(std::chrono::seconds(5));
    for (const Row& row : attacks[i])
      EXPECT_EQ(red(row.frame), row.expected) << "attack " << i << ": " << row.what;
  }
}

// The same, where a port range lets both firsts pass: the later one changes nothing.
TEST(FollowingRange, ASecondFirstNeverChangesTheVerdict) {
  Harness path;
  ASSERT_TRUE(path.plane().protect("a", {{selector("239.1.1.0/24", PortRange{5000, 5999})}}));
  ASSERT_TRUE(path.plane().protect("b", {{selector("239.1.1.0/24", PortRange{6000, 6999})}}));
  for (const auto& [group, prefix, ports] :
       {std::tuple{"a", 0x10000000U, PortRange{5000, 5999}}, std::tuple{"b", 0x20000000U, PortRange{6000, 6999}}}) {
    GroupEpoch epoch = path.epoch(group, 1, prefix, {selector("239.1.1.0/24", ports)});
    epoch.outbound.push_back({key_of(prefix)});
    ASSERT_TRUE(path.plane().install(std::move(epoch)));
  }
  const auto first = [](std::uint16_t port) { return part4(0, udp(4000, port, pattern(1000)), true); };
  EXPECT_EQ(path.red(first(5000)).verdict, Verdict::forward);
  EXPECT_EQ(name(path.red(first(6000)).reason), "bad_fragment") << "of the other group";
  EXPECT_EQ(name(path.red(first(5001)).reason), "bad_fragment") << "of the same group";
  EXPECT_EQ(path.red(part4(1008, pattern(8), false)).verdict, Verdict::forward);
  EXPECT_EQ(path.sa(0x10000000)->packets, 2U);
  EXPECT_EQ(path.sa(0x20000000)->packets, 0U);
}

TEST(FollowingNone, WhereNoPortDecidesEveryFragmentSpeaksForItself) {
  Harness path;
  path.install({{selector("239.1.1.0/24"), selector(group6)}});
  EXPECT_EQ(path.red(part4(1008, pattern(1000), true)).verdict, Verdict::forward);
  EXPECT_EQ(path.red(part6(1008, pattern(1000), true)).verdict, Verdict::forward);
  EXPECT_EQ(name(path.red(part4(1008, {}, true)).reason), "bad_fragment")
      << "but hostile ones are dropped all the same";
  EXPECT_EQ(name(path.red(part4(65528, pattern(100), false)).reason), "bad_fragment");
}

TEST(FollowingModes, RFC4303_TransportModeTakesNoFragments) {
  Harness path;
  path.install({{selector("239.1.1.0/24")}, EspMode::transport});
  EXPECT_EQ(name(path.red(part4(0, udp(1, 5000, pattern(16)), true)).reason), "fragment");
  EXPECT_EQ(name(path.red(part4(1008, pattern(16), false)).reason), "fragment");
}

// An IPv6 first fragment may carry more headers behind its fragment header (RFC 7112: all of them).
TEST(FollowingIpv6, HeadersBehindTheFragmentHeader) {
  Harness path;
  path.install({{selector(group6, PortRange{5000, 5000})}});
  const Bytes options = extension(udp_protocol);
  EXPECT_EQ(path.red(part6(0, udp(4000, 5000, pattern(984), 0xbeef), true, 7, options)).verdict, Verdict::forward);
  // What follows names destination options, not UDP: it cannot be judged, and is not sealed.
  Ipv6Fields later;
  later.next_header = 44;
  later.extensions = fragment_header(60, 1000, false, 7);
  EXPECT_EQ(path.red(ethernet(ipv6(later, pattern(100)), {}, ether_type_ipv6)).verdict, Verdict::drop);
}

TEST(BlackFragments, AreDroppedUnlessReassemblyIsConfigured) {
  Ipv4Fields fields;
  fields.protocol = 50;
  struct {
    const char* what;
    std::uint16_t place;
    std::size_t bytes;
    const char* with;
  } const cases[] = {
      {"first", 0x2000, 800, "reassemble"},
      {"middle", 0x2000 | 100, 800, "reassemble"},
      {"last", 200, 33, "reassemble"},
      {"empty", 0x2000, 0, "bad_fragment"},
      {"not aligned", 0x2000, 801, "bad_fragment"},
      {"ping of death", 0x1fff, 800, "bad_fragment"},
  };
  for (const bool reassemble : {false, true}) {
    Harness::Options options;
    options.path.reassemble = reassemble;
    Harness path(options);
    path.install_tv();
    for (const auto& c : cases) {
      fields.fragment = c.place;
      const Outcome outcome = path.black(ethernet(ipv4(fields, pattern(c.bytes))));
      const std::string got = outcome.verdict == Verdict::reassemble ? "reassemble" : std::string(name(outcome.reason));
      EXPECT_EQ(got, reassemble ? c.with : "fragment") << c.what;
    }
    Ipv6Fields six;
    six.next_header = 44;
    six.extensions = fragment_header(50, 800, true);
    EXPECT_EQ(path.black(ethernet(ipv6(six, pattern(800)), {}, ether_type_ipv6)).verdict,
              reassemble ? Verdict::reassemble : Verdict::drop);
    six.next_header = 60;  // librte_ip_frag would not find the fragment header
    six.extensions = extension(44) + fragment_header(50, 800, true);
    EXPECT_EQ(name(path.black(ethernet(ipv6(six, pattern(800)), {}, ether_type_ipv6)).reason), "fragment");
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Following, ::testing::Values(4, 6));

}  // namespace
}  // namespace sealcast::dataplane::testing
