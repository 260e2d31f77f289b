// A witness that is not ours, on a wire that is real: a member joins over TCP and is rekeyed, tcpdump captures it, and
// tshark must read every segment as one ISAKMP message (P34). The connection lives in a network namespace of its own,
// so nothing else is captured and nothing is captured elsewhere.
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdio>
#include <set>
#include <sstream>

#include "controlplane/keyserver/testing/key_server_fixture.h"
#include "handshake/isakmp/carriage.h"
#include "handshake/isakmp/message.h"

namespace sealcast::keyserver {
namespace {

using config::Carriage;
using testing::in;
using testing::KeyServerTest;
using testing::TestClient;
using namespace std::chrono_literals;

// From now on this thread and those it starts see a loopback interface of their own and nothing else.
bool enter_network_of_our_own() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  const bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  close(fd);
  return up;
}

class Capture {
 public:
  explicit Capture(const std::string& file) {
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      dup2(out[1], STDERR_FILENO);
      execlp("tcpdump", "tcpdump", "-i", "lo", "-w", file.c_str(), "-U", "--immediate-mode", "-Z", "root", "tcp",
             nullptr);
      _exit(127);
    }
    close(out[1]);
    std::string said;
    char part[256];
    while (said.find("listening on") == std::string::npos) {
      const ssize_t n = read(out[0], part, sizeof part);
      if (n <= 0) break;
      said.append(part, static_cast<std::size_t>(n));
    }
    listening_ = said.find("listening on") != std::string::npos;
    said_ = out[0];
  }
  ~Capture() { stop(); }
  bool listening() const { return listening_; }
  void stop() {
    if (child_ <= 0) return;
    kill(child_, SIGINT);
    waitpid(child_, nullptr, 0);
    child_ = -1;
    close(said_);
  }

 private:
  pid_t child_ = -1;
  int said_ = -1;
  bool listening_ = false;
};

std::string run(const std::string& command, int& status) {
  std::string out;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    status = -1;
    return out;
  }
  char part[4096];
  while (const std::size_t n = std::fread(part, 1, sizeof part, pipe))
    out.append(part, n);
  status = pclose(pipe);
  return out;
}

struct Seen {  // one TCP segment as tshark reads it
  bool from_server = false;
  std::string initiator, responder, version, exchange, flags, message_id, next, complaints;
  unsigned long length = 0, payload_bytes = 0;
};

std::vector<Seen> read_by_tshark(const std::string& file, std::uint16_t port) {
  int status = 0;
  const std::string text =
      run("tshark -r " + file + " -d tcp.port==" + std::to_string(port) +
              ",isakmp -o tcp.analyze_sequence_numbers:FALSE -Y 'tcp.len > 0' -T fields -E separator=';' -e "
              "tcp.srcport -e tcp.len -e isakmp.ispi -e isakmp.rspi"
              " -e isakmp.version -e isakmp.exchangetype -e isakmp.flags -e isakmp.messageid -e isakmp.length"
              " -e isakmp.nextpayload -e _ws.malformed -e _ws.expert.message -e tcp.seq 2>/dev/null",
          status);
  EXPECT_EQ(status, 0) << "tshark: apt-get install tshark (or run scripts/deps test)";
  std::vector<Seen> out;
  std::set<std::string> known;  // on a busy machine TCP sends again what arrived
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> cells(1);
    for (const char c : line)
      if (c == ';')
        cells.emplace_back();
      else
        cells.back() += c;
    EXPECT_EQ(cells.size(), 13u) << line;
    if (cells.size() != 13) break;
    if (!known.insert(cells[0] + ":" + cells[12]).second) continue;
    EXPECT_NE(cells[8], "") << "not read as ISAKMP: " << line;
    if (cells[8].empty()) break;
    out.push_back({cells[0] == std::to_string(port), cells[2], cells[3], cells[4], cells[5], cells[6], cells[7],
                   cells[9], cells[10] + cells[11], std::stoul(cells[8]), std::stoul(cells[1])});
  }
  return out;
}

TEST_F(KeyServerTest, P34_TsharkReadsACapturedConnectionAsIsakmp) {
  if (!enter_network_of_our_own()) GTEST_SKIP() << "needs root: a network namespace to capture in";
  config_.listen_isakmp = *config::ListenAddress::parse("127.0.0.1:0");
  config_.groups[0].authority_lease = 60s;  // no keepalive comes in between
  start();
  const std::uint16_t port = server_->port(Carriage::isakmp);
  const std::string file = folder_ + "/join.pcap";
  Capture capture(file);
  ASSERT_TRUE(capture.listening()) << "tcpdump: apt-get install tcpdump (or run scripts/deps test)";

  TestClient member(port,
                    isakmp::make_initiator(handshake::make_client(member_config("sender"), handshake::system_random()),
                                           handshake::system_random()));
  ASSERT_TRUE(member.join());
  ASSERT_TRUE(members_are(1));
  ASSERT_TRUE(rekey().has_value());
  const auto update = member.expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  ASSERT_TRUE(member.say(handshake::GroupUpdateAck{"tv", update->keying.epoch}));
  ASSERT_TRUE(member.expect<handshake::Activate>().has_value());
  stop();
  std::this_thread::sleep_for(200ms);  // for tcpdump to have written the last segment
  capture.stop();

  const std::vector<Seen> seen = read_by_tshark(file, port);
  ASSERT_GE(seen.size(), 11u) << "8 of the join, GroupUpdate, its acknowledgement, Activate";
  std::size_t place = 0;
  unsigned long next_id[2] = {1, 1};
  for (const Seen& message : seen) {
    SCOPED_TRACE("message " + std::to_string(place));
    EXPECT_EQ(message.complaints, "");
    EXPECT_EQ(message.version, "0x10");
    EXPECT_EQ(message.exchange, "240");
    EXPECT_EQ(message.flags, "0x00");
    EXPECT_EQ(message.length, message.payload_bytes) << "one message a segment, its length that of the segment";
    EXPECT_EQ(message.initiator, seen[0].initiator);
    EXPECT_NE(message.initiator, "0000000000000000");
    EXPECT_EQ(message.responder, place == 0 ? "0000000000000000" : seen[1].responder);
    EXPECT_EQ(message.next, place < 2 ? "0" : "128,0");
    if (place < 8) {
      EXPECT_EQ(message.message_id, "0x00000000");
      EXPECT_EQ(message.from_server, place % 2 == 1) << "flights alternate";
    } else {
      char id[16];
      std::snprintf(id, sizeof id, "0x%08lx", next_id[message.from_server ? 1 : 0]++);
      EXPECT_EQ(message.message_id, id);
    }
    ++place;
  }
  EXPECT_NE(seen[1].responder, "0000000000000000");
  EXPECT_GT(next_id[0], 1u);
  EXPECT_GT(next_id[1], 2u);
}

}  // namespace
}  // namespace sealcast::keyserver
