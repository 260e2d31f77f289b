#include "dataplane/membership/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "dataplane/membership/listener.h"
#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/testing/clear_packets.h"

namespace sealcast::dataplane::membership {
namespace {

using dataplane::testing::address_bytes;
using dataplane::testing::clear;
using dataplane::testing::ethernet;
using dataplane::testing::frame6;
using dataplane::testing::igmp;
using dataplane::testing::ip;
using dataplane::testing::ipv4;
using dataplane::testing::mld_group;
using dataplane::testing::mld_packet;
using dataplane::testing::router_alert;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

std::string record_text(std::uint8_t type) {
  static constexpr const char* names[] = {"?", "IS_IN", "IS_EX", "TO_IN", "TO_EX", "ALLOW", "BLOCK"};
  return names[type <= 6 ? type : 0];
}

// A report's content, read by its layout: "TO_EX 239.1.1.1 {10.0.0.1}"; of older versions "v2 239.1.1.1", "leave …".
std::vector<std::string> texts_of(const Bytes& frame) {
  const ClearPacket packet = clear(frame);
  const bool four = packet.family == 4;
  EXPECT_EQ(four ? check_igmp_report(packet) : check_mld_report(packet), DropReason::none);
  EXPECT_EQ(four ? IpAddress::v4(0).text() : "fe80::ff:fe00:1", packet.source.text());
  const auto at = [&](std::size_t offset) {
    IpAddress address;
    address.family = packet.family;
    std::memcpy(address.bytes.data(), packet.payload() + offset, address.size());
    return address.text();
  };
  const std::uint8_t type = packet.payload()[0];
  switch (type) {
    case 0x12:
      return {"v1 " + at(4)};
    case 0x16:
      return {"v2 " + at(4)};
    case 0x17:
      return {"leave " + at(4)};
    case 131:
      return {"v1 " + at(8)};
    case 132:
      return {"leave " + at(8)};
    default:
      break;
  }
  std::vector<std::string> out;
  const std::size_t size = four ? 4 : 16;
  std::size_t offset = 8;
  for (unsigned left = packet.payload()[6] * 256U + packet.payload()[7]; left != 0; --left) {
    std::string text = record_text(packet.payload()[offset]) + " " + at(offset + 4) + " {";
    const unsigned sources = packet.payload()[offset + 2] * 256U + packet.payload()[offset + 3];
    for (unsigned i = 0; i < sources; ++i)
      text += (i == 0 ? "" : " ") + at(offset + 4 + size * (1 + i));
    out.push_back(text + "}");
    offset += 4 + size * (1 + sources);
  }
  return out;
}

class Lan {
 public:
  explicit Lan(std::uint8_t family = 4) : host(options(family)) {}

  std::vector<std::string> receive(const Bytes& frame) {
    const auto query = read_query(frame);
    EXPECT_TRUE(query) << "the test's own query is wrong";
    if (query) host.on_query(*query, now);
    return due();
  }
  std::vector<std::string> due() {
    std::vector<std::string> out;
    for (const Bytes& frame : host.due(now, 1000))
      for (const std::string& text : texts_of(frame))
        out.push_back(text);
    return out;
  }
  std::vector<std::string> wants(const Interests& all) {
    host.want(all, now);
    return due();
  }
  std::vector<std::string> after(milliseconds time) {
    now += time;
    return due();
  }

  // The longest delay, unless the test changes it.
  std::function<std::uint32_t(std::uint32_t)> random = [](std::uint32_t bound) { return bound; };
  Time now = Time(std::chrono::hours(100));
  Host host;

 private:
  Host::Options options(std::uint8_t family) {
    Host::Options out;
    out.sender.mac = {2, 0, 0, 0, 0, 1};
    out.sender.source = family == 4 ? IpAddress::v4(0) : link_local_address(out.sender.mac);
    out.mtu = 600;
    out.random = [this](std::uint32_t bound) { return random(bound); };
    return out;
  }
};

const Interests tv_from_all = {{ip("239.1.1.1"), {}}};

Bytes query4(const std::string& group, std::uint8_t code, const Bytes& rest, bool alert = true) {
  return ethernet(ipv4({.source = "10.0.0.254",
                        .destination = group == "0.0.0.0" ? "224.0.0.1" : group,
                        .protocol = 2,
                        .ttl = 1,
                        .options = alert ? router_alert : Bytes{}},
                       igmp(0x11, code, group, rest)));
}
// IGMPv3 with robustness 2 and interval 125 s; sources as text.
Bytes query_v3(const std::string& group, const std::vector<std::string>& sources = {}, std::uint8_t code = 100) {
  Bytes rest = {2, 125, 0, static_cast<std::uint8_t>(sources.size())};
  for (const auto& source : sources)
    rest = dataplane::testing::operator+(rest, address_bytes(source));
  return query4(group, code, rest);
}

// ------------------------------------------------------------------------------------------------------------------

TEST(MembershipHost, Rfc3376_5_1_AJoinIsToldAsOftenAsTheRobustnessSays) {
  Lan lan;
  EXPECT_THAT(lan.wants(tv_from_all), ElementsAre("TO_EX 239.1.1.1 {}"));
  EXPECT_THAT(lan.after(milliseconds(999)), IsEmpty());
  EXPECT_THAT(lan.after(milliseconds(1)), ElementsAre("TO_EX 239.1.1.1 {}"));
  EXPECT_THAT(lan.after(seconds(60)), IsEmpty());
  EXPECT_EQ(lan.host.next(), std::nullopt);
  EXPECT_THAT(lan.wants(tv_from_all), IsEmpty()) << "nothing new";
}

TEST(MembershipHost, Rfc3376_5_1_ALeaveIsToldAndThenForgotten) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.after(seconds(2));
  EXPECT_THAT(lan.wants({}), ElementsAre("TO_IN 239.1.1.1 {}"));
  EXPECT_THAT(lan.after(seconds(1)), ElementsAre("TO_IN 239.1.1.1 {}"));
  EXPECT_EQ(lan.host.groups(), 0U);
  EXPECT_THAT(lan.receive(query_v3("0.0.0.0")), IsEmpty());
  EXPECT_THAT(lan.after(seconds(20)), IsEmpty());
}

TEST(MembershipHost, Rfc3376_5_1_SourceChangesAreDifferences) {
  Lan lan;
  const IpAddress group = ip("232.1.1.1"), a = ip("10.0.0.1"), b = ip("10.0.0.2"), c = ip("10.0.0.3");
  EXPECT_THAT(lan.wants({{group, {false, {a, b}}}}), ElementsAre("ALLOW 232.1.1.1 {10.0.0.1 10.0.0.2}"));
  lan.after(seconds(1));
  EXPECT_THAT(lan.wants({{group, {false, {b, c}}}}),
              ElementsAre("ALLOW 232.1.1.1 {10.0.0.3}", "BLOCK 232.1.1.1 {10.0.0.1}"));
  EXPECT_THAT(lan.after(seconds(1)), SizeIs(2));
  EXPECT_THAT(lan.after(seconds(1)), IsEmpty());
  EXPECT_THAT(lan.wants({{group, {true, {a}}}}), ElementsAre("TO_EX 232.1.1.1 {10.0.0.1}"));
  EXPECT_THAT(lan.wants({{group, {true, {b}}}}), ElementsAre("TO_EX 232.1.1.1 {10.0.0.2}"))
      << "while a change of mode is being told, sources travel with it";
  lan.after(seconds(1));
  EXPECT_THAT(lan.wants({{group, {true, {}}}}), ElementsAre("ALLOW 232.1.1.1 {10.0.0.2}"));
  lan.after(seconds(1));
  EXPECT_THAT(lan.wants({{group, {false, {a}}}}), ElementsAre("TO_IN 232.1.1.1 {10.0.0.1}"));
  lan.after(seconds(1));
  EXPECT_THAT(lan.wants({}), ElementsAre("BLOCK 232.1.1.1 {10.0.0.1}"));
  EXPECT_THAT(lan.after(seconds(1)), ElementsAre("BLOCK 232.1.1.1 {10.0.0.1}"));
  EXPECT_EQ(lan.host.groups(), 0U);
}

TEST(MembershipHost, Rfc3376_5_2_QueriesAreAnsweredAfterARandomDelay) {
  Lan lan;
  lan.wants({{ip("239.1.1.1"), {}}, {ip("232.1.1.1"), {false, {ip("10.0.0.1")}}}});
  lan.after(seconds(5));
  EXPECT_THAT(lan.receive(query_v3("0.0.0.0")), IsEmpty());
  EXPECT_THAT(lan.after(milliseconds(9999)), IsEmpty());
  EXPECT_THAT(lan.after(milliseconds(1)), ElementsAre("IS_IN 232.1.1.1 {10.0.0.1}", "IS_EX 239.1.1.1 {}"));
  EXPECT_THAT(lan.after(seconds(60)), IsEmpty());
  lan.random = [](std::uint32_t) { return 0U; };
  EXPECT_THAT(lan.receive(query_v3("239.1.1.1")), ElementsAre("IS_EX 239.1.1.1 {}"));
  EXPECT_THAT(lan.receive(query_v3("239.1.1.2")), IsEmpty()) << "not ours";
  EXPECT_THAT(lan.receive(query_v3("232.1.1.1", {"10.0.0.1", "10.0.0.2"})), ElementsAre("IS_IN 232.1.1.1 {10.0.0.1}"));
  EXPECT_THAT(lan.receive(query_v3("232.1.1.1", {"10.0.0.2"})), IsEmpty());
  EXPECT_THAT(lan.receive(query_v3("239.1.1.1", {"10.0.0.2"})), ElementsAre("IS_IN 239.1.1.1 {10.0.0.2}"));
}

TEST(MembershipHost, Rfc3376_5_2_PendingAnswersAreMerged) {
  Lan lan;
  lan.wants({{ip("239.1.1.1"), {}}});
  lan.after(seconds(5));
  lan.receive(query_v3("239.1.1.1", {"10.0.0.1"}, 100));
  lan.receive(query_v3("239.1.1.1", {"10.0.0.2"}, 50));
  EXPECT_THAT(lan.after(seconds(5)), ElementsAre("IS_IN 239.1.1.1 {10.0.0.1 10.0.0.2}")) << "rule 5, the sooner time";
  lan.receive(query_v3("239.1.1.1", {"10.0.0.1"}, 100));
  lan.receive(query_v3("239.1.1.1", {}, 100));
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("IS_EX 239.1.1.1 {}")) << "rule 4";
  lan.receive(query_v3("0.0.0.0", {}, 50));
  lan.receive(query_v3("239.1.1.1", {}, 100));
  EXPECT_THAT(lan.after(seconds(5)), ElementsAre("IS_EX 239.1.1.1 {}")) << "rule 1: the general answer comes sooner";
  EXPECT_THAT(lan.after(seconds(10)), IsEmpty());
}

TEST(MembershipHost, Rfc3376_7_2_AnOlderQuerierIsSpokenToInItsVersion) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.after(seconds(5));
  EXPECT_EQ(lan.host.version(lan.now), 3);
  EXPECT_THAT(lan.receive(query4("0.0.0.0", 100, {})), IsEmpty());
  EXPECT_EQ(lan.host.version(lan.now), 2);
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("v2 239.1.1.1"));
  EXPECT_THAT(lan.wants({{ip("239.1.1.1"), {}}, {ip("239.1.1.2"), {}}}), ElementsAre("v2 239.1.1.2"));
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("v2 239.1.1.2")) << "told twice";
  EXPECT_THAT(lan.after(seconds(10)), IsEmpty());
  EXPECT_THAT(lan.wants(tv_from_all), ElementsAre("leave 239.1.1.2"));
  EXPECT_EQ(lan.host.groups(), 1U);
  EXPECT_THAT(lan.receive(query4("239.1.1.1", 10, {})), IsEmpty());
  EXPECT_THAT(lan.after(seconds(1)), ElementsAre("v2 239.1.1.1"));
  // 2 * 125 s + 10 s without an older query: back to version 3.
  lan.after(seconds(258));
  EXPECT_EQ(lan.host.version(lan.now), 2);
  lan.after(seconds(1));
  EXPECT_EQ(lan.host.version(lan.now), 3);
  lan.receive(query_v3("0.0.0.0"));
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("IS_EX 239.1.1.1 {}"));
}

TEST(MembershipHost, Rfc3376_7_2_1_AnotherVersionEndsWhatWasPending) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.wants({});  // the repetition and the leave are pending
  EXPECT_NE(lan.host.next(), std::nullopt);
  lan.receive(query4("0.0.0.0", 0, {}, false));
  EXPECT_EQ(lan.host.version(lan.now), 1);
  EXPECT_EQ(lan.host.groups(), 0U);
  EXPECT_THAT(lan.after(seconds(20)), IsEmpty());
  EXPECT_THAT(lan.wants(tv_from_all), ElementsAre("v1 239.1.1.1"));
  EXPECT_THAT(lan.wants({}), IsEmpty()) << "version 1 knows no leave";
}

TEST(MembershipHost, TheQuerierSaysHowOftenAndHowLong) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.after(seconds(5));
  Bytes rest = {4, 0x88, 0, 0};                // robustness 4, interval (16 + 8) << 3 = 192 s
  lan.receive(query4("0.0.0.0", 0x8f, rest));  // longest delay (16 + 15) << 3 tenths
  EXPECT_THAT(lan.after(milliseconds(24799)), IsEmpty());
  EXPECT_THAT(lan.after(milliseconds(1)), SizeIs(1));
  EXPECT_THAT(lan.wants({}), SizeIs(1));
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(lan.after(seconds(1)), ElementsAre("TO_IN 239.1.1.1 {}")) << "four times in all";
  EXPECT_THAT(lan.after(seconds(1)), IsEmpty());
  lan.receive(query4("0.0.0.0", 100, {}));
  lan.after(seconds(4 * 192 + 9));
  EXPECT_EQ(lan.host.version(lan.now), 2);
  lan.after(seconds(2));
  EXPECT_EQ(lan.host.version(lan.now), 3);
}

TEST(MembershipHost, Rfc3810_MldIsSpokenTheSameWay) {
  Lan lan(6);
  const std::string group = "ff3e::8000:1";
  EXPECT_THAT(lan.wants({{ip(group), {}}, {ip("239.1.1.1"), {}}}), ElementsAre("TO_EX ff3e::8000:1 {}"));
  lan.after(seconds(1));
  const auto query = [&](const std::string& about, const Bytes& rest) {
    return frame6(mld_packet({.source = "fe80::fe", .destination = about == "::" ? "ff02::1" : about}, 130,
                             dataplane::testing::operator+(mld_group(about, 10000), rest)));
  };
  lan.receive(query("::", {2, 125, 0, 0}));
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("IS_EX ff3e::8000:1 {}"));
  lan.receive(query(group, {2, 125, 0, 1, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}));
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("IS_IN ff3e::8000:1 {2001:db8::7}"));
  lan.receive(query("::", {}));
  EXPECT_EQ(lan.host.version(lan.now), 1);
  EXPECT_THAT(lan.after(seconds(10)), ElementsAre("v1 ff3e::8000:1"));
  EXPECT_THAT(lan.wants({}), ElementsAre("leave ff3e::8000:1"));
  EXPECT_EQ(lan.host.groups(), 0U);
}

TEST(MembershipHost, ReportsKeepWithinTheMtuAndThePace) {
  Lan lan;
  Interests many;
  for (std::uint32_t i = 1; i <= 1000; ++i)
    many[IpAddress::v4(0xef010000 + i)] = {};
  lan.host.want(many, lan.now);
  std::size_t records = 0, frames = 0;
  for (;;) {
    const auto some = lan.host.due(lan.now, 3);
    EXPECT_THAT(some, SizeIs(Le(3U)));
    if (some.empty()) break;
    for (const Bytes& frame : some) {
      EXPECT_LE(frame.size(), 14U + 600U);
      records += texts_of(frame).size();
      ++frames;
    }
  }
  EXPECT_EQ(records, 1000U);
  EXPECT_EQ(frames, 15U);  // 71 records of 8 bytes in 600 - 32
}

TEST(MembershipHost, MoreSourcesThanFitBecomeAll) {
  Lan lan;
  Filter filter{false, {}};
  for (std::uint32_t i = 1; i <= max_sources; ++i)
    filter.sources.insert(IpAddress::v4(0x0a000000 + i));
  const IpAddress group = ip("232.1.1.1");
  EXPECT_THAT(lan.wants({{group, filter}}), ElementsAre(::testing::StartsWith("ALLOW")));
  filter.sources.insert(ip("10.9.9.9"));
  EXPECT_THAT(lan.wants({{group, filter}}), ElementsAre("TO_EX 232.1.1.1 {}"));
}

TEST(MembershipHost, AFloodOfQueriesCostsOneAnswerAndBoundedMemory) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.after(seconds(5));
  for (unsigned i = 0; i < 10'000; ++i) {
    lan.receive(query_v3("239.1.1.1", {"10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250)}));
    lan.receive(query_v3("0.0.0.0"));
  }
  std::vector<std::string> all;
  for (int i = 0; i < 30; ++i)
    for (const auto& text : lan.after(seconds(1)))
      all.push_back(text);
  EXPECT_THAT(all, ElementsAre("IS_EX 239.1.1.1 {}"));
}

TEST(MembershipHost, WhatTwoWantTogetherIsTheUnion) {
  const IpAddress a = ip("10.0.0.1"), b = ip("10.0.0.2");
  const auto in = [](std::set<IpAddress> sources) { return Filter{false, std::move(sources)}; };
  const auto ex = [](std::set<IpAddress> sources) { return Filter{true, std::move(sources)}; };
  EXPECT_EQ(merge(in({a}), in({b})), in({a, b}));
  EXPECT_EQ(merge(ex({a, b}), ex({b})), ex({b}));
  EXPECT_EQ(merge(ex({a, b}), in({a})), ex({b}));
  EXPECT_EQ(merge(in({a}), ex({a, b})), ex({b}));
  EXPECT_EQ(merge(in({}), ex({})), ex({}));
}

TEST(MembershipHost, DelaysAreDrawnWithinWhatTheQueryAllows) {
  Lan lan;
  lan.wants(tv_from_all);
  lan.after(seconds(5));
  std::vector<std::uint32_t> bounds;
  lan.random = [&](std::uint32_t bound) {
    bounds.push_back(bound);
    return bound / 2;
  };
  lan.receive(query_v3("0.0.0.0"));
  EXPECT_THAT(bounds, ElementsAre(10'000U));
  EXPECT_THAT(lan.after(milliseconds(4999)), IsEmpty());
  EXPECT_THAT(lan.after(milliseconds(1)), SizeIs(1));
}

TEST(MembershipMessages, WhatIsNoRightQueryIsNone) {
  const Bytes good = query_v3("0.0.0.0");
  ASSERT_TRUE(read_query(good));
  for (std::size_t bytes = 0; bytes < good.size(); ++bytes)
    EXPECT_FALSE(read_query(std::span(good).first(bytes))) << bytes;
  EXPECT_FALSE(read_query(query4("239.1.1.1", 100, {2, 125, 0, 9})));
  Sender sender;
  sender.source = IpAddress::v4(0);
  EXPECT_FALSE(read_query(old_report(sender, ip("239.1.1.1"), 2)));
  // Behind two tags it is still a query.
  Bytes tagged = good;
  const Bytes tags = {0x88, 0xa8, 0, 5, 0x81, 0, 0, 6};
  tagged.insert(tagged.begin() + 12, tags.begin(), tags.end());
  EXPECT_TRUE(read_query(tagged));
}

TEST(MembershipMessages, TagsAndAddressesOfWhatIsSent) {
  Sender sender;
  sender.mac = {2, 0, 0, 0, 0, 1};
  sender.source = ip("10.9.0.2");
  sender.vlans = {5, 6};
  const Bytes frame = old_report(sender, ip("239.129.1.1"), 2);
  const Bytes start = {0x01, 0, 0x5e, 1, 1, 1, 2, 0, 0, 0, 0, 1, 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0};
  EXPECT_TRUE(std::equal(start.begin(), start.end(), frame.begin()));
  EXPECT_EQ(link_local_address({0x02, 0x11, 0x22, 0x33, 0x44, 0x55}).text(), "fe80::11:22ff:fe33:4455");
}

TEST(MembershipListener, BothFamiliesEachWithItsSource) {
  Listener::Options options;
  options.mac = {2, 0, 0, 0, 0, 1};
  options.address6 = ip("2001:db8::5");  // no source for MLD
  options.random = [](std::uint32_t bound) { return bound; };
  Listener listener(options);
  const Time now{std::chrono::hours(1)};
  listener.want({{ip("239.1.1.1"), {}}, {ip("ff3e::1"), {}}}, now);
  const auto frames = listener.due(now, 10);
  ASSERT_THAT(frames, SizeIs(2));
  EXPECT_THAT(texts_of(frames[0]), ElementsAre("TO_EX 239.1.1.1 {}"));
  EXPECT_THAT(texts_of(frames[1]), ElementsAre("TO_EX ff3e::1 {}"));
}

}  // namespace
}  // namespace sealcast::dataplane::membership
