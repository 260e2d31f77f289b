#include "dataplane/path/bypass.h"

#include <gtest/gtest.h>

#include <functional>

#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/packet/packet.h"
#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

constexpr std::uint64_t second_in_ns = 1'000'000'000;

BypassRule ip_rule(std::uint8_t protocol, const char* destination) {
  BypassRule made = bypass_rule(BypassProtocol::ip);
  made.ip_protocol = protocol;
  made.destination = Prefix::parse(destination).value();
  return made;
}

DropReason read_exact(const Bytes& frame) {
  // A copy of just its size, so that AddressSanitizer sees every step beyond.
  const Bytes exact(frame.begin() + ethernet_bytes, frame.end());
  ClearPacket packet;
  return read_clear(exact.data(), static_cast<std::uint32_t>(exact.size()), load16(&frame[12]), packet);
}

// ------------------------------------------------------------------------------------------------------------------

struct MldCase {
  const char* what;
  Bytes packet;
  DropReason report, query;
};

Bytes changed(Bytes packet, std::size_t at, std::uint8_t value) {
  packet.at(at) = value;
  return packet;
}

constexpr std::size_t mld_at = 48;  // of the message in an IPv6 packet with mld_alert

Bytes records(std::uint16_t count, const Bytes& rest) {
  return Bytes{0, 0, static_cast<std::uint8_t>(count >> 8), static_cast<std::uint8_t>(count)} + rest;
}

Bytes record(std::uint8_t type, const std::string& group, std::uint16_t sources, const Bytes& list = {},
             std::uint8_t auxiliary = 0) {
  return Bytes{type, auxiliary, static_cast<std::uint8_t>(sources >> 8), static_cast<std::uint8_t>(sources)} +
         address_bytes(group) + list;
}

Bytes query_rest(const std::string& group, std::uint16_t sources, const Bytes& list = {}) {
  return mld_group(group, 1000) +
         Bytes{2, 125, static_cast<std::uint8_t>(sources >> 8), static_cast<std::uint8_t>(sources)} + list;
}

std::vector<MldCase> mld_cases() {
  constexpr DropReason ok = DropReason::none, no = DropReason::mld_not_allowed, fragment = DropReason::fragment;
  const std::string group = "ff3e::8000:1";
  const Header6 to_group{.destination = group};
  const Header6 to_all{.destination = "ff02::1"};
  const Header6 to_routers{.destination = "ff02::2"};
  const Header6 v2;  // ff02::16
  const Bytes source = address_bytes("2001:db8::1");
  const Bytes good_report = mld_packet(v2, 143, records(1, record(4, group, 0)));
  const Bytes good_query = mld_packet(to_all, 130, query_rest("::", 0));
  Header6 global = v2, none = v2, global_query = to_all, hops = v2;
  global.source = "2001:db8::9";
  none.source = "::";
  global_query.source = "2001:db8::9";
  hops.hop_limit = 2;
  Header6 bare = v2;  // no hop-by-hop header
  return {
      {"v1 report to its group", mld_packet(to_group, 131, mld_group(group)), ok, no},
      {"v1 report elsewhere", mld_packet(to_routers, 131, mld_group(group)), no, no},
      {"v1 report of a unicast address", mld_packet({.destination = "2001:db8::5"}, 131, mld_group("2001:db8::5")), no,
       no},
      {"v1 report with bytes behind", mld_packet(to_group, 131, mld_group(group) + Bytes{1, 2, 3, 4}), no, no},
      {"v1 done to all routers", mld_packet(to_routers, 132, mld_group(group)), ok, no},
      {"v1 done to its group", mld_packet(to_group, 132, mld_group(group)), no, no},
      {"v2 report", good_report, ok, no},
      {"v2 report without records", mld_packet(v2, 143, records(0, {})), ok, no},
      {"v2 report with sources", mld_packet(v2, 143, records(1, record(5, group, 2, source + source))), ok, no},
      {"v2 report from ::", mld_packet(none, 143, records(1, record(4, group, 0))), ok, no},
      {"v2 report from a global address", mld_packet(global, 143, records(1, record(4, group, 0))), no, no},
      {"v2 report with hop limit 2", mld_packet(hops, 143, records(1, record(4, group, 0))), no, no},
      {"v2 report to all routers", mld_packet(to_routers, 143, records(1, record(4, group, 0))), no, no},
      {"v2 report, a record too many", mld_packet(v2, 143, records(2, record(4, group, 0))), no, no},
      {"v2 report, a record too few", mld_packet(v2, 143, records(0, record(4, group, 0))), no, no},
      {"v2 report, 65535 records", mld_packet(v2, 143, records(65535, record(4, group, 0))), no, no},
      {"v2 report whose source list lies", mld_packet(v2, 143, records(1, record(5, group, 3, source))), no, no},
      {"v2 report whose source list lies widely", mld_packet(v2, 143, records(1, record(5, group, 65535, source))), no,
       no},
      {"v2 report with auxiliary data", mld_packet(v2, 143, records(1, record(4, group, 0, Bytes(4), 1))), no, no},
      {"v2 report of type 0", mld_packet(v2, 143, records(1, record(0, group, 0))), no, no},
      {"v2 report of type 7", mld_packet(v2, 143, records(1, record(7, group, 0))), no, no},
      {"v2 report of a unicast group", mld_packet(v2, 143, records(1, record(4, "2001:db8::5", 0))), no, no},
      {"v2 report cut short", mld_packet(v2, 143, {0, 0}), no, no},
      {"v2 report with a wrong checksum", changed(good_report, mld_at + 2, good_report[mld_at + 2] ^ 1), no, no},
      {"v2 report with a code", ip6({.next = 0}, mld_alert + icmp6(v2, 143, 1, records(1, record(4, group, 0)))), no,
       no},
      {"v2 report without Router Alert", ip6(bare, icmp6(v2, 143, 0, records(1, record(4, group, 0)))), no, no},
      {"v2 report, Router Alert for RSVP", changed(good_report, 45, 1), no, no},
      {"v2 report, padding that is none", changed(good_report, 46, 30), no, no},
      {"v2 report behind destination options",
       ip6({.next = 0}, Bytes{60, 0, 5, 2, 0, 0, 1, 0} + Bytes{58, 0, 1, 4, 0, 0, 0, 0} +
                            icmp6(v2, 143, 0, records(1, record(4, group, 0)))),
       no, no},
      {"v2 report as a fragment",
       ip6({.next = 0}, Bytes{44, 0, 5, 2, 0, 0, 1, 0} + Bytes{58, 0, 0, 1, 0, 0, 0, 1} +
                            icmp6(v2, 143, 0, records(1, record(4, group, 0)))),
       fragment, fragment},
      {"v1 general query", mld_packet(to_all, 130, mld_group("::", 1000)), no, ok},
      {"v1 group query", mld_packet(to_group, 130, mld_group(group, 1000)), no, ok},
      {"v2 general query", good_query, no, ok},
      {"v2 group query", mld_packet(to_group, 130, query_rest(group, 0)), no, ok},
      {"v2 source query", mld_packet(to_group, 130, query_rest(group, 2, source + source)), no, ok},
      {"v2 source query that lies", mld_packet(to_group, 130, query_rest(group, 2, source)), no, no},
      {"v2 source query with bytes behind", mld_packet(to_group, 130, query_rest(group, 0, source)), no, no},
      {"general query to a group", mld_packet(to_group, 130, query_rest("::", 0)), no, no},
      {"group query to all nodes", mld_packet(to_all, 130, query_rest(group, 0)), no, no},
      {"query from a global address", mld_packet(global_query, 130, query_rest("::", 0)), no, no},
      {"query of 25 bytes", mld_packet(to_all, 130, mld_group("::", 1000) + Bytes{0}), no, no},
      {"query with hop limit 255", mld_packet({.destination = "ff02::1", .hop_limit = 255}, 130, query_rest("::", 0)),
       no, no},
  };
}

TEST(Mld, ReportsAndQueriesPassInTheirFormOnly) {
  for (const MldCase& c : mld_cases()) {
    const Bytes frame = frame6(c.packet);
    EXPECT_EQ(check_mld_report(clear(frame)), c.report) << c.what << ", as report";
    EXPECT_EQ(check_mld_query(clear(frame)), c.query) << c.what << ", as query";
  }
}

TEST(Mld, EveryWrongByteOfAReportIsSeen) {
  const Bytes good = frame6(mld_packet({}, 143, records(1, record(4, "ff3e::8000:1", 0))));
  ASSERT_EQ(check_mld_report(clear(good)), DropReason::none);
  // The checksum covers addresses, lengths and the message; the fixed header's and the option's bytes decide alone.
  for (std::size_t i = ethernet_bytes + 4; i < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= 0x10;
    ClearPacket packet;
    const DropReason reason = read_clear(bad.data() + ethernet_bytes,
                                         static_cast<std::uint32_t>(bad.size()) - ethernet_bytes, 0x86dd, packet);
    if (reason != DropReason::none || packet.protocol != 58) continue;
    EXPECT_NE(check_mld_report(packet), DropReason::none) << "byte " << i;
  }
}

TEST(ClearPacket, HostileLengthsAreRefused) {
  const Bytes good4 = ethernet(ipv4({.ttl = 1}, Bytes(20)));
  const Bytes good6 = frame6(ip6({}, Bytes(20)));
  for (const Bytes& good : {good4, good6}) {
    EXPECT_EQ(read_exact(good), DropReason::none);
    for (std::size_t bytes = ethernet_bytes; bytes < good.size(); ++bytes)
      EXPECT_NE(read_exact(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes))), DropReason::none)
          << bytes;
  }
  const auto chain = [](std::size_t headers, std::uint8_t kind, std::uint8_t words) {
    Bytes payload;
    for (std::size_t i = 0; i < headers; ++i)
      payload = payload + Bytes{i + 1 == headers ? std::uint8_t{59} : kind, words, 1, 4, 0, 0, 0, 0};
    return frame6(ip6({.next = kind}, payload));
  };
  EXPECT_EQ(read_exact(chain(8, 60, 0)), DropReason::none);
  EXPECT_EQ(read_exact(chain(9, 60, 0)), DropReason::bad_ip_header) << "an endless chain";
  EXPECT_EQ(read_exact(chain(1, 60, 1)), DropReason::bad_ip_header) << "a header longer than the packet";
  EXPECT_EQ(read_exact(chain(1, 60, 255)), DropReason::bad_ip_header);
  EXPECT_EQ(read_exact(chain(2, 0, 0)), DropReason::bad_ip_header) << "hop-by-hop stands first or nowhere";
  EXPECT_EQ(read_exact(frame6(ip6({.next = 44}, {58, 0, 0, 0}))), DropReason::bad_ip_header)
      << "half a fragment header";
  EXPECT_EQ(read_exact(frame6(ip6({.hop_limit = 0}, Bytes(8)))), DropReason::bad_ip_header);
  EXPECT_EQ(read_exact(frame6(ip6({.source = "ff02::1"}, Bytes(8)))), DropReason::bad_ip_header);
  EXPECT_EQ(read_exact(frame6(changed(ip6({}, Bytes(8)), 0, 0x40))), DropReason::bad_ip_header);
  EXPECT_EQ(read_exact(frame6(changed(ip6({}, Bytes(8)), 5, 0))), DropReason::bad_ip_header) << "jumbogram";
  EXPECT_EQ(read_exact(ethernet(ipv4({.source = "239.1.1.1"}, Bytes(8)))), DropReason::bad_ip_header);
}

// ------------------------------------------------------------------------------------------------------------------

struct FormCase {
  const char* what;
  BypassRule rule;
  Bytes frame;
  bool fits;
};

Bytes neighbour(std::uint8_t type, const Header6& header, const Bytes& rest) {
  return frame6(ip6(header, icmp6(header, type, 0, rest)));
}

std::vector<FormCase> form_cases() {
  const auto v4 = [](const char* destination, std::uint8_t protocol, std::uint8_t ttl, const Bytes& payload = Bytes(8),
                     const Bytes& options = {}, std::uint16_t fragment = 0) {
    return ethernet(
        ipv4({.destination = destination, .protocol = protocol, .ttl = ttl, .fragment = fragment, .options = options},
             payload));
  };
  const auto v6 = [](const char* destination, std::uint8_t protocol, std::uint8_t hops) {
    return frame6(ip6({.destination = destination, .next = protocol, .hop_limit = hops}, Bytes(8)));
  };
  const BypassRule pim = bypass_rule(BypassProtocol::pim), arp = bypass_rule(BypassProtocol::arp),
                   nd = bypass_rule(BypassProtocol::nd), ospf = bypass_rule(BypassProtocol::ospf),
                   vrrp = bypass_rule(BypassProtocol::vrrp), stp = bypass_rule(BypassProtocol::stp);
  BypassRule lldp = bypass_rule(BypassProtocol::ethertype);
  lldp.ethertype = 0x88cc;
  BypassRule arp_here = arp;
  arp_here.source = Prefix::parse("10.0.0.0/24").value();
  arp_here.destination = Prefix::parse("10.0.0.0/24").value();
  BypassRule dns = ip_rule(17, "10.0.0.53");
  dns.ports = PortRange{53, 53};
  BypassRule from = ip_rule(17, "10.0.0.0/8");
  from.source = Prefix::parse("10.0.0.1").value();

  Bytes arp_padded = arp_frame(1, "10.0.0.1", "10.0.0.2");
  Bytes arp_riding = changed(arp_padded, 59, 1);
  Bytes arp_short = arp_padded;
  arp_short.resize(41);
  const Header6 nd255{.destination = "ff02::1:ff00:5", .hop_limit = 255};
  Header6 nd254 = nd255;
  nd254.hop_limit = 254;
  const Bytes target = Bytes(4) + address_bytes("fe80::5");
  const Bytes link_option = {1, 1, 2, 0, 0, 0, 0, 1};
  Bytes bpdu = Bytes{0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 0x03};
  bpdu.resize(60);
  return {
      {"PIM", pim, v4("224.0.0.13", 103, 1), true},
      {"PIM, IPv6", pim, v6("ff02::d", 103, 1), true},
      {"PIM with TTL 2", pim, v4("224.0.0.13", 103, 2), false},
      {"PIM to a router", pim, v4("10.0.0.1", 103, 1), false},
      {"PIM to another group", pim, v4("224.0.0.1", 103, 1), false},
      {"PIM with options", pim, v4("224.0.0.13", 103, 1, Bytes(8), router_alert), false},
      {"PIM as fragment", pim, v4("224.0.0.13", 103, 1, Bytes(8), {}, 0x2000), false},
      {"PIM under another number", pim, v4("224.0.0.13", 104, 1), false},
      {"PIM, IPv6, another scope", pim, v6("ff05::d", 103, 1), false},
      {"OSPF", ospf, v4("224.0.0.5", 89, 1), true},
      {"OSPF to designated routers", ospf, v4("224.0.0.6", 89, 1), true},
      {"OSPF to a router", ospf, v4("10.0.0.7", 89, 1), true},
      {"OSPF, IPv6", ospf, v6("ff02::5", 89, 1), true},
      {"OSPF with TTL 64", ospf, v4("224.0.0.5", 89, 64), false},
      {"OSPF to a protected group", ospf, v4("239.1.1.5", 89, 1), false},
      {"VRRP", vrrp, v4("224.0.0.18", 112, 255), true},
      {"VRRP, IPv6", vrrp, v6("ff02::12", 112, 255), true},
      {"VRRP from beyond the link", vrrp, v4("224.0.0.18", 112, 254), false},
      {"ARP request", arp, arp_padded, true},
      {"ARP reply", arp, arp_frame(2, "10.0.0.1", "10.0.0.2"), true},
      {"RARP", arp, arp_frame(3, "10.0.0.1", "10.0.0.2"), false},
      {"ARP with something behind", arp, arp_riding, false},
      {"ARP cut short", arp, arp_short, false},
      {"ARP for IPv6", arp, changed(arp_padded, 16, 0x86), false},
      {"ARP, addresses as told", arp_here, arp_padded, true},
      {"ARP, another sender", arp_here, arp_frame(1, "10.0.1.1", "10.0.0.2"), false},
      {"ARP, another target", arp_here, arp_frame(1, "10.0.0.1", "10.0.1.2"), false},
      {"neighbour solicitation", nd, neighbour(135, nd255, target + link_option), true},
      {"neighbour advertisement", nd, neighbour(136, nd255, target), true},
      {"router solicitation", nd, neighbour(133, nd255, Bytes(4)), true},
      {"router advertisement", nd, neighbour(134, nd255, Bytes(12)), true},
      {"redirect", nd, neighbour(137, nd255, Bytes(36)), true},
      {"solicitation with hop limit 254", nd, neighbour(135, nd254, target), false},
      {"solicitation cut short", nd, neighbour(135, nd255, Bytes(16)), false},
      {"solicitation, option of no length", nd, neighbour(135, nd255, target + Bytes{1, 0, 0, 0, 0, 0, 0, 0}), false},
      {"solicitation, option too long", nd, neighbour(135, nd255, target + Bytes{1, 2, 0, 0, 0, 0, 0, 0}), false},
      {"solicitation, half an option", nd, neighbour(135, nd255, target + Bytes{1, 1, 0, 0}), false},
      {"solicitation with a code", nd, frame6(ip6(nd255, icmp6(nd255, 135, 1, target))), false},
      {"solicitation, wrong checksum", nd, changed(neighbour(135, nd255, target), 57, 0x77), false},
      {"solicitation behind options", nd,
       frame6(ip6({.destination = "ff02::1:ff00:5", .next = 60, .hop_limit = 255},
                  Bytes{58, 0, 1, 4, 0, 0, 0, 0} + icmp6(nd255, 135, 0, target))),
       false},
      {"echo request as ND", nd, neighbour(128, nd255, Bytes(4)), false},
      {"STP", stp, bpdu, true},
      {"STP elsewhere", stp, changed(bpdu, 5, 1), false},
      {"other LLC to bridges", stp, changed(bpdu, 14, 0xaa), false},
      {"STP whose length lies", stp, changed(bpdu, 12, 5), false},
      {"LLDP", lldp, ethernet(Bytes(46), {}, 0x88cc), true},
      {"another EtherType", lldp, ethernet(Bytes(46), {}, 0x88cd), false},
      {"DNS", dns, ethernet(ipv4({.destination = "10.0.0.53"}, udp(4000, 53, Bytes(9)))), true},
      {"another port", dns, ethernet(ipv4({.destination = "10.0.0.53"}, udp(4000, 54, Bytes(9)))), false},
      {"another server", dns, ethernet(ipv4({.destination = "10.0.0.54"}, udp(4000, 53, Bytes(9)))), false},
      {"DNS without room for a port", dns, v4("10.0.0.53", 17, 64, Bytes(7)), false},
      {"DNS, later fragment", dns, v4("10.0.0.53", 17, 64, Bytes(64), {}, 0x0010), false},
      {"source as told", from, v4("10.2.0.9", 17, 64), true},
      {"later fragment where no port matters", from, v4("10.2.0.9", 17, 64, Bytes(64), {}, 0x0010), true},
      {"another source", from, ethernet(ipv4({.source = "10.0.0.2", .destination = "10.2.0.9"}, Bytes(8))), false},
      {"ping, IPv6", ip_rule(58, "::/0"), neighbour(128, {.destination = "2001:db8::1", .hop_limit = 64}, Bytes(4)),
       true},
      {"ND by number", ip_rule(58, "::/0"), neighbour(135, nd255, target), false},
      {"MLD by number", ip_rule(58, "::/0"), frame6(mld_packet({}, 143, records(0, {}))), false},
      {"routing header", ip_rule(17, "::/0"),
       frame6(ip6({.destination = "2001:db8::1", .next = 43, .hop_limit = 64},
                  Bytes{17, 2, 0, 1} + Bytes(20) + udp(1, 2, {}))),
       false},
  };
}

TEST(BypassForms, EveryKindTakesWhatItNamesAndNothingElse) {
  for (const FormCase& c : form_cases()) {
    ASSERT_TRUE(validate(c.rule)) << c.what << ": " << validate(c.rule).error().message;
    EXPECT_EQ(fits(c.rule, clear(c.frame), c.frame.data()), c.fits) << c.what;
  }
}

// ------------------------------------------------------------------------------------------------------------------

class Gate {
 public:
  explicit Gate(std::vector<BypassRule> rules) : bypass_(std::move(rules), second_in_ns, 42) {}
  DropReason from(Side side, const Bytes& frame, DropReason why = DropReason::no_policy) {
    return bypass_.admit(side, clear(frame), frame.data(), static_cast<std::uint32_t>(frame.size()), why, now).reason;
  }
  const BypassCounters& counters(std::size_t index, Side side) const { return bypass_.counters(index, side); }

  std::uint64_t now = 1000 * second_in_ns;

 private:
  Bypass bypass_;
};

Bytes igmp_report_frame(const std::string& group) {
  return ethernet(ipv4({.destination = group, .protocol = 2, .ttl = 1, .options = router_alert}, igmp(0x16, 0, group)));
}
Bytes igmp_query_frame() {
  return ethernet(
      ipv4({.destination = "224.0.0.1", .protocol = 2, .ttl = 1, .options = router_alert}, igmp(0x11, 100, "0.0.0.0")));
}

TEST(BypassGate, DefaultsLetReportsOutAndQueriesInAndNothingElse) {
  Gate gate(with_defaults({}));
  const Bytes mld_report_frame = frame6(mld_packet({}, 143, records(1, record(4, "ff3e::1", 0))));
  const Bytes mld_query_frame = frame6(mld_packet({.destination = "ff02::1"}, 130, query_rest("::", 0)));
  constexpr DropReason igmp_why = DropReason::igmp_not_allowed, mld_why = DropReason::mld_not_allowed;
  EXPECT_EQ(gate.from(Side::red, igmp_report_frame("239.1.1.5"), igmp_why), DropReason::none);
  EXPECT_EQ(gate.from(Side::red, mld_report_frame, mld_why), DropReason::none);
  EXPECT_EQ(gate.from(Side::black, igmp_query_frame(), igmp_why), DropReason::none);
  EXPECT_EQ(gate.from(Side::black, mld_query_frame, mld_why), DropReason::none);
  gate.now += 2 * second_in_ns;
  EXPECT_EQ(gate.from(Side::black, igmp_report_frame("239.1.1.5"), igmp_why), igmp_why);
  EXPECT_EQ(gate.from(Side::black, mld_report_frame, mld_why), mld_why);
  EXPECT_EQ(gate.from(Side::red, igmp_query_frame(), igmp_why), igmp_why);
  EXPECT_EQ(gate.from(Side::red, mld_query_frame, mld_why), mld_why);
  for (const FormCase& c : form_cases()) {
    if (c.what == std::string("MLD by number")) continue;  // a report: passes by its own rule
    EXPECT_EQ(gate.from(Side::red, c.frame), DropReason::no_policy) << c.what;
    EXPECT_EQ(gate.from(Side::black, c.frame), DropReason::no_policy) << c.what;
  }
}

TEST(BypassGate, ARuleOpensOneDirection) {
  Gate gate({bypass_rule(BypassProtocol::arp, BypassDirection::red_to_black)});
  EXPECT_EQ(gate.from(Side::red, arp_frame(1, "10.0.0.1", "10.0.0.2"), DropReason::not_ip), DropReason::none);
  EXPECT_EQ(gate.from(Side::black, arp_frame(2, "10.0.0.2", "10.0.0.1"), DropReason::not_ip), DropReason::not_ip);
  EXPECT_EQ(gate.counters(0, Side::red).passed.get(), 1U);
  EXPECT_EQ(gate.counters(0, Side::red).passed_bytes.get(), 60U);
  EXPECT_EQ(gate.counters(0, Side::black).passed.get(), 0U);
}

TEST(BypassGate, H10_NothingOfAProtectedGroupPassesWhateverTheRules) {
  // Even a rule that the configuration would refuse.
  BypassRule wide = ip_rule(17, "0.0.0.0/0");
  BypassRule wide_igmp = wide;
  wide_igmp.ip_protocol = 2;
  Gate gate({wide, wide_igmp, bypass_rule(BypassProtocol::igmp_report)});
  EXPECT_EQ(gate.from(Side::black, udp_frame(10), DropReason::clear_on_black), DropReason::clear_on_black);
  EXPECT_EQ(gate.from(Side::red, udp_frame(10), DropReason::clear_on_black), DropReason::clear_on_black);
  const Bytes odd = ethernet(ipv4({.protocol = 2, .ttl = 1}, igmp(0x13, 0, "239.1.1.5")));
  EXPECT_EQ(gate.from(Side::red, odd, DropReason::igmp_not_allowed), DropReason::igmp_not_allowed);
  EXPECT_EQ(gate.from(Side::red, igmp_report_frame("239.1.1.5"), DropReason::clear_on_black), DropReason::none);
}

TEST(BypassGate, TheRateBoundsFramesAndBytes) {
  BypassRule limited = bypass_rule(BypassProtocol::igmp_report);
  limited.rate = 10;
  BypassRule big = ip_rule(17, "10.0.0.0/8");
  big.rate = 24;
  Gate gate({limited, big});
  unsigned passed = 0;
  for (int i = 0; i < 100; ++i)
    passed += gate.from(Side::red, igmp_report_frame("239.1.1.5")) == DropReason::none;
  EXPECT_EQ(passed, 10U);
  EXPECT_EQ(gate.counters(0, Side::red).rate_limited.get(), 90U);
  EXPECT_EQ(gate.from(Side::black, igmp_report_frame("239.1.1.6")), DropReason::none) << "a measure per direction";
  gate.now += second_in_ns / 10;
  EXPECT_EQ(gate.from(Side::red, igmp_report_frame("239.1.1.5")), DropReason::none);
  EXPECT_EQ(gate.from(Side::red, igmp_report_frame("239.1.1.5")), DropReason::rate_limited);

  // 1514 bytes are 24 units: one such frame a second_in_ns is all.
  const Bytes full = ethernet(ipv4({.destination = "10.0.0.9"}, udp(1, 2, pattern(1472))));
  EXPECT_EQ(gate.from(Side::red, full), DropReason::none);
  EXPECT_EQ(gate.from(Side::red, full), DropReason::rate_limited);
  gate.now += second_in_ns;
  EXPECT_EQ(gate.from(Side::red, full), DropReason::none);
}

TEST(BypassGate, RateZeroClosesADefault) {
  BypassRule closed = bypass_rule(BypassProtocol::igmp_report, BypassDirection::red_to_black);
  closed.rate = 0;
  Gate gate(with_defaults({closed}));
  EXPECT_EQ(gate.from(Side::red, igmp_report_frame("239.1.1.5")), DropReason::rate_limited);
}

TEST(BypassGate, AFrameSeenOnBothSidesIsALoopAndRaisesTheAlarm) {
  Gate gate({bypass_rule(BypassProtocol::arp)});
  const Bytes request = arp_frame(1, "10.0.0.1", "10.0.0.2");
  const auto from = [&](Side side) { return gate.from(side, request, DropReason::not_ip); };
  EXPECT_EQ(from(Side::red), DropReason::none);
  EXPECT_EQ(from(Side::red), DropReason::none) << "a host may repeat itself";
  EXPECT_EQ(from(Side::black), DropReason::bypass_loop);
  EXPECT_EQ(from(Side::red), DropReason::bypass_loop) << "now it is known to go round";
  EXPECT_EQ(gate.counters(0, Side::black).looped.get(), 1U);
  EXPECT_EQ(gate.from(Side::black, arp_frame(2, "10.0.0.2", "10.0.0.1"), DropReason::not_ip), DropReason::none)
      << "other frames pass";
  gate.now += second_in_ns;
  EXPECT_EQ(from(Side::black), DropReason::none) << "a second_in_ns later it is a new frame";
}

TEST(BypassGate, AFrameThatComesBackWhereItMayNotPassRaisesTheAlarmToo) {
  Gate gate(with_defaults({}));
  const Bytes report = igmp_report_frame("239.1.1.5");
  EXPECT_EQ(gate.from(Side::red, report, DropReason::igmp_not_allowed), DropReason::none);
  EXPECT_EQ(gate.from(Side::black, report, DropReason::igmp_not_allowed), DropReason::bypass_loop);
  EXPECT_EQ(gate.counters(0, Side::red).looped.get(), 1U);
  // A host on black cannot stop red's reports by sending them back.
  EXPECT_EQ(gate.from(Side::red, report, DropReason::igmp_not_allowed), DropReason::none);
  EXPECT_EQ(gate.from(Side::black, igmp_report_frame("239.1.1.6"), DropReason::igmp_not_allowed),
            DropReason::igmp_not_allowed);
}

TEST(RecentFramesTest, PaddingDoesNotCountAndTheTableIsBounded) {
  RecentFrames recent(second_in_ns, 7);
  Bytes frame = pattern(42, 3);
  const auto hash = recent.hash(frame.data(), 42);
  frame.resize(60);
  EXPECT_EQ(recent.hash(frame.data(), 60), hash);
  EXPECT_NE(RecentFrames(second_in_ns, 8).hash(frame.data(), 60), hash) << "an outsider cannot choose collisions";
  for (std::uint8_t bit = 0; bit < 8; ++bit) {
    Bytes other_frame = frame;
    other_frame[20] = static_cast<std::uint8_t>(other_frame[20] ^ (1U << bit));
    EXPECT_NE(recent.hash(other_frame.data(), 60), hash);
  }
  recent.remember(hash, Side::red, 10 * second_in_ns);
  EXPECT_TRUE(recent.came_from(hash, Side::red, 10 * second_in_ns));
  EXPECT_FALSE(recent.came_from(hash, Side::black, 10 * second_in_ns));
  for (std::uint64_t i = 0; i < 100'000; ++i)
    recent.remember(i * 0x9e3779b97f4a7c15, Side::red, 10 * second_in_ns + i);
  EXPECT_FALSE(recent.came_from(hash, Side::red, 10 * second_in_ns + 100'000)) << "the oldest make room";
}

}  // namespace
}  // namespace sealcast::dataplane::testing
