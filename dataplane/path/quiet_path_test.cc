// Per packet: no allocation, no lock, no system call, no exception; engine by engine.
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

#include "dataplane/neighbours/beacon.h"
#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/harness.h"
#include "dataplane/testing/quiet_watch.h"

namespace sealcast::dataplane::testing {
namespace {

class QuietPath : public ::testing::TestWithParam<const char*> {};

TEST_P(QuietPath, NoAllocationLockSystemCallOrThrowInABurst) {
  if (const auto engine = aead::create_engine(GetParam()); !engine) GTEST_SKIP() << engine.error().message;
  Harness::Options options{.engine = GetParam()};
  BypassRule arp;
  arp.name = "arp";
  options.path.bypass.push_back(arp);
  options.path.learn_sources = true;
  Harness path(options);
  path.install_tv();
  const std::vector<Selector> tv = {selector("239.1.1.0/24")};
  Sender first(0x10000008, tv), second(0x10000009, tv);

  // Bursts of everything: sealed, opened, forged, replayed, unknown, hostile, bypassed; two keys in one burst.
  std::vector<Bytes> red_frames, black_frames;
  Ipv4Fields other;
  other.destination = "239.9.9.9";
  Ipv4Fields far;
  far.source = "10.0.9.9";
  Ipv4Fields report;
  report.protocol = 2;
  report.ttl = 1;
  for (int i = 0; i < 12; ++i) {
    red_frames.push_back(udp_frame(static_cast<std::size_t>(i) * 100));
    red_frames.push_back(udp_frame(20, other));
    red_frames.push_back(ethernet(ipv4(report, igmp(0x16, 0, "239.1.1.5"))));
    red_frames.push_back(Bytes(20));
    red_frames.push_back(frame6(mld_packet({.destination = "ff02::2"}, 132, mld_group("ff3e::1"))));
    red_frames.push_back(arp_frame(1, "10.0.0.1", "10.0.0.2"));
    black_frames.push_back(first.seal(udp_frame(static_cast<std::size_t>(i) * 100, far)));
    black_frames.push_back(second.seal(udp_frame(64, far)));
    Bytes forged = first.seal(udp_frame(100, far));
    forged.back() ^= 1;
    black_frames.push_back(forged);
    black_frames.push_back(black_frames[0]);
    black_frames.push_back(second.seal(udp_frame(70)));  // its source is on red
    red_frames.push_back(write_beacon({Standing::works, 7, "other", "hq"}, {2, 0, 0, 0, 0, 7}, std::nullopt));
    EspFields unknown;
    unknown.spi = 0x1000000a + static_cast<std::uint32_t>(i);
    black_frames.push_back(esp_frame(unknown, ipv4({}, udp(1, 2, {}))));
    black_frames.push_back(udp_frame(10));
    black_frames.push_back(arp_frame(1, "10.0.0.1", "10.0.0.2"));  // came round
    black_frames.push_back(frame6(mld_packet({.destination = "ff02::1"}, 130, mld_group("::"))));
  }
  const auto make = [](const std::vector<Bytes>& frames, std::vector<Bytes>& buffers) {
    std::vector<Frame> burst(frames.size());
    for (std::size_t i = 0; i < frames.size(); ++i) {
      Bytes& buffer = buffers.emplace_back(frames[i].size() + 256);
      std::copy(frames[i].begin(), frames[i].end(), buffer.begin() + 128);
      burst[i].data = buffer.data() + 128;
      burst[i].length = static_cast<std::uint32_t>(frames[i].size());
      burst[i].headroom = burst[i].tailroom = 128;
    }
    return burst;
  };
  std::vector<Bytes> buffers;
  std::vector<Frame> red = make(red_frames, buffers), black = make(black_frames, buffers);
  Worker& worker = path.plane().worker(0);

  forget_what_was_seen();
  watch_this_thread(true);
  worker.red_burst(red, path.now_tsc(), path.snapshot());
  worker.black_burst(black, path.now_tsc(), path.snapshot());
  watch_this_thread(false);
  EXPECT_TRUE(what_was_seen().quiet()) << what_was_seen().text();
  const DataPlaneStatistics all = path.statistics();
  EXPECT_EQ(all.sealed, 12U);
  EXPECT_EQ(all.opened, 24U);
  EXPECT_EQ(all.bypassed, 48U);
  EXPECT_EQ(path.dropped(DropReason::bypass_loop), 12U);
  EXPECT_EQ(path.dropped(DropReason::bad_tag), 12U);
  EXPECT_EQ(path.dropped(DropReason::local_source), 12U);
  EXPECT_EQ(path.dropped(DropReason::beacon), 12U);
}

// The counting itself works.
TEST(QuietPathWatch, SeesAllocationsLocksThrowsAndSystemCalls) {
  forget_what_was_seen();
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  watch_this_thread(true);
  void* volatile p = malloc(10);
  free(p);
  int* volatile q = new int(3);
  delete q;
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  watch_this_thread(false);
  EXPECT_EQ(what_was_seen().allocations, 4);
  EXPECT_EQ(what_was_seen().locks, 1);
  EXPECT_EQ(what_was_seen().throws, 0);
  EXPECT_EQ(what_was_seen().system_calls, 0);
  EXPECT_FALSE(what_was_seen().quiet());

  forget_what_was_seen();
  watch_this_thread(true);
  try {
    throw std::runtime_error("seen");
  } catch (const std::runtime_error&) {
  }
  watch_this_thread(false);
  EXPECT_EQ(what_was_seen().throws, 1);

  if (!catches_system_calls()) GTEST_SKIP() << "this kernel has no syscall user dispatch";
  forget_what_was_seen();
  watch_this_thread(true);
  const pid_t parent = getppid();
  const pid_t again = getppid();
  watch_this_thread(false);
  EXPECT_EQ(what_was_seen().system_calls, 1) << "once a thread";
  EXPECT_EQ(parent, getppid()) << "and the call was carried out";
  EXPECT_EQ(again, parent);
}

INSTANTIATE_TEST_SUITE_P(Engines, QuietPath, ::testing::Values("burst", "ipsec_mb", "openssl"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace sealcast::dataplane::testing
