// The data plane between real DPDK ports, in one process: recorded frames in, recorded frames out, with known keys.
// Needs hugepages (label virtio).
#include "dataplane/dpdk/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "dataplane/dpdk/testing/pcap_file.h"
#include "dataplane/testing/harness.h"

namespace sealcast::dataplane {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using testing::key_of;
using testing::read_pcap;
using testing::selector;
using testing::udp_frame;
using testing::write_pcap;

constexpr std::uint32_t prefix = 0x10000000;

class Gateway : public ::testing::Test {
 protected:
  Gateway() {
    char name[] = "/tmp/sealcast-gateway-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~Gateway() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }

  static GatewayOptions options(const std::string& red, const std::string& black) {
    GatewayOptions made;
    made.red.device = red;
    made.black = {black, 1600};
    made.memory_mb = 128;
    return made;
  }

  // A gateway that seals 239.1.1.0/24 under own_slot and opens what peer_slot sealed.
  static std::unique_ptr<GatewayDataPlane> gateway(const GatewayOptions& options, std::uint32_t own_slot,
                                                   std::uint32_t peer_slot) {
    auto made = GatewayDataPlane::create(options);
    EXPECT_TRUE(made) << made.error().message;
    if (!made) return nullptr;
    key(**made, own_slot, peer_slot);
    return std::move(*made);
  }
  static void key(GatewayDataPlane& gateway, std::uint32_t own_slot, std::uint32_t peer_slot) {
    const std::vector<Selector> selectors{selector("239.1.1.0/24")};
    ASSERT_TRUE(gateway.control().protect("tv", selectors));
    GroupEpoch epoch;
    epoch.group_id = "tv";
    epoch.epoch = 1;
    epoch.selectors = selectors;
    epoch.spi_prefix = prefix;
    epoch.active = true;
    epoch.expires = std::chrono::steady_clock::now() + 1h;
    epoch.lease_until = epoch.expires;
    for (std::uint32_t worker = 0; worker < gateway.control().workers(); ++worker)
      epoch.outbound.push_back({key_of(prefix + own_slot + worker)});
    for (std::uint32_t worker = 0; worker < gateway.control().workers(); ++worker)
      epoch.inbound.push_back({key_of(prefix + peer_slot + worker), 0});
    const auto installed = gateway.control().install(std::move(epoch));
    ASSERT_TRUE(installed) << installed.error().message;
  }

  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }
  static std::uint64_t drops(GatewayDataPlane& gateway, const std::string& reason) {
    for (const DropCount& drop : gateway.control().statistics().drops)
      if (drop.reason == reason) return drop.packets;
    ADD_FAILURE() << "no such reason: " << reason;
    return 0;
  }

  std::string folder_;
};

std::vector<Bytes> frames_of_many_sizes() {
  std::vector<Bytes> frames;
  for (std::size_t size = 0; size <= 1472; size += 7)
    frames.push_back(udp_frame(size));
  return frames;
}

TEST_F(Gateway, RecordedStreamIsSealedAndOpenedByteForByte) {
  const std::vector<Bytes> plain = frames_of_many_sizes();
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  {
    auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
    ASSERT_TRUE(sender);
    const auto started = sender->start();
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size(); }));
    sender->stop();
    const auto statistics = sender->control().statistics();
    ASSERT_EQ(statistics.ports.size(), 2U);
    EXPECT_EQ(statistics.ports[0].name, "red");
    EXPECT_EQ(statistics.ports[0].rx_packets, plain.size());
    EXPECT_EQ(statistics.ports[1].name, "black");
    EXPECT_EQ(statistics.ports[1].tx_packets, plain.size());
    EXPECT_EQ(statistics.ports[1].tx_dropped, 0U);
    EXPECT_FALSE(statistics.ports[1].link_up) << "stopped";
  }
  const auto sealed = read_pcap(at("black.pcap"));
  ASSERT_TRUE(sealed);
  ASSERT_EQ(sealed->size(), plain.size());
  for (const Bytes& frame : *sealed)
    EXPECT_EQ(frame[14 + 9], 50) << "nothing but ESP on black";

  auto receiver = gateway(options("pcap:," + at("out.pcap"), "pcap:" + at("black.pcap")), 8, 0);
  ASSERT_TRUE(receiver);
  ASSERT_TRUE(receiver->start());
  EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == plain.size(); }));
  receiver->stop();
  EXPECT_EQ(read_pcap(at("out.pcap")), plain);
}

TEST_F(Gateway, H10_WithoutKeysNothingLeavesInClear) {
  ASSERT_TRUE(write_pcap(at("in.pcap"), {100, udp_frame(200)}));
  auto made = GatewayDataPlane::create(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")));
  ASSERT_TRUE(made);
  ASSERT_TRUE((*made)->control().protect("tv", {selector("239.1.1.0/24")}));
  ASSERT_TRUE((*made)->start());
  EXPECT_TRUE(eventually([&] { return drops(**made, "no_sa") == 100; }));
  (*made)->stop();
  EXPECT_EQ(read_pcap(at("black.pcap")), std::vector<Bytes>{});
}

// Two gateways in one process, black sides joined by a ring, with rekeys while the stream runs.
TEST_F(Gateway, RekeysWhileTheStreamRuns) {
  const std::vector<Bytes> plain(100'000, udp_frame(300));
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  auto receiver = gateway(options("pcap:," + at("out.pcap"), "ring:rekey"), 8, 0);
  ASSERT_TRUE(receiver && receiver->start());
  auto sender = gateway(options("pcap:" + at("in.pcap"), "ring:rekey"), 0, 8);
  ASSERT_TRUE(sender && sender->start());
  for (std::uint64_t number = 2; number < 40; ++number) {
    GroupEpoch epoch;
    epoch.group_id = "tv";
    epoch.epoch = number;
    epoch.selectors = {selector("239.1.1.0/24")};
    epoch.spi_prefix = prefix + static_cast<std::uint32_t>(number << 16);
    epoch.expires = std::chrono::steady_clock::now() + 1h;
    epoch.lease_until = epoch.expires;
    GroupEpoch at_receiver;
    at_receiver.group_id = epoch.group_id;
    at_receiver.epoch = number;
    at_receiver.selectors = epoch.selectors;
    at_receiver.spi_prefix = epoch.spi_prefix;
    at_receiver.expires = at_receiver.lease_until = epoch.expires;
    at_receiver.inbound.push_back({key_of(epoch.spi_prefix), 0});
    epoch.outbound.push_back({key_of(epoch.spi_prefix)});
    ASSERT_TRUE(receiver->control().install(std::move(at_receiver)));
    ASSERT_TRUE(sender->control().install(std::move(epoch)));
    ASSERT_TRUE(sender->control().activate("tv", number));
    ASSERT_TRUE(sender->control().retire("tv", number - 1));
  }
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == plain.size(); }));
  const auto lost = [&] { return sender->control().statistics().ports[1].tx_dropped; };
  EXPECT_TRUE(eventually([&] { return receiver->control().statistics().opened == plain.size() - lost(); }))
      << "opened " << receiver->control().statistics().opened << ", the ring was full for " << lost();
  const auto statistics = receiver->control().statistics();
  EXPECT_GE(std::count_if(statistics.sas.begin(), statistics.sas.end(), [](const auto& sa) { return sa.packets > 0; }),
            2)
      << "the stream ended before a rekey";
  for (const char* reason : {"unknown_spi", "bad_tag", "replay", "no_sa", "sa_expired"}) {
    EXPECT_EQ(drops(*receiver, reason), 0U) << reason;
    EXPECT_EQ(drops(*sender, reason), 0U) << reason;
  }
}

TEST_F(Gateway, AFrameLargerThanABufferIsCopiedOrDroppedNeverCut) {
  // pcap hands frames over in several segments when they exceed a buffer (here 2048 + headroom).
  ASSERT_TRUE(write_pcap(at("in.pcap"), {udp_frame(1000), udp_frame(4000), udp_frame(1000)}));
  auto sender = gateway(options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap")), 0, 8);
  ASSERT_TRUE(sender && sender->start());
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == 2; }));
  EXPECT_EQ(drops(*sender, "not_contiguous"), 1U);
}

TEST_F(Gateway, JumboFramesStayInOneBuffer) {
  const std::vector<Bytes> plain{udp_frame(8900), udp_frame(100), udp_frame(8000)};
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  GatewayOptions jumbo = options("pcap:" + at("in.pcap"), "pcap:," + at("black.pcap"));
  jumbo.red.mtu = 8928;
  jumbo.black.mtu = 9000;
  auto sender = gateway(jumbo, 0, 8);
  ASSERT_TRUE(sender && sender->start());
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == 3; }));
  EXPECT_EQ(drops(*sender, "not_contiguous"), 0U);
}

TEST_F(Gateway, CanStopAndStartAgain) {
  const std::vector<Bytes> plain(500, udp_frame(64));
  ASSERT_TRUE(write_pcap(at("in.pcap"), plain));
  auto sender = gateway(options("pcap:" + at("in.pcap"), "null"), 0, 8);
  ASSERT_TRUE(sender);
  for (std::uint64_t round = 1; round <= 3; ++round) {
    const auto started = sender->start();
    ASSERT_TRUE(started) << started.error().message;
    EXPECT_FALSE(sender->start()) << "already running";
    EXPECT_TRUE(eventually([&] { return sender->control().statistics().sealed == round * plain.size(); }));
    sender->stop();
    sender->stop();
  }
}

TEST_F(Gateway, ErrorsSayWhatToDo) {
  const auto creation = [&](GatewayOptions o) {
    auto made = GatewayDataPlane::create(std::move(o));
    return made ? std::string("no error") : made.error().message;
  };
  const auto starting = [&](const std::string& red, const std::string& black, std::uint32_t workers = 1) {
    GatewayOptions o = options(red, black);
    o.workers = workers;
    auto made = GatewayDataPlane::create(o);
    if (!made) return "not created: " + made.error().message;
    auto started = (*made)->start();
    return started ? std::string("no error") : started.error().message;
  };
  EXPECT_THAT(creation(options("nonsense", "null")), HasSubstr("red: port \"nonsense\": unknown kind"));
  EXPECT_THAT(creation(options("null", "af_xdp:eth1")), HasSubstr("black: port \"af_xdp:eth1\": af_xdp is not yet"));
  GatewayOptions wrong = options("null", "null");
  wrong.engine = "rot13";
  EXPECT_THAT(creation(wrong), HasSubstr("rot13"));
  wrong = options("null", "null");
  wrong.workers = 17;
  EXPECT_THAT(creation(wrong), HasSubstr("workers: expected 1 to 16"));
  wrong = options("null", "null");
  wrong.cores = {4000};
  EXPECT_THAT(creation(wrong), HasSubstr("may not run on CPU 4000"));
  wrong = options("null", "null");
  wrong.black.mtu = 20;
  EXPECT_THAT(creation(wrong), HasSubstr("black: mtu: expected 68 to 9000, got 20"));

  EXPECT_THAT(starting("af_packet:no-such-if", "null"), HasSubstr("no interface no-such-if"));
  EXPECT_THAT(starting("null", "pcap:" + at("missing.pcap")), HasSubstr("black: port"));
  EXPECT_THAT(starting("null", "pcap:" + at("missing.pcap")), HasSubstr("cannot read " + at("missing.pcap")));
  ASSERT_TRUE(write_pcap(at("x.pcap"), {}));
  std::filesystem::resize_file(at("x.pcap"), 5);
  EXPECT_THAT(starting("null", "pcap:" + at("x.pcap")), HasSubstr("opening the device failed"));
  EXPECT_THAT(starting("null", "virtio-user:/no/such/folder/x"), HasSubstr("cannot make a socket"));
  EXPECT_THAT(starting("null", "vhost-user:" + at("x.pcap")), HasSubstr("is not a socket"));
  EXPECT_THAT(starting("null", "ring:r", 2), HasSubstr("2 queues are needed, one a worker"));
  EXPECT_EQ(starting("ring:both", "ring:both"), "no error");
  EXPECT_THAT(creation([] {
                auto o = options("null", "null");
                o.memory_mb = 3'000'000;
                return o;
              }()),
              ::testing::AnyOf(HasSubstr("sysctl vm.nr_hugepages="), HasSubstr("restart the process")));
}

TEST_F(Gateway, TwoWorkersShareTwoQueuesAndGracePeriods) {
  GatewayOptions two = options("null?size=64", "null");
  two.workers = 2;
  auto sender = gateway(two, 0, 8);
  ASSERT_TRUE(sender && sender->start());
  // The frames are zeros and dropped; that both workers run and count shows in the sum of two queues.
  EXPECT_TRUE(eventually([&] { return sender->control().statistics().ports[0].rx_packets > 100'000; }));
  EXPECT_TRUE(sender->control().retire("tv", 1)) << "the grace period ends with two workers";
  const auto started = std::chrono::steady_clock::now();
  sender->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - started, 5s);
}

}  // namespace
}  // namespace sealcast::dataplane
