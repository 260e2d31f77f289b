#include "dataplane/dpdk/flow.h"

#include <gtest/gtest.h>

#include "dataplane/testing/clear_packets.h"

namespace sealcast::dataplane::testing {
namespace {

Flow flow(Bytes frame) {
  rte_mbuf mbuf{};
  mbuf.buf_addr = frame.data();
  mbuf.data_len = static_cast<std::uint16_t>(frame.size());
  return flow_of(&mbuf);
}

TEST(FlowTest, OnlyWhatAGroupMayProtectIsSharedOut) {
  const auto v4 = [](const char* destination, std::uint8_t protocol = 17) {
    return ethernet(ipv4({.destination = destination, .protocol = protocol}, Bytes(16)));
  };
  const auto v6 = [](const char* destination) {
    return frame6(ip6({.destination = destination, .next = 17, .hop_limit = 16}, Bytes(16)));
  };
  for (const Bytes& frame : {v4("239.1.1.5"), v4("232.1.1.5"), v4("224.0.1.1"), v6("ff3e::1"), v6("ff15::1")})
    EXPECT_TRUE(flow(frame).ip);
  // Frames that may cross in clear stay with one worker, whichever side they come from.
  for (const Bytes& frame : {v4("10.0.0.1"), v4("224.0.0.5", 89), v4("239.1.1.5", 2), v6("2001:db8::1"), v6("ff02::5"),
                             v6("ff32::1"), frame6(mld_packet({.destination = "ff3e::1"}, 131, mld_group("ff3e::1"))),
                             arp_frame(1, "10.0.0.1", "10.0.0.2"), Bytes(14), Bytes(5)})
    EXPECT_FALSE(flow(frame).ip);
  for (const Bytes& whole : {v4("239.1.1.5"), v6("ff3e::1")})
    for (std::size_t bytes = 0; bytes < 14 + 20; ++bytes)
      EXPECT_FALSE(flow(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes))).ip);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
