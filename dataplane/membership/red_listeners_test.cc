// Groups joined on demand: which reports on red count, and when they expire (RFC 3376, RFC 3810).
#include "dataplane/membership/red_listeners.h"

#include <gtest/gtest.h>

#include "dataplane/membership/messages.h"
#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

using namespace std::chrono_literals;
using membership::Record;
using membership::RecordType;

membership::Sender host(bool six = false) {
  return {{2, 0, 0, 0, 0, 9}, ip(six ? "fe80::9" : "10.0.0.9"), {}};
}

Bytes v3_report(RecordType type, const std::string& group, const std::vector<std::string>& sources = {}) {
  Record record{type, ip(group), {}};
  for (const auto& source : sources)
    record.sources.push_back(ip(source));
  return membership::report(host(record.group.family == 6), std::vector<Record>{record});
}

// IGMPv3: max response code in tenths of a second, S and QRV, QQIC.
Bytes v3_query(const std::string& group, std::uint8_t code, std::uint8_t flags = 2, std::uint8_t interval = 125,
               const std::vector<std::string>& sources = {}) {
  Ipv4Fields fields;
  fields.source = "10.0.0.1";
  fields.destination = group == "0.0.0.0" ? "224.0.0.1" : group;
  fields.protocol = 2;
  fields.ttl = 1;
  fields.options = router_alert;
  Bytes rest = {flags, interval, 0, static_cast<std::uint8_t>(sources.size())};
  for (const auto& source : sources) {
    const IpAddress address = ip(source);
    rest.insert(rest.end(), address.bytes.begin(), address.bytes.begin() + 4);
  }
  return ethernet(ipv4(fields, igmp(0x11, code, group, rest)));
}

// MLDv2: a maximum response delay of a second.
Bytes mld_query(const std::string& group, const std::vector<std::string>& sources) {
  Bytes rest = mld_group(group, 1000) + Bytes{2, 125, 0, static_cast<std::uint8_t>(sources.size())};
  for (const auto& source : sources)
    rest = rest + address_bytes(source);
  return frame6(mld_packet({.source = "fe80::fe", .destination = group}, 130, rest));
}

class OnDemand : public ::testing::Test {
 protected:
  void SetUp() override {
    GroupProtection wanted{{selector("239.1.1.0/24"), selector("ff1e:1::/32")}};
    wanted.on_demand = true;
    ASSERT_TRUE(path_.plane().protect("tv", wanted));
    ASSERT_TRUE(path_.plane().protect("always", {{selector("239.2.0.0/16")}}));
  }
  // The events up to now: "+tv", "-tv".
  std::string events() {
    std::string out;
    for (const InterestChange& change : path_.plane().take_events().interests)
      out += (change.listened ? "+" : "-") + change.group_id;
    return out;
  }
  std::string receive(const Bytes& frame) {
    path_.red(frame);
    return events();
  }
  Harness path_;
};

TEST_F(OnDemand, AReportWantsItsGroupAndSilenceReleasesIt) {
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.7")), "+tv");
  EXPECT_EQ(receive(v3_report(RecordType::mode_is_exclude, "239.1.1.7")), "");
  path_.advance(260s - 1ms);  // RFC 3376 §8.4: 2 * 125 s + 10 s
  EXPECT_EQ(events(), "");
  path_.advance(1ms);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, OtherGroupsAreNoReason) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.2.1.7")), "");  // not on demand
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.9.9.9")), "");
  EXPECT_EQ(receive(udp_frame(20)), "");  // red's own traffic
}

TEST_F(OnDemand, EveryVersionCounts) {
  EXPECT_EQ(receive(membership::old_report(host(), ip("239.1.1.1"), 1)), "+tv");
  path_.advance(300s);
  EXPECT_EQ(events(), "-tv");
  EXPECT_EQ(receive(membership::old_report(host(), ip("239.1.1.1"), 2)), "+tv");
  path_.advance(300s);
  EXPECT_EQ(events(), "-tv");
  EXPECT_EQ(receive(membership::old_report(host(true), ip("ff1e:1::5"), 1)), "+tv");
  path_.advance(300s);
  EXPECT_EQ(events(), "-tv");
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "ff1e:1::5")), "+tv");
  path_.advance(300s);
  EXPECT_EQ(events(), "-tv");
  EXPECT_EQ(receive(v3_report(RecordType::allow_new_sources, "239.1.1.1", {"10.9.9.9"})), "+tv");
}

TEST_F(OnDemand, WhatGivesUpIsNoInterest) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_include, "239.1.1.1")), "");
  EXPECT_EQ(receive(v3_report(RecordType::block_old_sources, "239.1.1.1", {"10.9.9.9"})), "");
  EXPECT_EQ(receive(membership::old_leave(host(), ip("239.1.1.1"))), "");
}

// RFC 3376 §6.6.1: the querier asks for the remaining members; the last member query time is robustness times its max
// response time.
TEST_F(OnDemand, TheLastLeaveReleasesAfterTheQueriersQuestion) {
  EXPECT_EQ(receive(membership::old_report(host(), ip("239.1.1.1"), 2)), "+tv");
  EXPECT_EQ(receive(membership::old_leave(host(), ip("239.1.1.1"))), "");  // others may listen
  path_.advance(30s);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10)), "");
  path_.advance(1999ms);
  EXPECT_EQ(events(), "");
  path_.advance(1ms);
  EXPECT_EQ(events(), "-tv");
}

// RFC 3376 §6.4, §6.6.1 and RFC 3810 §7.4, §7.6.1: each source has a timer of its own.
TEST_F(OnDemand, LeavingTheLastSourceReleasesAfterTheQueriersQuestionAboutIt) {
  EXPECT_EQ(receive(v3_report(RecordType::allow_new_sources, "239.1.1.1", {"10.9.9.1", "10.9.9.2"})), "+tv");
  EXPECT_EQ(receive(v3_report(RecordType::block_old_sources, "239.1.1.1", {"10.9.9.1"})), "") << "others may listen";
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10, 2, 125, {"10.9.9.1"})), "");
  path_.advance(100s);
  EXPECT_EQ(events(), "") << "the other source is wanted still";
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10, 2, 125, {"10.9.9.2", "10.9.9.3"})), "");
  path_.advance(2s - 1ms);
  EXPECT_EQ(events(), "");
  path_.advance(1ms);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, LeavingTheLastSourceByMldReleasesTheSameWay) {
  EXPECT_EQ(receive(v3_report(RecordType::mode_is_include, "ff1e:1::5", {"2001:db8::1"})), "+tv");
  EXPECT_EQ(receive(mld_query("ff1e:1::5", {"2001:db8::2"})), "") << "another source";
  path_.advance(100s);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(mld_query("ff1e:1::5", {"2001:db8::1"})), "");
  path_.advance(1s);
  EXPECT_EQ(receive(v3_report(RecordType::mode_is_include, "ff1e:1::5", {"2001:db8::1"})), "") << "it still listens";
  path_.advance(100s);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(mld_query("ff1e:1::5", {"2001:db8::1"})), "");
  path_.advance(2s);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, AQuestionAboutASourceEndsNoInterestInAnySource) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  EXPECT_EQ(receive(v3_report(RecordType::allow_new_sources, "239.1.1.1", {"10.9.9.1"})), "");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10, 2, 125, {"10.9.9.1"})), "");
  path_.advance(200s);
  EXPECT_EQ(events(), "") << "a host in filter mode EXCLUDE";
  // It turns to one source; what is left of the group's timer does not end that.
  EXPECT_EQ(receive(v3_report(RecordType::change_to_include, "239.1.1.1", {"10.9.9.1"})), "");
  path_.advance(100s);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10, 8 | 2, 125, {"10.9.9.1"})), "") << "S: timers stay";
  path_.advance(100s);
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10)), "") << "a question about the group is about each of its sources";
  path_.advance(2s);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, WhoStillListensAnswersInTime) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10)), "");
  path_.advance(1s);
  EXPECT_EQ(receive(v3_report(RecordType::mode_is_exclude, "239.1.1.1")), "");
  path_.advance(200s);
  EXPECT_EQ(events(), "");
}

TEST_F(OnDemand, AQuestionOnBlackCountsToo) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  path_.black(v3_query("239.1.1.1", 10));
  EXPECT_EQ(events(), "");
  path_.advance(2s);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, ASuppressedQuestionShortensNothing) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  EXPECT_EQ(receive(v3_query("239.1.1.1", 10, 8 | 2)), "");
  path_.advance(100s);
  EXPECT_EQ(events(), "");
}

// RFC 3376 §4.1.6, §4.1.7: a router that is not the querier takes over the querier's values.
TEST_F(OnDemand, TheQueriersIntervalsHold) {
  EXPECT_EQ(receive(v3_query("0.0.0.0", 20, 3, 10)), "");  // 3 * 10 s + 2 s
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  path_.advance(32s - 1ms);
  EXPECT_EQ(events(), "");
  path_.advance(1ms);
  EXPECT_EQ(events(), "-tv");
}

TEST_F(OnDemand, TheGroupIsWantedWhileAnyOfItsAddressesIs) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.1")), "+tv");
  path_.advance(100s);
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.2")), "");
  path_.advance(200s);  // the first one has expired
  EXPECT_EQ(events(), "");
  path_.advance(60s);
  EXPECT_EQ(events(), "-tv");
}

// H13: an address costs memory, so their number is bounded.
TEST(Listeners, AddressesAreBounded) {
  membership::Listeners listeners;
  for (std::uint32_t i = 0; i < membership::Listeners::most + 10; ++i)
    listeners.on_report({IpAddress::v4(0xef000000 + i), {}}, SteadyTime());
  EXPECT_EQ(listeners.size(), membership::Listeners::most);
  EXPECT_EQ(listeners.changes(SteadyTime()).size(), membership::Listeners::most);
}

// H13: so do sources; what there is no room for counts as interest in the group, which then ends with its interval.
TEST(Listeners, SourcesAreBoundedAndNoInterestIsLost) {
  membership::Listeners listeners;
  const IpAddress group = IpAddress::v4(0xe8010101);
  for (std::uint32_t i = 0; i < membership::Listeners::most + 10; ++i)
    listeners.on_report({group, {IpAddress::v4(0x0a000000 + i)}}, SteadyTime());
  EXPECT_EQ(listeners.size(), membership::Listeners::most);
  EXPECT_EQ(listeners.changes(SteadyTime()).size(), 1u);
  EXPECT_EQ(listeners.changes(SteadyTime() + 259s).size(), 0u);
  EXPECT_EQ(listeners.changes(SteadyTime() + 260s).size(), 1u);
  EXPECT_EQ(listeners.size(), 0u);
}

// Removed and added while the gateway runs.
TEST_F(OnDemand, AGroupThatComesBackIsWantedWhenTheNextReportSaysSo) {
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.5")), "+tv");
  ASSERT_TRUE(path_.plane().unprotect("tv"));
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.6")), "") << "not a configured group";
  GroupProtection wanted{{selector("239.1.1.0/24")}};
  wanted.on_demand = true;
  ASSERT_TRUE(path_.plane().protect("tv", wanted));
  EXPECT_EQ(events(), "");
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.1.1.5")), "+tv");
  path_.advance(5min);
  EXPECT_EQ(events(), "-tv") << "and forgotten in time";
}

TEST_F(OnDemand, AGroupThatIsAddedWhileSomebodyListensIsWantedAtOnce) {
  GroupProtection ssm{{selector("239.5.1.0/24")}};
  ssm.on_demand = true;
  ssm.selectors[0].source = *Prefix::parse("10.0.0.1");
  ASSERT_TRUE(path_.plane().protect("one", ssm));
  EXPECT_EQ(receive(v3_report(RecordType::change_to_exclude, "239.5.1.5")), "+one");
  ssm.selectors[0].source = *Prefix::parse("10.0.0.2");
  ASSERT_TRUE(path_.plane().protect("two", ssm));
  EXPECT_EQ(events(), "+two");
  path_.advance(5min);
  EXPECT_EQ(events(), "-one-two");
}

}  // namespace
}  // namespace sealcast::dataplane::testing
