// Several workers between real rings: every SPI has one writer, streams keep their order whatever the workers' delays,
// spread or not, nothing leaks and nothing hangs at the end. Needs hugepages (label virtio).
#include <dirent.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "dataplane/dpdk/gateway.h"
#include "dataplane/dpdk/testing/ring_peer.h"
#include "dataplane/sa/sa.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using testing::key_of;
using testing::RingPeer;
using testing::selector;

constexpr std::uint32_t prefix = 0x10000000;

// Threads named sc-worker-*.
std::vector<pid_t> worker_threads() {
  std::vector<pid_t> found;
  DIR* const tasks = ::opendir("/proc/self/task");
  while (const dirent* task = ::readdir(tasks)) {
    std::ifstream comm(std::string("/proc/self/task/") + task->d_name + "/comm");
    std::string name;
    if (std::getline(comm, name) && name.rfind("sc-worker-", 0) == 0) found.push_back(std::atoi(task->d_name));
  }
  ::closedir(tasks);
  return found;
}

// Delays workers for random moments, anywhere in their code: by a signal with a handler that sleeps.
class Delays {
 public:
  explicit Delays(std::uint32_t seed) {
    struct sigaction action {};
    action.sa_handler = [](int) {
      timespec pause{0, next_pause.load(std::memory_order_relaxed)};
      ::nanosleep(&pause, nullptr);
    };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGUSR1, &action, nullptr);
    thread_ = std::thread([this, seed] {
      std::mt19937 random(seed);
      const std::vector<pid_t> workers = worker_threads();
      while (!stop_ && !workers.empty()) {
        next_pause = static_cast<long>(random() % 2'000'000);  // up to 2 ms
        ::syscall(SYS_tgkill, ::getpid(), workers[random() % workers.size()], SIGUSR1);
        ++injected_;
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 1500));
      }
    });
  }
  ~Delays() { stop(); }
  // Afterwards no signal is under way to threads that may end.
  int stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    std::this_thread::sleep_for(10ms);
    return injected_;
  }

 private:
  static inline std::atomic<long> next_pause{0};
  std::atomic<bool> stop_{false};
  std::atomic<int> injected_{0};
  std::thread thread_;
};

// A packet with its stream and number in it.
Bytes stamped(std::uint32_t stream, std::uint32_t number, std::size_t bytes) {
  Bytes payload = testing::pattern(8 + bytes);
  store_be(&payload[0], stream);
  store_be(&payload[4], number);
  testing::Ipv4Fields fields;
  fields.source = "10.0." + std::to_string(stream / 200) + "." + std::to_string(stream % 200 + 1);
  return testing::ethernet(testing::ipv4(fields, testing::udp(1, 5000, payload)));
}

// Reads the stamps of arriving packets, and checks the order of each stream.
struct Stamps {
  std::map<std::uint32_t, std::uint32_t> next;  // by stream: one above the last number
  std::uint64_t frames = 0, reordered = 0, repeated = 0;
  std::set<std::pair<std::uint32_t, std::uint32_t>> seen;

  void add(const Bytes& frame) {
    ASSERT_GE(frame.size(), 50U);
    const auto stream = load_be<std::uint32_t>(&frame[42]), number = load_be<std::uint32_t>(&frame[46]);
    ++frames;
    if (!seen.emplace(stream, number).second) ++repeated;
    std::uint32_t& expected = next[stream];
    if (number < expected) ++reordered;
    expected = std::max(expected, number + 1);
  }
};

class Workers : public ::testing::Test {
 protected:
  static std::string unique(const std::string& name) {
    static int number = 0;
    return name + std::to_string(number++);
  }

  // Seals 239.1.1.0/24 under slots own .. own + workers - 1, opens peer .. peer + peers - 1.
  static std::unique_ptr<GatewayDataPlane> gateway(const std::string& red, const std::string& black,
                                                   std::uint32_t workers, bool spread, std::uint32_t own,
                                                   std::uint32_t peer, std::uint32_t peers) {
    GatewayOptions options;
    options.red = {red, 1500};
    options.black = {black, 1600};
    options.memory_mb = 192;
    options.workers = workers;
    options.spread = spread;
    auto made = GatewayDataPlane::create(options);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return nullptr;
    const std::vector<Selector> selectors{selector("239.1.1.0/24")};
    EXPECT_TRUE((*made)->control().protect("tv", {selectors}));
    GroupEpoch epoch;
    epoch.group_id = "tv";
    epoch.epoch = 1;
    epoch.selectors = selectors;
    epoch.spi_prefix = prefix;
    epoch.active = true;
    epoch.expires = epoch.lease_until = std::chrono::steady_clock::now() + 1h;
    for (std::uint32_t i = 0; i < workers; ++i)
      epoch.outbound.push_back({key_of(prefix + own + i)});
    for (std::uint32_t i = 0; i < peers; ++i)
      epoch.inbound.push_back({key_of(prefix + peer + i), 0});
    const auto installed = (*made)->control().install(std::move(epoch));
    EXPECT_TRUE(installed) << (installed ? "" : installed.error().message);
    return std::move(*made);
  }
  static std::uint64_t drops(GatewayDataPlane& gateway, const std::string& reason) {
    for (const DropCount& drop : gateway.control().statistics().drops)
      if (drop.reason == reason) return drop.packets;
    ADD_FAILURE() << "no such reason: " << reason;
    return 0;
  }
  static std::string all_drops(GatewayDataPlane& gateway) {
    std::string text;
    const auto statistics = gateway.control().statistics();
    for (const DropCount& drop : statistics.drops)
      if (drop.packets != 0) text += drop.reason + "=" + std::to_string(drop.packets) + " ";
    for (const PortStatistics& port : statistics.ports)
      text += port.name + " rx " + std::to_string(port.rx_packets) + " tx " + std::to_string(port.tx_packets) +
              " dropped " + std::to_string(port.tx_dropped) + " ";
    return text;
  }
};

struct Shape {
  const char* name;
  std::uint32_t workers;
  bool spread;
  std::uint32_t streams;
  std::uint16_t red_queues, black_queues;
};

class Order : public Workers, public ::testing::WithParamInterface<Shape> {};

// Two gateways, black sides joined, stamped streams from one red side to the other, workers delayed at random. Never
// more under way than the rings hold, so that every single packet must come out.
TEST_P(Order, StampedStreamsComeOutInTheirOrderWithEveryPacket) {
  const Shape& shape = GetParam();
  const auto ring = [](const std::string& name, std::uint16_t queues) {
    return "ring:" + unique(name) + "?queues=" + std::to_string(queues);
  };
  const std::string red_a = ring("oa", shape.red_queues), red_b = ring("ob", shape.red_queues);
  const std::string black = ring("oc", shape.black_queues);
  auto a = gateway(red_a, black, shape.workers, shape.spread, 0, 100, shape.workers);
  auto b = gateway(red_b, black, shape.workers, shape.spread, 100, 0, shape.workers);
  ASSERT_TRUE(a && b);
  const auto started_a = a->start(), started_b = b->start();
  ASSERT_TRUE(started_a) << started_a.error().message;
  ASSERT_TRUE(started_b) << started_b.error().message;
  {
    RingPeer source(red_a), sink(red_b);
    Delays delays(shape.workers * 10 + shape.streams);
    constexpr std::uint32_t total = 60'000;
    constexpr std::uint64_t under_way = 600;
    std::mt19937 random(1);
    std::vector<std::uint32_t> number(shape.streams, 0);
    Stamps stamps;
    std::uint64_t sent = 0;
    auto deadline = std::chrono::steady_clock::now() + 60s;
    while (stamps.frames < total && std::chrono::steady_clock::now() < deadline) {
      std::map<std::uint16_t, std::vector<Bytes>> burst;
      for (std::uint64_t n = random() % 100; n > 0 && sent < total && sent - stamps.frames < under_way; --n, ++sent) {
        const auto stream = static_cast<std::uint32_t>(random() % shape.streams);
        burst[static_cast<std::uint16_t>(stream % shape.red_queues)].push_back(
            stamped(stream, number[stream]++, random() % 300));
      }
      for (const auto& [queue, frames] : burst)
        ASSERT_EQ(source.send(frames, queue), frames.size());
      for (std::uint16_t queue = 0; queue < shape.red_queues; ++queue)
        for (const Bytes& frame : sink.receive(queue))
          ASSERT_NO_FATAL_FAILURE(stamps.add(frame));
    }
    EXPECT_GT(delays.stop(), 50);
    EXPECT_EQ(stamps.frames, total) << "a: " << all_drops(*a) << "; b: " << all_drops(*b);
    EXPECT_EQ(stamps.reordered, 0U);
    EXPECT_EQ(stamps.repeated, 0U);
    EXPECT_EQ(stamps.next.size(), shape.streams);
    // With several streams, or a spread one, several workers took part.
    const auto statistics = a->control().statistics();
    std::size_t sealing = 0;
    for (const SaStatistics& sa : statistics.sas)
      if (sa.outbound && sa.packets > 0) ++sealing;
    EXPECT_EQ(sealing, shape.spread || shape.streams > 8 ? shape.workers : 1);
  }
  a->stop();
  b->stop();
}

INSTANTIATE_TEST_SUITE_P(Shapes, Order,
                         ::testing::Values(Shape{"TwoWorkersTwoQueues", 2, false, 20, 2, 2},
                                           Shape{"TwoWorkersOneQueue", 2, false, 20, 1, 1},
                                           Shape{"FourWorkersOneQueue", 4, false, 40, 1, 1},
                                           Shape{"FourWorkersTwoQueues", 4, false, 40, 2, 2},
                                           Shape{"FourWorkersOneRedQueue", 4, false, 40, 1, 4},
                                           Shape{"OneStreamSpreadOverTwo", 2, true, 1, 1, 1},
                                           Shape{"OneStreamSpreadOverThree", 3, true, 1, 1, 1},
                                           Shape{"OneStreamSpreadOverFour", 4, true, 1, 1, 1},
                                           Shape{"StreamsSpreadOverFour", 4, true, 12, 1, 1}),
                         [](const auto& instance) { return std::string(instance.param.name); });

// The same sealed packets on two receive queues at the same time: of every number one passes, and only its SPI's worker
// decides.
TEST_F(Workers, OneSpiOverTwoQueuesPassesEveryNumberOnce) {
  const std::string black = "ring:" + unique("dup") + "?queues=2", red = "ring:" + unique("dupred") + "?queues=2";
  constexpr std::uint32_t slots = 6, each = 2000;
  auto receiver = gateway(red, black, 2, false, 100, 0, slots);
  ASSERT_TRUE(receiver && receiver->start());
  std::vector<std::vector<Bytes>> sealed(slots);
  std::set<std::uint32_t> owners;
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    testing::Sender sender(prefix + slot, {selector("239.1.1.0/24")});
    owners.insert(worker_of_spi(prefix + slot, 2));
    for (std::uint32_t n = 0; n < each; ++n)
      sealed[slot].push_back(sender.seal(stamped(slot, n, 16)));
  }
  ASSERT_EQ(owners.size(), 2U) << "the test needs slots of both workers";
  RingPeer source(black), sink(red);
  std::atomic<std::uint32_t> done{0};
  std::atomic<std::uint64_t> pace{0};
  const auto feed = [&](std::uint16_t queue) {
    std::mt19937 random(queue);
    for (std::uint32_t n = 0; n < each; n += 16) {
      for (std::uint32_t slot = 0; slot < slots; ++slot) {
        std::vector<Bytes> burst(sealed[slot].begin() + n, sealed[slot].begin() + std::min(n + 16, each));
        for (std::size_t at = 0; at < burst.size();) {
          at += source.send({burst.begin() + static_cast<std::ptrdiff_t>(at), burst.end()}, queue);
          if (at < burst.size()) std::this_thread::sleep_for(50us);
        }
      }
      // Neither queue runs further ahead than a replay window.
      pace += 16;
      while (n * 2 > pace.load() + 512)
        std::this_thread::sleep_for(20us);
    }
    ++done;
  };
  std::thread first(feed, std::uint16_t{0}), second(feed, std::uint16_t{1});
  Stamps stamps;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  auto quiet_since = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() < deadline) {
    const std::uint64_t before = stamps.frames;
    for (const std::uint16_t queue : {std::uint16_t{0}, std::uint16_t{1}})
      for (const Bytes& frame : sink.receive(queue))
        stamps.add(frame);
    if (stamps.frames != before || done != 2) quiet_since = std::chrono::steady_clock::now();
    if (std::chrono::steady_clock::now() - quiet_since > 200ms) break;
  }
  first.join();
  second.join();
  EXPECT_EQ(stamps.repeated, 0U) << "a packet passed twice";
  // Every copy is accounted for: passed, refused as a replay, or lost to a full ring.
  const std::uint64_t lost = drops(*receiver, "hand_off_full") + receiver->control().statistics().ports[0].tx_dropped;
  EXPECT_EQ(stamps.frames + drops(*receiver, "replay") + lost, std::uint64_t{2} * slots * each) << all_drops(*receiver);
  EXPECT_LE(stamps.frames, std::uint64_t{slots} * each);
  EXPECT_GT(stamps.frames, std::uint64_t{slots} * each / 4);
  EXPECT_GT(drops(*receiver, "replay"), std::uint64_t{slots} * each / 4);
  for (const char* reason : {"bad_tag", "unknown_spi", "slot_pending"})
    EXPECT_EQ(drops(*receiver, reason), 0U) << reason;
  receiver->stop();
}

// DATA-1: a sender that the receiver does not know yet; its first packets wait until the key comes, and come out first.
TEST_F(Workers, DATA1_ANewSendersFirstPacketIsDelivered) {
  for (const bool spread : {false, true}) {
    const std::string black = "ring:" + unique("new"), red = "ring:" + unique("newred");
    auto receiver = gateway(red, black, 2, spread, 100, 0, 1);
    ASSERT_TRUE(receiver && receiver->start());
    RingPeer source(black), sink(red);
    for (std::uint32_t slot = 1; slot <= 6; ++slot) {
      testing::Sender sender(prefix + slot, {selector("239.1.1.0/24")});
      std::vector<Bytes> early;
      for (std::uint32_t n = 0; n < 40; ++n)
        early.push_back(sender.seal(stamped(slot, n, 10)));
      ASSERT_EQ(source.send(early), early.size());
      // As the member agent does: takes the request, derives the key, installs it.
      std::vector<SlotWanted> wanted;
      for (int i = 0; i < 2000 && wanted.empty(); ++i) {
        wanted = receiver->control().take_events().slots_wanted;
        std::this_thread::sleep_for(1ms);
      }
      ASSERT_EQ(wanted.size(), 1U);
      ASSERT_EQ(wanted[0].slot, slot);
      std::vector<sealcast::InboundSa> keys;
      keys.push_back({key_of(prefix + slot), 0});
      ASSERT_TRUE(receiver->control().add_inbound("tv", 1, std::move(keys)));
      std::vector<Bytes> late;
      for (std::uint32_t n = 40; n < 60; ++n)
        late.push_back(sender.seal(stamped(slot, n, 10)));
      ASSERT_EQ(source.send(late), late.size());
      Stamps stamps;
      for (int i = 0; i < 2000 && stamps.frames < 60; ++i) {
        for (const Bytes& frame : sink.receive())
          stamps.add(frame);
        std::this_thread::sleep_for(1ms);
      }
      EXPECT_EQ(stamps.frames, 60U) << all_drops(*receiver);
      EXPECT_EQ(stamps.reordered, 0U);
    }
    receiver->stop();
  }
}

// Frames in every possible place: parked, in rings, spread. At the end the pools have all their buffers back.
TEST_F(Workers, StoppingUnderLoadNeitherHangsNorLeaks) {
  for (const bool spread : {false, true}) {
    for (int round = 0; round < 4; ++round) {
      const std::string black = "ring:" + unique("stop"), red = "ring:" + unique("stopred");
      std::atomic<bool> stop{false};
      RingPeer* peers[2] = {};
      auto plane = gateway(red, black, 3, spread, 100, 0, 4);
      ASSERT_TRUE(plane && plane->start());
      auto source = std::make_unique<RingPeer>(red), far = std::make_unique<RingPeer>(black);
      peers[0] = source.get();
      peers[1] = far.get();
      std::vector<Bytes> plain, sealed;
      for (std::uint32_t slot = 0; slot < 8; ++slot) {  // without keys for half of them: parked
        testing::Sender sender(prefix + slot, {selector("239.1.1.0/24")});
        for (std::uint32_t n = 0; n < 64; ++n) {
          plain.push_back(stamped(slot, n, 100));
          sealed.push_back(sender.seal(plain.back()));
        }
      }
      std::thread load([&] {
        while (!stop) {
          peers[0]->send(plain);
          peers[1]->send(sealed);
          while (!peers[0]->receive().empty() || !peers[1]->receive().empty()) {
          }
        }
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(20 + 10 * round));
      const auto begin = std::chrono::steady_clock::now();
      plane->stop();
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
      stop = true;
      load.join();
      while (!source->receive().empty() || !far->receive().empty()) {
      }
      EXPECT_GT(plane->control().statistics().opened, 0U);
      plane.reset();
      source->close();
      far->close();
      EXPECT_EQ(source->buffers_in_use(), 0U) << (spread ? "spread" : "plain");
      EXPECT_EQ(far->buffers_in_use(), 0U) << (spread ? "spread" : "plain");
      source.reset();
      far.reset();
      EXPECT_EQ(RingPeer::pools_kept(), 0U) << (spread ? "spread" : "plain");
    }
  }
}

TEST_F(Workers, SpreadNeedsPortsWithOneQueue) {
  GatewayOptions options;
  options.red = {"ring:x?queues=2", 1500};
  options.black = {"null", 1600};
  options.workers = 2;
  options.spread = true;
  options.memory_mb = 192;
  const auto made = GatewayDataPlane::create(options);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().message.find("expected one queue"), std::string::npos) << made.error().message;
}

}  // namespace
}  // namespace sealcast::dataplane
