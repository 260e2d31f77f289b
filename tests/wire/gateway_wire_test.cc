// Ordinary programs' multicast through two gateways and the black network: veth into namespaces on red, virtio on
// black, every part a process of its own that is killed and comes back. Root and hugepages (label virtio).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <sstream>
#include <thread>

#include "base/testing/places.h"
#include "dataplane/dpdk/testing/pcap_file.h"
#include "tests/wire/network.h"
#include "tests/wire/process.h"
#include "tests/wire/stream.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;

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
        places::program("sealcast-wire"), "--memory", "256", "--port", "virtio-user:" + at("a"), "--port",
        "virtio-user:" + at("b"), "--pcap", at("black" + std::to_string(captures_++) + ".pcap")});
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
    arguments.insert(arguments.begin(), places::program("sealcast-gateway-peer"));
    // Both gateways' af_packet ports are in one network namespace: once in thousands of starts the driver gives them
    // the same fanout number, made of process and interface number, and the second fails. Started again it has another
    // number.
    for (int tries = 0;; ++tries) {
      auto made = std::make_unique<Process>(arguments);
      const std::string line = made->line();
      if (line == "READY" || tries == 2) {
        EXPECT_EQ(line, "READY");
        return made;
      }
    }
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

  // Checks everything that crossed the black network.
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
    Process peer({places::program("sealcast-gateway-peer"), red, "null", "0", "1"}, at("err"));
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
