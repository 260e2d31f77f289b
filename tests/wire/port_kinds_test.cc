// A stream through gateways on every kind of port that a machine without a network card can have, while the devices or
// peers behind the ports are killed, deleted and made again. Root and hugepages (label virtio).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "base/testing/places.h"
#include "tests/wire/network.h"
#include "tests/wire/process.h"
#include "tests/wire/stream.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class PortKinds : public ::testing::Test {
 protected:
  PortKinds() {
    char name[] = "/tmp/sealcast-pk-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~PortKinds() override { std::filesystem::remove_all(folder_); }
  void SetUp() override { ASSERT_TRUE(studio_.ready() && home_.ready()) << "root and iproute2, ethtool are needed"; }

  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  static std::string unique(const std::string& name) { return name + std::to_string(::getpid() % 100'000); }

  // Slots of the studio's gateway are 0, 1, 2 … one for each of its lives (H9); home opens them all.
  std::unique_ptr<Process> studio_gateway(const std::string& red, const std::string& black) {
    return gateway({red, black, std::to_string(studio_lives_++), "100"}, "studio.log");
  }
  std::unique_ptr<Process> home_gateway(const std::string& red, const std::string& black) {
    return gateway({red, black, std::to_string(100 + home_lives_++), "0", "1", "2", "3"}, "home.log");
  }
  std::unique_ptr<Process> gateway(std::vector<std::string> arguments, const std::string& log) {
    arguments.insert(arguments.begin(), places::program("sealcast-gateway-peer"));
    for (int attempt = 0;; ++attempt) {
      auto made = std::make_unique<Process>(arguments, at(log));
      const std::string line = made->line();
      // The driver's number, made of the process' and the interface's, may be another gateway's (docs/ports.md).
      if (line != "READY" && attempt < 3 && said(log).find("same fanout number") != std::string::npos) continue;
      EXPECT_EQ(line, "READY") << said(log);
      return made;
    }
  }
  std::string said(const std::string& log) const {
    std::ifstream in(at(log));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  template <typename Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(15ms);
    }
    return false;
  }
  static bool stands(Process& gateway, const std::string& links) {
    return eventually([&] { return gateway.ask("stats").ends_with(links); });
  }
  static bool flows(const Receiver& receiver, std::uint64_t n) {
    const std::uint64_t before = receiver.distinct();
    return eventually([&] { return receiver.distinct() >= before + n; });
  }
  std::string state(Process& studio, Process& home) const {
    return "studio: " + studio.ask("stats") + ", " + studio.ask("drops") + said("studio.log") +
           "; home: " + home.ask("stats") + ", " + home.ask("drops") + said("home.log");
  }
  // A number used twice, or a forgotten one, would show at the receiving gateway.
  static void no_number_came_twice(Process& home) {
    const std::string drops = home.ask("drops");
    for (const char* reason : {"replay", "bad_tag", "unknown_spi"})
      EXPECT_THAT(drops, Not(HasSubstr(reason)));
  }

  std::string folder_;
  Namespace studio_{"s", "10.77.1.2/24"};
  Namespace home_{"h", "10.77.2.2/24"};
  int studio_lives_ = 0, home_lives_ = 0;
};

TEST_F(PortKinds, MemifCarriesTheStreamAndEitherEndMayBeKilled) {
  const std::string server = "memif:" + at("m") + "?role=server&mode=0660";
  const std::string client = "memif:" + at("m");
  // The client is there first, and waits.
  auto home = home_gateway("af_packet:" + home_.near(), client);
  ASSERT_TRUE(stands(*home, "red 1 black 0"));
  auto studio = studio_gateway("af_packet:" + studio_.near(), server);
  ASSERT_TRUE(stands(*studio, "red 1 black 1") && stands(*home, "red 1 black 1")) << state(*studio, *home);
  struct stat status {};
  ASSERT_EQ(::stat(at("m").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);

  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 300us);
  ASSERT_TRUE(flows(receiver, 1000)) << state(*studio, *home);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(home->end(SIGKILL), -SIGKILL);
    EXPECT_TRUE(stands(*studio, "red 1 black 0")) << "the server's end stays alive and says that its link is down";
    home = home_gateway("af_packet:" + home_.near(), client);
    ASSERT_TRUE(flows(receiver, 500)) << "after the client was killed; " << state(*studio, *home);

    EXPECT_EQ(studio->end(SIGKILL), -SIGKILL);
    EXPECT_TRUE(stands(*home, "red 1 black 0")) << "the client's end stays alive";
    studio = studio_gateway("af_packet:" + studio_.near(), server);
    ASSERT_TRUE(flows(receiver, 500)) << "after the server was killed; " << state(*studio, *home);
  }
  const std::uint64_t sent = sender.stop();
  EXPECT_GT(sent, receiver.distinct());
  EXPECT_EQ(receiver.damaged(), 0U);
  EXPECT_EQ(receiver.total(), receiver.distinct());
  no_number_came_twice(*home);
}

TEST_F(PortKinds, MemifWithTheWrongSecretCarriesNothing) {
  std::ofstream(at("right")) << "correct-horse\n";
  std::ofstream(at("wrong")) << "battery-staple\n";
  ::chmod(at("right").c_str(), 0600);
  ::chmod(at("wrong").c_str(), 0600);
  auto studio = studio_gateway("null", "memif:" + at("m") + "?role=server&secret_file=" + at("right"));
  auto home = home_gateway("null", "memif:" + at("m") + "?secret_file=" + at("wrong"));
  std::this_thread::sleep_for(1500ms);
  EXPECT_THAT(studio->ask("stats"), HasSubstr("black 0"));
  EXPECT_THAT(home->ask("stats"), HasSubstr("black 0"));
  home->end(SIGTERM);
  home = home_gateway("null", "memif:" + at("m") + "?secret_file=" + at("right"));
  EXPECT_TRUE(stands(*studio, "black 1") && stands(*home, "black 1")) << state(*studio, *home);
}

TEST_F(PortKinds, ATapIsMadeInItsNamespaceUsedAndRemoved) {
  const std::string tap = unique("t");
  const std::string in_studio = "ip -n " + studio_.name() + " ";
  auto home = home_gateway("af_packet:" + home_.near(), "memif:" + at("m") + "?role=server");
  auto studio = studio_gateway("tap:" + tap + "?mac=02:00:00:00:77:01&netns=" + studio_.name(), "memif:" + at("m"));
  const auto address = [&] {
    return command(in_studio + "addr add 10.77.3.2/24 dev " + tap) &&
           command(in_studio + "route replace 239.0.0.0/8 dev " + tap);
  };
  ASSERT_TRUE(address()) << "the interface is there when the port is open; " << said("studio.log");
  EXPECT_TRUE(
      command("grep -q 02:00:00:00:77:01 /dev/null") ||
      command("ip netns exec " + studio_.name() + " grep -q 02:00:00:00:77:01 /sys/class/net/" + tap + "/address"));
  ASSERT_TRUE(stands(*studio, "red 1 black 1")) << state(*studio, *home);
  Receiver receiver(home_, "10.77.2.2");
  {
    Sender sender(studio_, "10.77.3.2", 500us);
    EXPECT_TRUE(flows(receiver, 1000)) << state(*studio, *home);
  }
  // Deleted by an operator: the gateway makes it again, without its addresses.
  ASSERT_TRUE(command(in_studio + "link del " + tap));
  ASSERT_TRUE(eventually(address)) << state(*studio, *home);
  ASSERT_TRUE(stands(*studio, "red 1 black 1")) << state(*studio, *home);
  {
    Sender sender(studio_, "10.77.3.2", 500us);
    EXPECT_TRUE(flows(receiver, 500)) << state(*studio, *home);
  }
  EXPECT_THAT(said("studio.log"), HasSubstr("red: the device of port \"tap:" + tap));
  EXPECT_EQ(receiver.damaged(), 0U);
  no_number_came_twice(*home);
  studio->say("quit");
  EXPECT_EQ(studio->wait(), 0);
  EXPECT_FALSE(command(in_studio + "link show " + tap)) << "it goes with the gateway";
}

TEST_F(PortKinds, AfXdpCarriesTheStreamAndStartsAgainAfterAKill) {
  auto home = home_gateway("af_xdp:" + home_.near(), "memif:" + at("m") + "?role=server");
  auto studio = studio_gateway("af_xdp:" + studio_.near(), "memif:" + at("m"));
  ASSERT_TRUE(stands(*studio, "red 1 black 1") && stands(*home, "red 1 black 1")) << state(*studio, *home);
  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 500us);
  EXPECT_TRUE(flows(receiver, 1000)) << state(*studio, *home);
  studio->end(SIGKILL);
  studio = studio_gateway("af_xdp:" + studio_.near(), "memif:" + at("m"));
  EXPECT_TRUE(flows(receiver, 500)) << state(*studio, *home);
  home->end(SIGKILL);
  home = home_gateway("af_xdp:" + home_.near(), "memif:" + at("m") + "?role=server");
  EXPECT_TRUE(flows(receiver, 500)) << state(*studio, *home);
  EXPECT_EQ(receiver.damaged(), 0U);
  no_number_came_twice(*home);
}

// Both kinds that use a kernel interface, with a running stream on the other side.
class DeletedInterface : public PortKinds, public ::testing::WithParamInterface<const char*> {};

// Makes the link again and waits until the gateway has it. The new interface has a new number, and the driver's fanout
// number, made of the process' and the interface's, may be the other gateway's (docs/ports.md): then once more.
bool comes_back(Namespace& where, const std::function<bool()>& stands, const std::function<std::string()>& log) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    const std::size_t before = log().size();
    if (!where.make_link()) return false;
    if (stands()) return true;
    if (log().find("PACKET_FANOUT", before) == std::string::npos) return false;
    where.remove_link();
  }
  return false;
}

TEST_P(DeletedInterface, IsOpenedAgainWithoutLossOfStateAndSaidOnce) {
  const std::string kind = GetParam();
  auto home = home_gateway(kind + home_.near(), "memif:" + at("m") + "?role=server");
  auto studio = studio_gateway(kind + studio_.near(), "memif:" + at("m"));
  ASSERT_TRUE(stands(*studio, "red 1 black 1") && stands(*home, "red 1 black 1")) << state(*studio, *home);
  for (int round = 0; round < 2; ++round) {
    {
      Receiver receiver(home_, "10.77.2.2");
      Sender sender(studio_, "10.77.1.2", 300us);
      ASSERT_TRUE(flows(receiver, 500)) << state(*studio, *home);
      studio_.remove_link();
      EXPECT_TRUE(stands(*studio, "red 0 black 1")) << state(*studio, *home);
      std::this_thread::sleep_for(500ms);
    }
    ASSERT_TRUE(comes_back(
        studio_, [&] { return stands(*studio, "red 1 black 1"); }, [&] { return said("studio.log"); }))
        << state(*studio, *home);
    // The receiving side: opened packets have nowhere to go for a while.
    Sender sender(studio_, "10.77.1.2", 300us);
    home_.remove_link();
    EXPECT_TRUE(stands(*home, "red 0 black 1")) << state(*studio, *home);
    std::this_thread::sleep_for(500ms);
    ASSERT_TRUE(comes_back(
        home_, [&] { return stands(*home, "red 1 black 1"); }, [&] { return said("home.log"); }))
        << state(*studio, *home);
    Receiver receiver(home_, "10.77.2.2");
    EXPECT_TRUE(flows(receiver, 500)) << state(*studio, *home);
    EXPECT_EQ(receiver.damaged(), 0U);
  }
  no_number_came_twice(*home);
  const std::string log = said("studio.log");
  std::size_t times = 0;
  for (std::size_t from = 0; (from = log.find("is gone", from)) != std::string::npos; ++from)
    ++times;
  EXPECT_EQ(times, 2U) << "once for each time it went:\n" << log;
}

// A cable pulled and put in again, on either side: only packets under way are lost.
TEST_P(DeletedInterface, ALinkThatWasDownGoesOnWhereItStopped) {
  const std::string kind = GetParam();
  auto home = home_gateway(kind + home_.near(), "memif:" + at("m") + "?role=server");
  auto studio = studio_gateway(kind + studio_.near(), "memif:" + at("m"));
  ASSERT_TRUE(stands(*studio, "red 1 black 1") && stands(*home, "red 1 black 1")) << state(*studio, *home);
  Receiver receiver(home_, "10.77.2.2");
  Sender sender(studio_, "10.77.1.2", 300us);
  ASSERT_TRUE(flows(receiver, 500)) << state(*studio, *home);
  for (const std::string& end : {studio_.near(), home_.near()}) {
    ASSERT_TRUE(command("ip link set " + end + " down"));
    const std::uint64_t before = receiver.distinct();
    std::this_thread::sleep_for(700ms);
    EXPECT_LT(receiver.distinct() - before, 200U) << end << " was not down";
    ASSERT_TRUE(command("ip link set " + end + " up"));
    ASSERT_TRUE(flows(receiver, 500)) << end << ": " << state(*studio, *home);
  }
  ASSERT_TRUE(stands(*studio, "red 1 black 1") && stands(*home, "red 1 black 1")) << state(*studio, *home);
  EXPECT_EQ(receiver.damaged(), 0U);
  EXPECT_EQ(receiver.total(), receiver.distinct());
  no_number_came_twice(*home);
}

std::string kind_name(const ::testing::TestParamInfo<const char*>& kind) {
  return std::string(kind.param).starts_with("af_p") ? "AfPacket" : "AfXdp";
}
INSTANTIATE_TEST_SUITE_P(Kinds, DeletedInterface, ::testing::Values("af_packet:", "af_xdp:"), kind_name);

}  // namespace
}  // namespace sealcast::wire
