// The black network as the tests use it: real processes, real virtio sockets, and kill -9 of either end. Root and
// hugepages (label virtio).
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pcap/pcap.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "base/testing/places.h"
#include "tests/wire/process.h"

namespace sealcast::wire {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Wire : public ::testing::Test {
 protected:
  Wire() {
    char name[] = "/tmp/sealcast-wire-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~Wire() override { std::filesystem::remove_all(folder_); }

  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  std::string error_text() const {
    std::ifstream in(at("wire.err"));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::unique_ptr<Process> start_wire(int ports, std::vector<std::string> more = {}) {
    std::vector<std::string> command{places::program("sealcast-wire"), "--memory", "256", "--control", at("control")};
    for (int i = 0; i < ports; ++i)
      command.insert(command.end(), {"--port", "virtio-user:" + at(std::to_string(i))});
    command.insert(command.end(), more.begin(), more.end());
    auto wire = std::make_unique<Process>(command, at("wire.err"));
    EXPECT_EQ(wire->line(), "READY") << error_text();
    return wire;
  }
  std::unique_ptr<Process> start_peer(int port) {
    auto peer = std::make_unique<Process>(
        std::vector<std::string>{places::program("sealcast-wire-peer"), "vhost-user:" + at(std::to_string(port))});
    EXPECT_EQ(peer->line(), "READY");
    return peer;
  }

  // Sends one command to the control socket; returns its answer.
  std::string order(const std::string& line) {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    at("control").copy(address.sun_path, sizeof(address.sun_path) - 1);
    std::string answer;
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 &&
        ::write(fd, (line + "\n").data(), line.size() + 1) > 0) {
      char chunk[65536];
      while (answer.empty() || answer.back() != '\n') {
        const ssize_t n = ::read(fd, chunk, sizeof(chunk));
        if (n <= 0) break;
        answer.append(chunk, static_cast<std::size_t>(n));
      }
    }
    ::close(fd);
    if (!answer.empty()) answer.pop_back();
    return answer;
  }
  nlohmann::json stats() { return nlohmann::json::parse(order("stats"), nullptr, false); }
  nlohmann::json link(int from, int to) {
    const auto now = stats();
    for (const auto& l : now["links"])
      if (l["from"] == from && l["to"] == to) return l;
    return {};
  }

  template <typename Condition>
  static bool eventually(Condition condition, std::chrono::seconds patience = 15s) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(20ms);
    }
    return true;
  }
  bool attached(std::initializer_list<int> ports) {
    return eventually([&] {
      const auto now = stats();
      return std::all_of(ports.begin(), ports.end(), [&](int p) { return now["ports"][p]["link_up"] == true; });
    });
  }
  struct Got {
    std::uint64_t total = 0, distinct = 0, late = 0;
  };
  static Got got(Process& peer, int tag) {
    std::istringstream words(peer.ask("got " + std::to_string(tag)));
    std::string word;
    Got g;
    words >> word >> g.total >> g.distinct >> g.late;
    return g;
  }
  static bool receives(Process& peer, int tag, std::uint64_t distinct) {
    return eventually([&] { return got(peer, tag).distinct >= distinct; }, 10s);
  }

  struct CapturedFile {
    std::uint64_t frames = 0;
    bool whole = false;
  };
  static CapturedFile read_capture(const std::string& file) {
    char error[PCAP_ERRBUF_SIZE];
    CapturedFile result;
    pcap_t* const pcap = pcap_open_offline(file.c_str(), error);
    if (pcap == nullptr) return result;
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    int status = 0;
    while ((status = pcap_next_ex(pcap, &header, &data)) == 1)
      ++result.frames;
    result.whole = status == PCAP_ERROR_BREAK;
    pcap_close(pcap);
    return result;
  }

  std::string folder_;
};

TEST_F(Wire, EveryFrameReachesEveryOtherPortOnceAndInOrder) {
  auto wire = start_wire(3, {"--pcap", at("wire.pcap")});
  auto a = start_peer(0);
  auto b = start_peer(1);
  auto c = start_peer(2);
  ASSERT_TRUE(attached({0, 1, 2})) << error_text();
  EXPECT_EQ(a->ask("send 1 5000 200"), "sent 5000");
  EXPECT_TRUE(receives(*b, 1, 5000));
  EXPECT_TRUE(receives(*c, 1, 5000));
  for (Process* peer : {b.get(), c.get()}) {
    const Got g = got(*peer, 1);
    EXPECT_EQ(g.total, 5000U);
    EXPECT_EQ(g.late, 0U);
  }
  EXPECT_EQ(got(*a, 1).total, 0U) << "nothing comes back to its sender";
  EXPECT_EQ(c->ask("send 2 100 1514"), "sent 100");
  EXPECT_TRUE(receives(*a, 2, 100));
  EXPECT_EQ(stats()["captured"], 5100);
  // Readable while it grows and after a clean end.
  EXPECT_EQ(read_capture(at("wire.pcap")).frames, 5100U);
  EXPECT_EQ(wire->end(SIGTERM), 0) << error_text();
  const CapturedFile captured = read_capture(at("wire.pcap"));
  EXPECT_EQ(captured.frames, 5100U);
  EXPECT_TRUE(captured.whole);
  EXPECT_FALSE(std::filesystem::exists(at("0"))) << "a clean end leaves no socket behind";
}

TEST_F(Wire, APortWithoutPeerBlocksNobody) {
  auto wire = start_wire(3);
  auto a = start_peer(0);
  auto c = start_peer(2);
  ASSERT_TRUE(attached({0, 2})) << error_text();
  EXPECT_EQ(a->ask("send 1 2000 100"), "sent 2000");
  EXPECT_TRUE(receives(*c, 1, 2000));
  EXPECT_EQ(link(0, 1)["no_peer"], 2000);
}

TEST_F(Wire, AKilledPeerComesBackOnTheSamePort) {
  auto wire = start_wire(2);
  auto a = start_peer(0);
  auto b = start_peer(1);
  ASSERT_TRUE(attached({0, 1})) << error_text();
  for (int round = 1; round <= 5; ++round) {
    EXPECT_EQ(a->ask("send " + std::to_string(round) + " 1000 100"), "sent 1000");
    EXPECT_TRUE(receives(*b, round, 1000)) << "round " << round;
    // Killed in the middle of traffic both ways: rings are left half processed.
    a->say("send 50 20000 100");
    b->say("send 90 100000 100");
    std::this_thread::sleep_for(std::chrono::milliseconds(10 * round));
    EXPECT_EQ(b->end(SIGKILL), -SIGKILL);
    EXPECT_EQ(a->line(), "sent 20000");
    EXPECT_TRUE(eventually([&] { return stats()["ports"][1]["link_up"] == false; }));
    b = start_peer(1);
    ASSERT_TRUE(attached({1})) << error_text();
  }
  EXPECT_EQ(a->ask("send 9 1000 100"), "sent 1000");
  EXPECT_TRUE(receives(*b, 9, 1000));
  EXPECT_EQ(b->ask("send 10 1000 100"), "sent 1000");
  EXPECT_TRUE(receives(*a, 10, 1000));
}

TEST_F(Wire, PeersComeBackWhenTheWireIsKilled) {
  auto wire = start_wire(2, {"--pcap", at("wire.pcap")});
  auto a = start_peer(0);
  auto b = start_peer(1);
  for (int round = 1; round <= 2; ++round) {
    ASSERT_TRUE(attached({0, 1})) << error_text();
    EXPECT_EQ(a->ask("send " + std::to_string(round) + " 1000 100"), "sent 1000");
    EXPECT_TRUE(receives(*b, round, 1000)) << "round " << round;
    const std::uint64_t captured = stats()["captured"];
    EXPECT_EQ(wire->end(SIGKILL), -SIGKILL);
    EXPECT_EQ(read_capture(at("wire.pcap")).frames, captured) << "a killed wire loses nothing of its capture";
    EXPECT_TRUE(eventually([&] { return a->ask("link") == "down" && b->ask("link") == "down"; }));
    // The stale sockets are still there; a new wire takes them over.
    EXPECT_TRUE(std::filesystem::exists(at("0")));
    wire = start_wire(2, {"--pcap", at("wire.pcap")});
  }
  ASSERT_TRUE(attached({0, 1})) << error_text();
  EXPECT_EQ(b->ask("send 3 1000 100"), "sent 1000");
  EXPECT_TRUE(receives(*a, 3, 1000));
}

TEST_F(Wire, PartitionAndHeal) {
  auto wire = start_wire(3, {"--partition", "0,1/2"});
  auto a = start_peer(0);
  auto b = start_peer(1);
  auto c = start_peer(2);
  ASSERT_TRUE(attached({0, 1, 2})) << error_text();
  EXPECT_EQ(a->ask("send 1 100 100"), "sent 100");
  EXPECT_TRUE(receives(*b, 1, 100));
  EXPECT_TRUE(eventually([&] { return link(0, 2)["partitioned"] == 100; }));
  EXPECT_EQ(got(*c, 1).total, 0U);
  EXPECT_EQ(order("heal"), "ok");
  EXPECT_EQ(a->ask("send 2 100 100"), "sent 100");
  EXPECT_TRUE(receives(*c, 2, 100));
  EXPECT_EQ(order("partition 0/1,2"), "ok");
  EXPECT_EQ(a->ask("send 3 100 100"), "sent 100");
  EXPECT_TRUE(eventually([&] { return link(0, 1)["partitioned"] == 100; }));
  EXPECT_EQ(got(*b, 3).total, 0U);
}

TEST_F(Wire, ImpairmentsAreCountedAndReproducible) {
  nlohmann::json first;
  for (int run = 0; run < 2; ++run) {
    auto wire = start_wire(2, {"--seed", "42", "--drop", "0.1", "--duplicate", "0.05", "--reorder", "0.02"});
    auto a = start_peer(0);
    auto b = start_peer(1);
    ASSERT_TRUE(attached({0, 1})) << error_text();
    EXPECT_EQ(a->ask("send 1 4000 100"), "sent 4000");
    ASSERT_TRUE(eventually([&] {
      const auto l = link(0, 1);
      return l["queued"] == 0 && stats()["ports"][0]["rx_packets"] == 4000;
    }));
    const auto now = link(0, 1);
    const std::uint64_t dropped = now["dropped"];
    const std::uint64_t duplicated = now["duplicated"];
    EXPECT_NEAR(static_cast<double>(dropped), 400, 80);
    EXPECT_EQ(now["delivered"], 4000 - dropped + duplicated);
    ASSERT_TRUE(receives(*b, 1, 4000 - dropped));
    const Got g = got(*b, 1);
    EXPECT_EQ(g.total, 4000 - dropped + duplicated);
    EXPECT_GT(g.late, 0U);
    if (run == 0) first = now;
    EXPECT_EQ(now, first) << "the same seed decides the same";
  }
}

TEST_F(Wire, ControlSocketRefusesNonsenseAndGoesOn) {
  auto wire = start_wire(2);
  for (const char* line : {"", "nonsense", "drop", "drop x", "drop 1.5", "drop 0.1 0.2", "partition", "partition 0/7",
                           "delay -1", "reorder 0.1 0"})
    EXPECT_THAT(order(line), HasSubstr("error: ")) << line;
  for (const char* line : {"drop 0.1", "duplicate 0.2", "reorder 0.1 5", "reorder 0.1", "delay 5", "delay 5 2", "heal"})
    EXPECT_EQ(order(line), "ok") << line;
  const auto now = stats()["impairments"];
  EXPECT_EQ(now["drop"], 0.1);
  EXPECT_EQ(now["reorder_depth"], 5);
  EXPECT_EQ(now["jitter_ms"], 2);
}

// A port's socket has its public name only when its driver needs no peer any more. A client that came earlier would be
// the driver's first peer, and one that says nothing would keep the wire from starting.
TEST_F(Wire, StartsWhateverConnectsFirst) {
  std::atomic<bool> give_up{false};
  std::atomic<int> connection{-1};
  std::thread silent([&] {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    at("0").copy(address.sun_path, sizeof(address.sun_path) - 1);
    while (!give_up && connection < 0) {
      const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
      if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
        connection = fd;
      else
        ::close(fd);
    }
  });
  auto wire = start_wire(2);
  EXPECT_TRUE(eventually([&] { return connection >= 0; }));
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  give_up = true;
  silent.join();
  ::close(connection);
}

// A path of 107 bytes, which is the longest (unix(7)), leaves no room for anything that a port adds to it.
TEST_F(Wire, TakesTheLongestPath) {
  const std::string longest = at(std::string(107 - at("").size(), 'x'));
  auto wire = start_wire(1, {"--port", "virtio-user:" + longest});
  Process peer({places::program("sealcast-wire-peer"), "vhost-user:" + longest});
  EXPECT_EQ(peer.line(), "READY");
  EXPECT_TRUE(attached({1}));
}

TEST_F(Wire, SaysWhatIsWrongAndEnds) {
  const auto ends = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), places::program("sealcast-wire"));
    Process wire(arguments, at("wire.err"));
    const int status = wire.wait();
    return std::pair{status, error_text()};
  };
  const std::string port0 = "virtio-user:" + at("0");
  EXPECT_EQ(ends({}).first, 2);
  EXPECT_THAT(ends({"--port", port0}).second, HasSubstr("expected 2 to 64 ports"));
  EXPECT_THAT(ends({"--port", port0, "--port", "nonsense:1"}).second, HasSubstr("unknown kind \"nonsense\""));
  EXPECT_THAT(ends({"--port", port0, "--port", "virtio-user:/nowhere/x"}).second,
              HasSubstr("cannot make a socket in /nowhere"));
  EXPECT_THAT(ends({"--port", port0, "--port", "null", "--pcap", "/nowhere/x"}).second, HasSubstr("pcap /nowhere/x"));
  EXPECT_THAT(ends({"--port", port0, "--port", "null", "--drop", "7"}).second, HasSubstr("probability"));
  EXPECT_THAT(ends({"--port", port0, "--port", "null", "--memory", "99999999"}).second,
              HasSubstr("sysctl vm.nr_hugepages="));
  auto wire = start_wire(2);
  const auto second = ends({"--port", port0, "--port", "null"});
  EXPECT_EQ(second.first, 1);
  EXPECT_THAT(second.second, HasSubstr("another process listens"));
}

}  // namespace
}  // namespace sealcast::wire
