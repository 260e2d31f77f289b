// Ordinary programs' multicast through two gateways and the black network: veth into namespaces on red, virtio on
// black, every part a process of its own that is killed and comes back. Root and hugepages (label virtio).
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <thread>

#include "base/bytes.h"
#include "dataplane/dpdk/testing/pcap_file.h"
#include "tests/wire/network.h"
#include "tests/wire/process.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;

sockaddr_in group_address() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(5000);
  address.sin_addr.s_addr = inet_addr("239.1.1.7");
  return address;
}

// Sends numbered datagrams from a namespace, one every gap, until stopped.
class Sender {
 public:
  Sender(const Namespace& there, const char* own_address, std::chrono::microseconds gap, std::size_t bytes = 1316)
      : socket_(there.udp_socket()) {
    in_addr interface { inet_addr(own_address) };
    ::setsockopt(socket_, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof(interface));
    thread_ = std::thread([this, gap, bytes] {
      std::vector<std::uint8_t> payload(bytes, 0x5a);
      const sockaddr_in to = group_address();
      auto next = std::chrono::steady_clock::now();
      while (!stop_) {
        store_be<std::uint64_t>(payload.data(), sent_ + 1);
        if (::sendto(socket_, payload.data(), payload.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) >
            0)
          ++sent_;
        std::this_thread::sleep_until(next += gap);
      }
    });
  }
  ~Sender() {
    stop();
    ::close(socket_);
  }
  std::uint64_t stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return sent_;
  }
  std::uint64_t sent() const { return sent_; }

 private:
  int socket_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> sent_{0};
  std::thread thread_;
};

// Joins the group in a namespace and remembers which datagrams came.
class Receiver {
 public:
  Receiver(const Namespace& there, const char* own_address) : socket_(there.udp_socket()) {
    const int yes = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    const int large = 8 << 20;
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
    sockaddr_in any = group_address();
    EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&any), sizeof(any)), 0);
    const ip_mreq join{{inet_addr("239.1.1.7")}, {inet_addr(own_address)}};
    EXPECT_EQ(::setsockopt(socket_, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof(join)), 0);
    const timeval patience{0, 20'000};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    thread_ = std::thread([this] {
      std::vector<std::uint8_t> payload(2048);
      while (!stop_) {
        const ssize_t n = ::recv(socket_, payload.data(), payload.size(), 0);
        if (n < 8) continue;
        const bool whole = std::all_of(payload.begin() + 8, payload.begin() + n, [](auto b) { return b == 0x5a; });
        const std::lock_guard lock(mutex_);
        if (!whole) ++damaged_;
        numbers_.insert(load_be<std::uint64_t>(payload.data()));
        ++total_;
      }
    });
  }
  ~Receiver() {
    stop_ = true;
    thread_.join();
    ::close(socket_);
  }
  std::uint64_t distinct() const {
    const std::lock_guard lock(mutex_);
    return numbers_.size();
  }
  std::uint64_t total() const {
    const std::lock_guard lock(mutex_);
    return total_;
  }
  std::uint64_t damaged() const {
    const std::lock_guard lock(mutex_);
    return damaged_;
  }

 private:
  int socket_;
  std::atomic<bool> stop_{false};
  mutable std::mutex mutex_;
  std::set<std::uint64_t> numbers_;
  std::uint64_t total_ = 0, damaged_ = 0;
  std::thread thread_;
};

class GatewayOnWire : public ::testing::Test {
 protected:
  GatewayOnWire() {
    char name[] = "/tmp/sealcast-gw-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~GatewayOnWire() override { std::filesystem::remove_all(folder_); }
  void SetUp() override { ASSERT_TRUE(studio_.ready() && home_.ready()) << "root and iproute2, ethtool are needed"; }

  std::string at(const std::string& name) const { return folder_ + "/" + name; }

  std::unique_ptr<Process> wire() {
    auto made = std::make_unique<Process>(std::vector<std::string>{
        WIRE_PROGRAM, "--memory", "256", "--port", "virtio-user:" + at("a"), "--port", "virtio-user:" + at("b"),
        "--pcap", at("black" + std::to_string(captures_++) + ".pcap")});
    EXPECT_EQ(made->line(), "READY");
    return made;
  }
  // Slots of the studio's gateway are 0, 1, 2 … one for each of its lives (H9); home opens them all.
  std::unique_ptr<Process> studio_gateway() {
    return gateway({"af_packet:" + studio_.near(), "vhost-user:" + at("a"), std::to_string(studio_lives_++), "100"});
  }
  std::unique_ptr<Process> home_gateway() {
    return gateway({"af_packet:" + home_.near(), "vhost-user:" + at("b"), std::to_string(100 + home_lives_++), "0", "1",
                    "2", "3"});
  }
  static std::unique_ptr<Process> gateway(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), GATEWAY_PEER_PROGRAM);
    auto made = std::make_unique<Process>(arguments);
    EXPECT_EQ(made->line(), "READY");
    return made;
  }

  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(15ms);
    }
    return false;
  }
  static bool attached(Process& gateway) {
    return eventually([&] { return gateway.ask("stats").ends_with("red 1 black 1"); });
  }
  // The stream comes through now: n more datagrams arrive.
  static bool flows(const Receiver& receiver, std::uint64_t n) {
    const std::uint64_t before = receiver.distinct();
    return eventually([&] { return receiver.distinct() >= before + n; });
  }

  // Looks at everything that crossed the black network.
  void nothing_in_clear() {
    std::uint64_t esp = 0;
    for (int i = 0; i < captures_; ++i) {
      const auto frames = dataplane::testing::read_pcap(at("black" + std::to_string(i) + ".pcap"));
      ASSERT_TRUE(frames);
      for (const Bytes& frame : *frames) {
        ASSERT_GE(frame.size(), 34U);
        const std::uint8_t protocol = frame[14 + 9];
        EXPECT_TRUE(protocol == 50 || protocol == 2) << "protocol " << int{protocol} << " on black";
        esp += protocol == 50;
      }
    }
    EXPECT_GT(esp, 0U);
  }

  std::string folder_;
  Namespace studio_{"s", "10.77.1.2/24"};
  Namespace home_{"h", "10.77.2.2/24"};
  int captures_ = 0, studio_lives_ = 0, home_lives_ = 0;
};

TEST_F(GatewayOnWire, OrdinaryMulticastArrivesWhole) {
  auto black = wire();
  auto studio = studio_gateway();
  auto home = home_gateway();
  ASSERT_TRUE(attached(*studio) && attached(*home));
  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 500us);
  std::this_thread::sleep_for(3s);
  const std::uint64_t sent = sender.stop();
  EXPECT_GT(sent, 1000U);
  EXPECT_TRUE(eventually([&] { return receiver.distinct() == sent; }))
      << "sent " << sent << ", received " << receiver.distinct() << "; studio: " << studio->ask("drops")
      << "; home: " << home->ask("drops");
  EXPECT_EQ(receiver.total(), sent) << "and none twice";
  EXPECT_EQ(receiver.damaged(), 0U);
  EXPECT_EQ(black->end(SIGTERM), 0);
  nothing_in_clear();
}

TEST_F(GatewayOnWire, TenThousandPacketsASecondLoseNone) {
  auto black = wire();
  auto studio = studio_gateway();
  auto home = home_gateway();
  ASSERT_TRUE(attached(*studio) && attached(*home));
  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 100us);
  std::this_thread::sleep_for(3s);
  const std::uint64_t sent = sender.stop();
  EXPECT_GT(sent, 20'000U) << "the sender did not get the CPU time it needs";
  EXPECT_TRUE(eventually([&] { return receiver.distinct() == sent; }))
      << "sent " << sent << ", received " << receiver.distinct() << "; studio: " << studio->ask("stats") << ", "
      << studio->ask("drops") << "; home: " << home->ask("stats") << ", " << home->ask("drops");
}

TEST_F(GatewayOnWire, H10_TheStreamResumesAfterKillingAnyPartAndNothingLeavesInClear) {
  auto black = wire();
  auto studio = studio_gateway();
  auto home = home_gateway();
  ASSERT_TRUE(attached(*studio) && attached(*home));
  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 1000us, 200);
  ASSERT_TRUE(flows(receiver, 300));

  EXPECT_EQ(studio->end(SIGKILL), -SIGKILL);
  studio = studio_gateway();
  EXPECT_TRUE(flows(receiver, 300)) << "after the sending gateway was killed";

  EXPECT_EQ(home->end(SIGKILL), -SIGKILL);
  home = home_gateway();
  EXPECT_TRUE(flows(receiver, 300)) << "after the receiving gateway was killed";

  EXPECT_EQ(black->end(SIGKILL), -SIGKILL);
  std::this_thread::sleep_for(100ms);
  black = wire();
  EXPECT_TRUE(flows(receiver, 300)) << "after the wire was killed";

  sender.stop();
  EXPECT_EQ(receiver.damaged(), 0U);
  EXPECT_EQ(black->end(SIGTERM), 0);
  nothing_in_clear();
}

TEST_F(GatewayOnWire, AnAfPacketPortSaysWhatItsInterfaceLacks) {
  const auto complaint = [&](const std::string& red) {
    Process peer({GATEWAY_PEER_PROGRAM, red, "null", "0", "1"}, at("err"));
    EXPECT_EQ(peer.wait(), 1);
    std::string text(4096, '\0');
    std::FILE* const in = std::fopen(at("err").c_str(), "r");
    text.resize(std::fread(text.data(), 1, text.size(), in));
    std::fclose(in);
    return text;
  };
  EXPECT_TRUE(command("ip link set " + studio_.near() + " mtu 1400"));
  EXPECT_THAT(complaint("af_packet:" + studio_.near()),
              ::testing::HasSubstr("the interface's MTU is 1400, the configuration says 1500; ip link set dev " +
                                   studio_.near() + " mtu 1500"));
  EXPECT_TRUE(command("ip link set " + studio_.near() + " mtu 1500 down"));
  EXPECT_THAT(complaint("af_packet:" + studio_.near()), ::testing::HasSubstr("the interface is down"));
  EXPECT_THAT(complaint("af_packet:" + studio_.near() + "?framesz=2048&queues=2"),
              ::testing::HasSubstr("the interface is down"));
}

}  // namespace
}  // namespace sealcast::wire
