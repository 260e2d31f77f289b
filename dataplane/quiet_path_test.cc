// Per packet: no allocation, no lock. The C library's allocator and mutexes are taken over in this program and count
// while a burst runs, whatever library calls them.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>

#include "dataplane/testing/clear_packets.h"
#include "dataplane/testing/harness.h"

namespace {

thread_local bool watching = false;
std::atomic<int> allocations{0};
std::atomic<int> locks{0};

template <typename F>
F next_symbol(const char* symbol) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, symbol));
}

}  // namespace

extern "C" {
// glibc's own names for its allocator, so that no call of dlsym, which allocates, is needed here.
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void __libc_free(void*);

void* malloc(size_t n) {
  if (watching) ++allocations;
  return __libc_malloc(n);
}
void* calloc(size_t n, size_t m) {
  if (watching) ++allocations;
  return __libc_calloc(n, m);
}
void* realloc(void* p, size_t n) {
  if (watching) ++allocations;
  return __libc_realloc(p, n);
}
void free(void* p) {
  if (watching && p != nullptr) ++allocations;
  __libc_free(p);
}
int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static const auto real = next_symbol<int (*)(pthread_mutex_t*)>("pthread_mutex_lock");
  if (watching) ++locks;
  return real(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) {
  static const auto real = next_symbol<int (*)(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  if (watching) ++locks;
  return real(lock);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) {
  static const auto real = next_symbol<int (*)(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  if (watching) ++locks;
  return real(lock);
}
}

namespace sealcast::dataplane::testing {
namespace {

class QuietPath : public ::testing::TestWithParam<const char*> {};

TEST_P(QuietPath, NoAllocationAndNoLockInABurst) {
  if (const auto engine = aead::create_engine(GetParam()); !engine) GTEST_SKIP() << engine.error().message;
  Harness::Options options{.engine = GetParam()};
  BypassRule arp;
  arp.name = "arp";
  options.path.bypass.push_back(arp);
  Harness path(options);
  path.install_tv();
  const std::vector<Selector> tv = {selector("239.1.1.0/24")};
  Sender first(0x10000008, tv), second(0x10000009, tv);

  // Bursts of everything: sealed, opened, forged, replayed, unknown, hostile, bypassed; two keys in one burst.
  std::vector<Bytes> red_frames, black_frames;
  Ipv4Fields other;
  other.destination = "239.9.9.9";
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
    black_frames.push_back(first.seal(udp_frame(static_cast<std::size_t>(i) * 100)));
    black_frames.push_back(second.seal(udp_frame(64)));
    Bytes forged = first.seal(udp_frame(100));
    forged.back() ^= 1;
    black_frames.push_back(forged);
    black_frames.push_back(black_frames[0]);
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

  allocations = 0;
  locks = 0;
  watching = true;
  worker.red_burst(red, path.now_tsc(), path.snapshot());
  worker.black_burst(black, path.now_tsc(), path.snapshot());
  watching = false;
  EXPECT_EQ(allocations.load(), 0);
  EXPECT_EQ(locks.load(), 0);
  const DataPlaneStatistics all = path.statistics();
  EXPECT_EQ(all.sealed, 12U);
  EXPECT_EQ(all.opened, 24U);
  EXPECT_EQ(all.bypassed, 48U);
  EXPECT_EQ(path.dropped(DropReason::bypass_loop), 12U);
  EXPECT_EQ(path.dropped(DropReason::bad_tag), 12U);
}

// The counting itself works.
TEST(QuietPathWatch, SeesAnAllocationAndALock) {
  allocations = 0;
  locks = 0;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  watching = true;
  void* volatile p = malloc(10);
  free(p);
  int* volatile q = new int(3);
  delete q;
  pthread_mutex_lock(&mutex);
  pthread_mutex_unlock(&mutex);
  watching = false;
  EXPECT_EQ(allocations.load(), 4);
  EXPECT_EQ(locks.load(), 1);
}

INSTANTIATE_TEST_SUITE_P(Engines, QuietPath, ::testing::Values("burst", "ipsec_mb", "openssl"),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace sealcast::dataplane::testing
