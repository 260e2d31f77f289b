// Workers on threads of their own while the control thread rekeys: meant for ThreadSanitizer, valid without it, too.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <set>
#include <thread>

#include "dataplane/testing/harness.h"

namespace sealcast::dataplane::testing {
namespace {

// A small RCU: after each burst every worker stores the version it has seen.
class CountingPublisher : public Publisher {
 public:
  explicit CountingPublisher(std::size_t workers) : seen_(workers) {
    for (auto& seen : seen_)
      seen.store(offline);
  }
  void publish(const Snapshot* next) override {
    current_.store(next, std::memory_order_release);
    const std::uint64_t version = version_.fetch_add(1) + 1;
    for (auto& seen : seen_) {
      while (seen.load(std::memory_order_acquire) < version)
        std::this_thread::yield();
    }
  }
  const Snapshot& quiescent(std::size_t worker) {
    seen_[worker].store(version_.load(), std::memory_order_release);
    return *current_.load(std::memory_order_acquire);
  }
  void leave(std::size_t worker) { seen_[worker].store(offline, std::memory_order_release); }

 private:
  static constexpr std::uint64_t offline = ~std::uint64_t{0};
  std::atomic<const Snapshot*> current_{nullptr};
  std::atomic<std::uint64_t> version_{0};
  std::vector<std::atomic<std::uint64_t>> seen_;
};

TEST(Threads, RekeysUnderTrafficLoseNothingAndReuseNothing) {
  constexpr std::uint32_t workers = 2;
  constexpr std::uint32_t epochs = 12;
  CountingPublisher publisher(workers);
  DataPlaneOptions options;
  options.workers = workers;
  options.path.tsc_hz = 1'000'000'000;
  options.now_tsc = [] { return std::uint64_t{1}; };
  options.now = [] { return SteadyTime(std::chrono::nanoseconds(1)); };
  auto made = DataPlane::create(std::move(options), std::move(*aead::create_engine("auto")), publisher);
  ASSERT_TRUE(made);
  DataPlane& plane = **made;
  const std::vector<Selector> tv = {selector("239.1.1.0/24")};
  ASSERT_TRUE(plane.protect("tv", {tv}));
  const auto install = [&](std::uint32_t n) {
    GroupEpoch epoch;
    epoch.group_id = "tv";
    epoch.epoch = n;
    epoch.selectors = tv;
    epoch.replay_window = 1024;
    epoch.spi_prefix = 0x10000000 + (n << 16);
    epoch.active = n == 1;
    epoch.expires = epoch.lease_until = SteadyTime(std::chrono::hours(1));
    for (std::uint32_t w = 0; w < workers; ++w)
      epoch.outbound.push_back({key_of(epoch.spi_prefix + w)});
    epoch.inbound.push_back({key_of(epoch.spi_prefix + 8), 0});
    return plane.install(std::move(epoch));
  };
  ASSERT_TRUE(install(1));

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> lost{0};
  std::array<std::set<std::pair<std::uint32_t, std::uint64_t>>, workers> nonces;
  std::array<std::uint64_t, workers> sealed{};
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      const Bytes frame = udp_frame(100);
      std::vector<Bytes> buffers(8, Bytes(frame.size() + 128));
      while (!stop.load(std::memory_order_relaxed)) {
        std::array<Frame, 8> burst;
        for (std::size_t i = 0; i < burst.size(); ++i) {
          std::memcpy(buffers[i].data() + 64, frame.data(), frame.size());
          burst[i].data = buffers[i].data() + 64;
          burst[i].length = static_cast<std::uint32_t>(frame.size());
          burst[i].headroom = burst[i].tailroom = 64;
        }
        const Snapshot& snapshot = publisher.quiescent(w);
        plane.worker(w).red_burst(burst, 1, snapshot);
        for (const Frame& out : burst) {
          if (out.verdict != Verdict::forward) {
            ++lost;
            continue;
          }
          ++sealed[w];
          nonces[w].emplace(load_be<std::uint32_t>(out.data + 34), load_be<std::uint64_t>(out.data + 42));
        }
        // Packets from black are our own, or of a slot without a derived key: both outcomes of the black side's
        // look-up.
        plane.worker(w).black_burst(burst, 1, snapshot);
      }
      publisher.leave(w);
    });
  }
  // Between two changes every worker processes some packets, however busy the machine is.
  const auto progress = [&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (std::uint32_t w = 0; w < workers; ++w) {
      const Counter& done = plane.worker(w).counters().sealed;
      for (const std::uint64_t before = done.get(); done.get() < before + 16; std::this_thread::yield()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
      }
    }
    return true;
  };
  bool going = progress();
  for (std::uint32_t n = 2; n <= epochs && going; ++n) {
    going = install(n).has_value();
    going = going && plane.extend_lease("tv", SteadyTime(std::chrono::hours(1) - std::chrono::seconds(n))).has_value();
    going = going && progress() && plane.activate("tv", n).has_value() && progress();
    going = going && plane.retire("tv", n - 1).has_value();
    std::vector<sealcast::InboundSa> more;
    more.push_back({key_of(0x10000000 + (n << 16) + 9), 0});
    going = going && plane.add_inbound("tv", n, std::move(more)).has_value() && progress();
    EXPECT_GT(plane.statistics().sealed, 0U);
    plane.take_events();
  }
  stop = true;
  for (auto& thread : threads)
    thread.join();
  EXPECT_TRUE(going);
  EXPECT_EQ(lost.load(), 0U);
  std::set<std::uint32_t> spis;
  for (std::uint32_t w = 0; w < workers; ++w) {
    EXPECT_EQ(nonces[w].size(), sealed[w]);  // KEY-2, within a worker
    for (const auto& [spi, number] : nonces[w])
      EXPECT_EQ(spi & 0xffff, w);  // and between them: each its own slots
    for (const auto& [spi, number] : nonces[w])
      spis.insert(spi);
  }
  EXPECT_EQ(spis.size(), workers * epochs);  // every epoch had its turn
}

// Keys arrive while packets of their slots are parked at the workers: all are opened, in order.
TEST(Threads, DATA1_PacketsBeforeTheirKeysAreOpenedAsTheKeysArrive) {
  constexpr std::uint32_t workers = 2, first_slot = 10, slots = 60, each = 24, base = 0x10000000;
  CountingPublisher publisher(workers);
  DataPlaneOptions options;
  options.workers = workers;
  options.path.tsc_hz = 1'000'000'000;
  options.now_tsc = [] { return std::uint64_t{1}; };
  options.now = [] { return SteadyTime(std::chrono::nanoseconds(1)); };
  auto made = DataPlane::create(std::move(options), std::move(*aead::create_engine("auto")), publisher);
  ASSERT_TRUE(made);
  DataPlane& plane = **made;
  const std::vector<Selector> tv = {selector("239.1.1.0/24")};
  ASSERT_TRUE(plane.protect("tv", {tv}));
  GroupEpoch epoch;
  epoch.group_id = "tv";
  epoch.epoch = 1;
  epoch.selectors = tv;
  epoch.replay_window = 1024;
  epoch.spi_prefix = base;
  epoch.expires = epoch.lease_until = SteadyTime(std::chrono::hours(1));
  epoch.inbound.push_back({key_of(base + first_slot - 1), 0});
  ASSERT_TRUE(plane.install(std::move(epoch)));

  // By worker: its slots' packets, interleaved.
  std::array<std::vector<Bytes>, workers> packets;
  for (std::uint64_t number = 1; number <= each; ++number)
    for (std::uint32_t slot = first_slot; slot < first_slot + slots; ++slot) {
      EspFields fields;
      fields.spi = base + slot;
      fields.number = number;
      packets[worker_of_spi(fields.spi, workers)].push_back(esp_frame(
          fields, ipv4({}, udp(static_cast<std::uint16_t>(slot), static_cast<std::uint16_t>(number), pattern(4)))));
    }
  std::atomic<std::uint64_t> opened{0}, reordered{0}, refused{0}, parked{0};
  std::atomic<std::uint32_t> running{workers};
  std::vector<std::thread> threads;
  for (std::uint32_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      std::vector<Bytes> buffers;
      for (const Bytes& packet : packets[w]) {
        buffers.emplace_back(packet.size() + 64);
        std::memcpy(buffers.back().data() + 32, packet.data(), packet.size());
      }
      std::array<std::uint16_t, first_slot + slots> last{};
      const auto judge = [&](const Frame& out) {
        if (out.verdict == Verdict::park) {
          ++parked;
        } else if (out.verdict != Verdict::forward) {
          ++refused;
        } else {
          ++opened;
          const auto slot = load_be<std::uint16_t>(out.data + 34), number = load_be<std::uint16_t>(out.data + 36);
          if (slot >= last.size() || number != last[slot] + 1) ++reordered;
          if (slot < last.size()) last[slot] = number;
        }
      };
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      std::size_t next = 0;
      while (next < buffers.size() || plane.worker(w).parks()) {
        if (std::chrono::steady_clock::now() > deadline) break;
        const Snapshot& snapshot = publisher.quiescent(w);
        std::array<Frame, 8> burst;
        while (const std::size_t n = plane.worker(w).unpark(burst, 1, snapshot))
          for (std::size_t i = 0; i < n; ++i)
            judge(burst[i]);
        const std::size_t n = std::min(burst.size(), buffers.size() - next);
        for (std::size_t i = 0; i < n; ++i, ++next) {
          burst[i] = Frame{};
          burst[i].data = buffers[next].data() + 32;
          burst[i].length = static_cast<std::uint32_t>(buffers[next].size() - 64);
          burst[i].headroom = burst[i].tailroom = 32;
        }
        plane.worker(w).black_burst({burst.data(), n}, 1, snapshot);
        for (std::size_t i = 0; i < n; ++i)
          judge(burst[i]);
        std::this_thread::yield();
      }
      publisher.leave(w);
      --running;
    });
  }
  std::deque<std::uint32_t> wanted;
  while (running != 0) {
    for (const SlotWanted& want : plane.take_events().slots_wanted)
      wanted.push_back(want.slot);
    std::vector<sealcast::InboundSa> keys;
    for (; !wanted.empty() && keys.size() < 4; wanted.pop_front())  // the others wait: their packets, too
      keys.push_back({key_of(base + wanted.front()), 0});
    if (!keys.empty()) {
      EXPECT_TRUE(plane.add_inbound("tv", 1, std::move(keys)));
    }
    std::this_thread::yield();
  }
  for (auto& thread : threads)
    thread.join();
  EXPECT_EQ(opened.load(), std::uint64_t{slots} * each);
  EXPECT_EQ(reordered.load(), 0U);
  EXPECT_EQ(refused.load(), 0U);
  EXPECT_GT(parked.load(), 0U);
}

}  // namespace
}  // namespace sealcast::dataplane::testing
