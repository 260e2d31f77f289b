#include "dataplane/packet/report_filter.h"

#include <gtest/gtest.h>

#include "dataplane/packet/igmp.h"
#include "dataplane/packet/mld.h"
#include "dataplane/testing/clear_packets.h"

namespace sealcast::dataplane::testing {
namespace {

GroupRanges ranges(std::initializer_list<const char*> prefixes) {
  std::vector<Prefix> list;
  for (const char* text : prefixes)
    list.push_back(Prefix::parse(text).value());
  return GroupRanges(list);
}

TEST(GroupRangesTest, PrefixesOfBothFamilies) {
  const GroupRanges some =
      ranges({"239.1.1.0/24", "239.1.0.0/16", "239.3.0.1", "ff3e::/32", "239.1.2.0/24", "ff15::1234"});
  for (const char* inside : {"239.1.0.0", "239.1.255.255", "239.1.1.7", "239.3.0.1", "ff3e::", "ff3e::ffff:1",
                             "ff3e:0:ffff::1", "ff15::1234"})
    EXPECT_TRUE(some.contains(IpAddress::parse(inside).value())) << inside;
  for (const char* outside : {"239.0.255.255", "239.2.0.0", "239.3.0.0", "239.3.0.2", "224.0.0.1",
                              "ff3e:1::", "ff3d::1", "ff15::1235", "ff15::1233"})
    EXPECT_FALSE(some.contains(IpAddress::parse(outside).value())) << outside;
  EXPECT_FALSE(GroupRanges().contains(IpAddress::parse("239.1.1.1").value()));
}

Bytes record4(std::uint8_t type, const std::string& group, const Bytes& sources = {}) {
  return Bytes{type, 0, 0, static_cast<std::uint8_t>(sources.size() / 4)} + address_bytes(group) + sources;
}
Bytes record6(std::uint8_t type, const std::string& group, const Bytes& sources = {}) {
  return Bytes{type, 0, 0, static_cast<std::uint8_t>(sources.size() / 16)} + address_bytes(group) + sources;
}
Bytes report6(std::uint8_t count, const Bytes& records) {
  return frame6(mld_packet({}, 143, Bytes{0, 0, 0, count} + records));
}

struct FilterCase {
  const char* what;
  Bytes before;
  Filtered expected;
  Bytes after;
};

TEST(ReportFilter, WhatFixedTunnelsCarryIsTakenOut) {
  const GroupRanges stopped = ranges({"239.1.1.0/24", "ff3e::/32"});
  const Bytes fixed = record4(4, "239.1.1.5", Bytes(8, 10)), other = record4(4, "239.2.1.5"),
              third = record4(6, "239.3.1.5", Bytes(4, 7));
  const Bytes fixed6 = record6(4, "ff3e::5", Bytes(16, 0x20)), other6 = record6(4, "ff3d::5");
  const auto v2 = [](const std::string& group) {
    return ethernet(
        ipv4({.destination = group, .protocol = 2, .ttl = 1, .options = router_alert}, igmp(0x16, 0, group)));
  };
  const auto v1_6 = [](const std::string& group) {
    return frame6(mld_packet({.destination = group}, 131, mld_group(group)));
  };
  for (const FilterCase& c : {
           FilterCase{"v2 of a fixed group", v2("239.1.1.5"), Filtered::nothing_left, {}},
           FilterCase{"v2 of another", v2("239.2.1.5"), Filtered::untouched, v2("239.2.1.5")},
           FilterCase{"v3, only fixed", report4(1, fixed), Filtered::nothing_left, {}},
           FilterCase{"v3, only others", report4(2, other + third), Filtered::untouched, report4(2, other + third)},
           FilterCase{"v3, fixed first", report4(3, fixed + other + third), Filtered::shortened,
                      report4(2, other + third)},
           FilterCase{"v3, fixed between", report4(3, other + fixed + third), Filtered::shortened,
                      report4(2, other + third)},
           FilterCase{"v3, fixed last", report4(3, other + third + fixed), Filtered::shortened,
                      report4(2, other + third)},
           FilterCase{"v3, fixed around", report4(3, fixed + third + fixed), Filtered::shortened, report4(1, third)},
           FilterCase{"v3 without records", report4(0, {}), Filtered::untouched, report4(0, {})},
           FilterCase{"MLDv1 of a fixed group", v1_6("ff3e::5"), Filtered::nothing_left, {}},
           FilterCase{"MLDv1 of another", v1_6("ff3d::5"), Filtered::untouched, v1_6("ff3d::5")},
           FilterCase{"MLDv2, only fixed", report6(2, fixed6 + fixed6), Filtered::nothing_left, {}},
           FilterCase{"MLDv2, both", report6(2, fixed6 + other6), Filtered::shortened, report6(1, other6)},
       }) {
    Bytes frame = c.before;
    auto bytes = static_cast<std::uint32_t>(frame.size());
    ClearPacket packet = clear(frame);
    EXPECT_EQ(filter_report(frame.data(), bytes, packet, stopped), c.expected) << c.what;
    if (c.expected == Filtered::nothing_left) continue;
    frame.resize(bytes);
    EXPECT_EQ(frame, c.after) << c.what;
    const ClearPacket after = clear(frame);
    EXPECT_EQ(after.family == 4 ? check_igmp_report(after) : check_mld_report(after), DropReason::none) << c.what;
  }
}

}  // namespace
}  // namespace sealcast::dataplane::testing
