// A port's filter on a kernel's tap interface: the list that the driver takes, else all multicast, else everything; the
// groups' frames arrive each time. Root and hugepages (label virtio).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/port.h"
#include "tests/wire/network.h"
#include "tests/wire/stream.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;
using dataplane::MacAddress;
using dataplane::Port;
using dataplane::PortFilter;

constexpr char own_address[] = "10.77.9.2";

class TapFilter : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(inside_.ready()) << "root and iproute2, ethtool are needed";
    dataplane::EalOptions options;
    options.memory_mb = 64;
    const auto started = dataplane::Eal::start(options);
    ASSERT_TRUE(started) << started.error().message;
    auto spec = dataplane::parse_port("tap:" + tap_ + "?netns=" + inside_.name());
    ASSERT_TRUE(spec) << spec.error().message;
    auto port = Port::open({"black", *spec, 1500, 1, 0});
    ASSERT_TRUE(port) << port.error().message;
    port_ = std::move(*port);
    ASSERT_TRUE(command("ip -n " + inside_.name() + " addr add " + own_address + "/24 dev " + tap_));
    socket_ = inside_.udp_socket();
    ASSERT_GE(socket_, 0);
    in_addr interface { inet_addr(own_address) };
    ASSERT_EQ(::setsockopt(socket_, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface), 0);
  }
  void TearDown() override {
    if (socket_ >= 0) ::close(socket_);
  }

  static PortFilter groups(std::size_t n) {
    PortFilter filter;
    for (std::size_t i = 0; i < n; ++i)
      filter.multicast.push_back(
          {0x01, 0x00, 0x5e, 0x01, static_cast<std::uint8_t>(1 + i / 256), static_cast<std::uint8_t>(i)});
    return filter;
  }

  // The kernel's flags.
  unsigned flags() const {
    ifreq request{};
    tap_.copy(request.ifr_name, sizeof request.ifr_name - 1);
    EXPECT_EQ(::ioctl(socket_, SIOCGIFFLAGS, &request), 0);
    return static_cast<unsigned short>(request.ifr_flags);
  }

  // A datagram to 239.1.1.7 comes out of the port.
  bool receives_group() {
    const sockaddr_in to = group_address();
    for (int attempt = 0; attempt < 50; ++attempt) {
      ::sendto(socket_, "hello", 5, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
      std::this_thread::sleep_for(10ms);
      std::array<rte_mbuf*, 32> frames;
      const std::uint16_t n = rte_eth_rx_burst(port_->id(), 0, frames.data(), frames.size());
      bool heard = false;
      for (std::uint16_t i = 0; i < n; ++i) {
        static constexpr std::array<std::uint8_t, 6> mac = {0x01, 0x00, 0x5e, 0x01, 0x01, 0x07};
        heard |= std::memcmp(rte_pktmbuf_mtod(frames[i], const void*), mac.data(), mac.size()) == 0;
      }
      rte_pktmbuf_free_bulk(frames.data(), n);
      if (heard) return true;
    }
    return false;
  }

  Namespace inside_{"tf", "10.77.8.2/24"};
  const std::string tap_ = "tf" + std::to_string(::getpid() % 100'000);
  std::unique_ptr<Port> port_;
  int socket_ = -1;
};

TEST_F(TapFilter, TakesAListThenAllMulticastThenEverythingAndBack) {
  EXPECT_EQ(port_->multicast_level(), "all multicast") << "until it is told what is wanted";
  EXPECT_NE(flags() & IFF_ALLMULTI, 0U);
  EXPECT_TRUE(receives_group());

  port_->set_multicast(groups(12));
  EXPECT_EQ(port_->multicast_level(), "list");
  EXPECT_EQ(flags() & (IFF_ALLMULTI | IFF_PROMISC), 0U);
  EXPECT_TRUE(receives_group());

  PortFilter too_many;
  too_many.all_multicast = true;
  port_->set_multicast(too_many);
  EXPECT_EQ(port_->multicast_level(), "all multicast");
  EXPECT_EQ(flags() & (IFF_ALLMULTI | IFF_PROMISC), static_cast<unsigned>(IFF_ALLMULTI));
  EXPECT_TRUE(receives_group());

  PortFilter between_others = groups(3);
  between_others.promiscuous = true;
  port_->set_multicast(between_others);
  EXPECT_EQ(port_->multicast_level(), "promiscuous");
  EXPECT_NE(flags() & IFF_PROMISC, 0U);
  EXPECT_TRUE(receives_group());

  port_->set_multicast(groups(3));
  EXPECT_EQ(port_->multicast_level(), "list");
  EXPECT_EQ(flags() & (IFF_ALLMULTI | IFF_PROMISC), 0U);
  EXPECT_TRUE(receives_group());
}

TEST_F(TapFilter, AnInterfaceThatCameBackLetsThroughWhatWasWanted) {
  PortFilter all;
  all.all_multicast = true;
  port_->set_multicast(all);
  ASSERT_TRUE(command("ip -n " + inside_.name() + " link del " + tap_));
  bool gone = false, back = false;
  for (int i = 0; i < 400 && !back; ++i) {
    if (port_->tend() == Port::Condition::lost) {
      gone = true;
      static_cast<void>(port_->recover());
    }
    back = gone && port_->tend() == Port::Condition::ready && port_->link_up();
    std::this_thread::sleep_for(10ms);
  }
  ASSERT_TRUE(back);
  EXPECT_EQ(port_->multicast_level(), "all multicast");
  EXPECT_NE(flags() & IFF_ALLMULTI, 0U);
}

}  // namespace
}  // namespace sealcast::wire
