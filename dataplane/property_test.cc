// Mutated frames by the ten thousand: whatever comes in, what goes out keeps the two promises of a gateway. Under
// AddressSanitizer the exactly sized buffers also show every byte read or written beyond a frame.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return random_() % n; }

  Bytes mutate(Bytes frame) {
    for (std::size_t n = below(4); n > 0 && !frame.empty(); --n) {
      // Headers are where decisions are made.
      const std::size_t at = below(3) == 0 ? below(frame.size()) : below(std::min<std::size_t>(frame.size(), 64));
      switch (below(6)) {
        case 0:
          frame[at] = static_cast<std::uint8_t>(random_());
          break;
        case 1:
          frame[at] ^= static_cast<std::uint8_t>(1U << below(8));
          break;
        case 2:
          frame.resize(at);
          break;
        case 3:
          frame.resize(frame.size() + below(30), static_cast<std::uint8_t>(random_()));
          break;
        case 4:
          frame.insert(frame.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random_()));
          break;
        default: {
          static constexpr std::uint8_t interesting[] = {0, 1, 2, 4, 17, 50, 0x40, 0x45, 0x46, 0x4f, 0x7f, 0x80, 0xff};
          frame[at] = interesting[below(std::size(interesting))];
          break;
        }
      }
    }
    const std::size_t ip = 14;
    if (below(4) != 0 && frame.size() >= ip + 20) {
      const std::size_t header = (frame[ip] & 0x0fU) * 4;
      if (header >= 20 && frame.size() >= ip + header) {
        if (below(2) == 0) store_be(&frame[ip + 2], static_cast<std::uint16_t>(frame.size() - ip));
        mend_checksum(frame, ip);
      }
    }
    return frame;
  }

 private:
  std::mt19937 random_;
};

std::vector<Bytes> seeds() {
  Ipv4Fields report;
  report.protocol = 2;
  report.ttl = 1;
  report.options = router_alert;
  Ipv4Fields query = report;
  query.destination = "224.0.0.1";
  Ipv4Fields options;
  options.options = Bytes{1, 1, 1, 0};
  return {udp_frame(0),
          udp_frame(100),
          udp_frame(40, options),
          ethernet(ipv4({}, udp(1, 2, pattern(50))), {7}),
          ethernet(ipv4({}, udp(1, 2, pattern(50))), {100, 7}),
          ethernet(ipv4(report, igmp(0x16, 0, "239.1.1.5"))),
          ethernet(ipv4(query, igmp(0x11, 100, "0.0.0.0"))),
          ethernet(ipv4(query, igmp(0x11, 100, "0.0.0.0", {2, 125, 0, 0})))};
}

// Offset of the IPv4 header behind the tags of a frame that a worker let through.
std::size_t ip_offset(const Bytes& frame) {
  std::size_t at = 12;
  while (load_be<std::uint16_t>(&frame[at]) == 0x8100 || load_be<std::uint16_t>(&frame[at]) == 0x88a8)
    at += 4;
  return at + 2;
}

TEST(Property, H10_NothingButEspAndReportsLeavesOnBlack) {
  // No more room than sealing needs: a step beyond it is a step out of the buffer.
  Harness path(
      Harness::Options{.path = {.bypass = bypass_at(1'000'000)}, .headroom = seal_headroom, .tailroom = seal_tailroom});
  path.install_tv();
  const std::vector<Bytes> base = seeds();
  Mutator mutator(1);
  std::map<DropReason, int> drops;
  std::set<std::pair<std::uint32_t, std::uint64_t>> nonces;
  std::size_t sealed = 0, bypassed = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Bytes> burst;
    for (std::size_t n = 1 + mutator.below(40); n > 0; --n)
      burst.push_back(mutator.mutate(base[mutator.below(base.size())]));
    for (const Outcome& outcome : path.red(burst)) {
      if (outcome.verdict == Verdict::drop) {
        ++drops[outcome.reason];
        continue;
      }
      ASSERT_EQ(outcome.verdict, Verdict::forward);
      const std::uint8_t* ip = &outcome.frame[ip_offset(outcome.frame)];
      if (ip[9] == 50) {
        ++sealed;
        ASSERT_EQ(load_be<std::uint32_t>(ip + 20), 0x10000000U);
        ASSERT_TRUE(nonces.emplace(load_be<std::uint32_t>(ip + 20), load_be<std::uint64_t>(ip + 28)).second);
        ASSERT_EQ(load_be<std::uint32_t>(ip + 16) >> 8, 0xef0101U);  // 239.1.1.0/24
      } else {
        ++bypassed;
        ASSERT_EQ(ip[9], 2);
        ASSERT_EQ(ip[8], 1);
      }
    }
  }
  EXPECT_GT(sealed, 2000U);
  EXPECT_GT(bypassed, 500U);
  EXPECT_GE(drops.size(), 9U);
  EXPECT_EQ(drops.count(DropReason::none), 0U);
}

TEST(Property, OnlyWhatAMemberSealedAndQueriesComeOutOnRed) {
  // Opening needs no room at all.
  Harness path(Harness::Options{.path = {.bypass = bypass_at(1'000'000)}, .headroom = 0, .tailroom = 0});
  path.install_tv();
  Sender sender(0x10000008, {selector("239.1.1.0/24")});
  const std::vector<Bytes> base = seeds();
  Mutator mutator(2);
  std::map<DropReason, int> drops;
  std::set<Bytes> sealed_inside;  // inner packets without the ECN bits and the checksum over them
  const auto essence = [](Bytes packet) {
    packet[1] = 0;
    packet[10] = packet[11] = 0;
    return packet;
  };
  std::size_t opened = 0, bypassed = 0, total = 0;
  for (int round = 0; round < 2000; ++round) {
    std::vector<Bytes> burst;
    for (std::size_t n = 1 + mutator.below(40); n > 0; --n) {
      if (mutator.below(2) == 0) {
        const Bytes inner = ipv4({}, udp(1, 2, pattern(mutator.below(120), static_cast<std::uint8_t>(total))));
        sealed_inside.insert(essence(inner));
        burst.push_back(mutator.mutate(sender.seal(ethernet(inner))));
        ++total;
      } else {
        burst.push_back(mutator.mutate(base[mutator.below(base.size())]));
      }
    }
    for (const Outcome& outcome : path.black(burst)) {
      if (outcome.verdict == Verdict::park) continue;
      if (outcome.verdict == Verdict::drop) {
        ++drops[outcome.reason];
        continue;
      }
      ASSERT_EQ(outcome.verdict, Verdict::forward);
      const Bytes packet(outcome.frame.begin() + static_cast<std::ptrdiff_t>(ip_offset(outcome.frame)),
                         outcome.frame.end());
      if (packet[9] == 2) {
        ++bypassed;
        ASSERT_EQ(packet[8], 1);
        ASSERT_EQ(packet[(packet[0] & 0x0fU) * 4], 0x11);
      } else {
        ++opened;
        ASSERT_EQ(sealed_inside.count(essence(packet)), 1U);
      }
    }
  }
  EXPECT_GT(opened, total / 8);
  EXPECT_GT(bypassed, 500U);
  EXPECT_GT(drops.size(), 12U);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
