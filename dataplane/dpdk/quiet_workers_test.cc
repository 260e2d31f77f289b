// Worker threads with real packets on every path: no allocation, no lock, no system call, no exception between the
// start of their loop and its end, while the control thread changes keys. Naps are off: they are the only system call.
// Needs hugepages (label virtio).
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "dataplane/dpdk/gateway.h"
#include "dataplane/dpdk/testing/ring_peer.h"
#include "dataplane/sa/sa.h"
#include "dataplane/testing/harness.h"
#include "dataplane/testing/quiet_watch.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using testing::ethernet;
using testing::ipv4;
using testing::key_of;
using testing::RingPeer;
using testing::selector;
using testing::udp;
using testing::udp_frame;

constexpr std::uint32_t prefix = 0x10000000;

struct Shape {
  const char* name;  // at most 17 letters: part of a ring port's name
  std::uint32_t workers;
  bool spread;
  const char* queues;
};

class QuietWorkers : public ::testing::TestWithParam<Shape> {
 protected:
  static Bytes flow(std::uint32_t n, std::size_t bytes) {
    testing::Ipv4Fields fields;
    fields.source = "10.0.7." + std::to_string(n + 1);
    return udp_frame(bytes, fields);
  }
  // Sealed, bypassed and refused in all ways possible for a frame on red.
  static std::vector<Bytes> red_frames() {
    std::vector<Bytes> frames;
    testing::Ipv4Fields report;
    report.protocol = 2;
    report.ttl = 1;
    report.destination = "239.1.1.5";
    testing::Ipv4Fields elsewhere;
    elsewhere.destination = "239.9.9.9";
    testing::Ipv4Fields esp;
    esp.protocol = 50;
    testing::Ipv4Fields unicast;
    unicast.destination = "10.1.1.1";
    testing::Ipv4Fields dead;
    dead.ttl = 0;
    for (std::uint32_t i = 0; i < 12; ++i) {
      frames.push_back(flow(i, i * 90));
      frames.push_back(flow(i, 20));
      frames.push_back(ethernet(ipv4({}, udp(1, 2, testing::pattern(30))), {7, 8}));
    }
    frames.push_back(ethernet(ipv4(report, testing::igmp(0x16, 0, "239.1.1.5"))));
    frames.push_back(udp_frame(30, elsewhere));
    frames.push_back(udp_frame(30, unicast));
    frames.push_back(udp_frame(30, dead));
    frames.push_back(ethernet(ipv4(esp, testing::pattern(60))));
    frames.push_back(flow(1, 1472));                               // too big for black
    frames.push_back(ethernet(testing::pattern(60), {}, 0x0806));  // ARP
    frames.push_back(ethernet(testing::pattern(80), {}, 0x86dd));  // broken IPv6
    frames.push_back(Bytes(20));                                   // hardly a frame
    frames.back()[12] = 8;
    return frames;
  }
};

TEST_P(QuietWorkers, NothingIsAllocatedLockedCalledOrThrownOnAnyPath) {
  if (!testing::catches_system_calls()) GTEST_SKIP() << "this kernel has no syscall user dispatch (Linux 5.11)";
  const Shape& shape = GetParam();
  const std::string red = std::string("ring:qr_") + shape.name + "?queues=" + shape.queues;
  const std::string black = std::string("ring:qb_") + shape.name + "?queues=" + shape.queues;
  GatewayOptions options;
  options.red = {red, 1500};
  options.black = {black, 1500};
  options.memory_mb = 192;
  options.workers = shape.workers;
  options.spread = shape.spread;
  options.idle_nap_us = 0;
  auto made = GatewayDataPlane::create(options);
  ASSERT_TRUE(made) << made.error().message;
  DataPlaneControl& control = (*made)->control();
  const std::vector<Selector> selectors{selector("239.1.1.0/24")};
  ASSERT_TRUE(control.protect("tv", {selectors}));
  GroupEpoch epoch;
  epoch.group_id = "tv";
  epoch.epoch = 1;
  epoch.selectors = selectors;
  epoch.spi_prefix = prefix;
  epoch.active = true;
  epoch.expires = epoch.lease_until = std::chrono::steady_clock::now() + 1h;
  for (std::uint32_t i = 0; i < shape.workers; ++i)
    epoch.outbound.push_back({key_of(prefix + 100 + i)});
  constexpr std::uint32_t senders = 6;
  std::vector<std::unique_ptr<testing::Sender>> sender;
  for (std::uint32_t i = 0; i < senders + 2; ++i) {  // two of them not yet known to the receiver
    if (i < senders) epoch.inbound.push_back({key_of(prefix + i), 0});
    sender.push_back(std::make_unique<testing::Sender>(prefix + i, selectors));
  }
  ASSERT_TRUE(control.install(std::move(epoch)));

  RingPeer red_side(red), black_side(black);
  const std::vector<Bytes> on_red = red_frames();
  const auto on_black = [&](std::uint32_t round) {
    std::vector<Bytes> frames;
    for (std::uint32_t i = 0; i < sender.size(); ++i) {
      frames.push_back(sender[i]->seal(flow(i, 50 * i)));
      frames.push_back(sender[i]->seal(flow(i, 700)));
      if (i < senders && round % 2 == 0) frames.push_back(frames.back());  // a replay
      Bytes forged = sender[i]->seal(flow(i, 64));
      forged.back() ^= 1;
      frames.push_back(forged);
    }
    testing::EspFields own, unknown, far;
    own.spi = prefix + 100;
    unknown.spi = 0x0fff0000;
    far.spi = prefix + 5000;
    for (const testing::EspFields& fields : {own, unknown, far})
      frames.push_back(esp_frame(fields, ipv4({}, udp(1, 2, {}))));
    testing::Ipv4Fields query;
    query.protocol = 2;
    query.ttl = 1;
    query.destination = "224.0.0.1";
    query.options = testing::router_alert;
    frames.push_back(ethernet(ipv4(query, testing::igmp(0x11, 100, "0.0.0.0", {2, 125, 0, 0}))));
    frames.push_back(udp_frame(10));  // plain on black
    frames.push_back(Bytes(frames[0].begin(), frames[0].begin() + 50));
    return frames;
  };

  testing::forget_what_was_seen();
  testing::watch_workers(true);
  const auto started = (*made)->start();
  ASSERT_TRUE(started) << started.error().message;
  for (std::uint32_t round = 0; round < 40; ++round) {
    red_side.send(on_red);
    black_side.send(on_black(round));
    // Packets of the two new senders are parked until their keys come, while traffic runs.
    if (round == 20 || round == 30) {
      std::this_thread::sleep_for(20ms);
      std::vector<sealcast::InboundSa> keys;
      keys.push_back({key_of(prefix + (round == 20 ? senders : senders + 1)), 0});
      ASSERT_TRUE(control.add_inbound("tv", 1, std::move(keys)));
    }
    if (round % 10 == 5) {
      ASSERT_TRUE(control.extend_lease("tv", std::chrono::steady_clock::now() + 1h));
      control.take_events();
    }
    for (int i = 0; i < 4; ++i) {
      std::this_thread::sleep_for(1ms);
      for (std::uint16_t queue = 0; queue < (shape.queues[0] - '0'); ++queue) {
        red_side.receive(queue);
        black_side.receive(queue);
      }
    }
  }
  std::this_thread::sleep_for(20ms);
  const DataPlaneStatistics all = control.statistics();
  (*made)->stop();
  testing::watch_workers(false);
  const testing::Seen seen = testing::what_was_seen();
  EXPECT_TRUE(seen.quiet()) << seen.text();

  // The result counts only if packets took those paths.
  EXPECT_GT(all.sealed, 1000U);
  EXPECT_GT(all.opened, 300U);
  EXPECT_GT(all.bypassed, 30U);
  const auto dropped = [&](const std::string& reason) {
    for (const DropCount& drop : all.drops)
      if (drop.reason == reason) return drop.packets;
    return std::uint64_t{0};
  };
  for (const char* reason : {"no_policy", "esp_on_red", "too_big", "bad_ip_header", "bad_tag", "replay", "own_spi",
                             "unknown_spi", "slot_out_of_window", "clear_on_black", "truncated", "not_ip"})
    EXPECT_GT(dropped(reason), 0U) << reason;
  std::uint64_t newcomers = 0;
  std::size_t workers_that_sealed = 0;
  for (const SaStatistics& sa : all.sas) {
    if (!sa.outbound && sa.spi >= prefix + senders && sa.spi < prefix + 100) newcomers += sa.packets;
    if (sa.outbound && sa.packets > 0) ++workers_that_sealed;
  }
  EXPECT_GT(newcomers, 40U) << "opened, those first parked too";
  EXPECT_EQ(workers_that_sealed, shape.queues[0] == '1' ? shape.workers : 1);
}

// Proves that the watch sees workers: an idle one's nap is a system call.
TEST(QuietWorkersWatch, SeesTheNapOfAnIdleWorker) {
  if (!testing::catches_system_calls()) GTEST_SKIP() << "this kernel has no syscall user dispatch (Linux 5.11)";
  GatewayOptions options;
  options.red = options.black = {"null", 1500};
  options.memory_mb = 192;
  options.workers = 2;
  auto made = GatewayDataPlane::create(options);
  ASSERT_TRUE(made) << made.error().message;
  testing::forget_what_was_seen();
  testing::watch_workers(true);
  ASSERT_TRUE((*made)->start());
  for (int i = 0; i < 5000 && testing::what_was_seen().system_calls < 2; ++i)
    std::this_thread::sleep_for(1ms);
  (*made)->stop();
  testing::watch_workers(false);
  EXPECT_EQ(testing::what_was_seen().system_calls, 2) << "one of each worker";
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuietWorkers,
                         ::testing::Values(Shape{"OneWorker", 1, false, "1"}, Shape{"SharedQueue", 2, false, "1"},
                                           Shape{"OneQueueEach", 2, false, "2"}, Shape{"Spread", 3, true, "1"}),
                         [](const auto& instance) { return std::string(instance.param.name); });

}  // namespace
}  // namespace sealcast::dataplane
