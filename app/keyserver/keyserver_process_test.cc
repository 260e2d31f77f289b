// sealcast-keyserver as a process: its output, its exit codes, and kill -9.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

#include "base/testing/places.h"
#include "controlplane/admin/admin_client.h"
#include "controlplane/keyserver/testing/test_client.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::keyserver {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::in;
using ::testing::Not;
using testing::TestClient;
namespace pki = handshake::testing;

class KeyserverProcess : public ::testing::Test {
 protected:
  KeyserverProcess() : pki_(std::time(nullptr)) {
    char folder[] = "/tmp/sealcast-ksp-XXXXXX";
    folder_ = mkdtemp(folder);
    const auto server = pki_.server("ks.example");
    write_file("server.pem", server.chain_pem);
    write_file("server.key", server.key_pem);
    write_file("ca.pem", pki_.ca_pem());
    write_file("ks.toml", toml());
  }
  ~KeyserverProcess() override {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    const std::string command = "rm -rf " + folder_;
    EXPECT_EQ(std::system(command.c_str()), 0);
  }

  std::string toml(const std::string& listen = "127.0.0.1:0") const {
    return "[keyserver]\nid = \"ks\"\nlisten = \"" + listen +
           "\"\ncertificate = \"server.pem\"\nprivate_key = \"server.key\"\nca = \"ca.pem\"\nstate = \"ks.db\"\n"
           "admin_socket = \"admin.sock\"\nspi_range = [\"0x10000000\", \"0x1fffffff\"]\n"
           "[[keyserver.group]]\nid = \"tv\"\nselectors = [ { destination = \"239.1.1.0/24\" } ]\nsenders = \"*\"\n";
  }
  std::string write_file(const std::string& name, const std::string& text) const {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
    return path;
  }
  std::string log() const {
    std::ifstream file(folder_ + "/log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  void launch(const std::vector<std::string>& arguments) {
    unlink((folder_ + "/log").c_str());  // the output of an earlier run must not be taken for this one's
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ > 0) return;
    const int out = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(out, 2);
    std::vector<std::string> words = {places::program("sealcast-keyserver")};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words)
      argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(argv[0], argv.data());
    _exit(127);
  }
  // The exit code; -1: a signal ended it; -2: it still runs after 10 s.
  int ended() {
    for (const auto deadline = in(10s); std::chrono::steady_clock::now() < deadline;) {
      int status = 0;
      if (waitpid(child_, &status, WNOHANG) == child_) {
        child_ = 0;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      std::this_thread::sleep_for(5ms);
    }
    return -2;
  }
  int run(const std::vector<std::string>& arguments) {
    launch(arguments);
    return ended();
  }
  bool log_contains(const std::string& text) const {
    for (const auto deadline = in(10s); std::chrono::steady_clock::now() < deadline;) {
      if (log().find(text) != std::string::npos) return true;
      std::this_thread::sleep_for(5ms);
    }
    return false;
  }
  std::string config() const { return folder_ + "/ks.toml"; }
  // Starts it and returns its port.
  std::uint16_t start() {
    launch({"--config", config()});
    const std::string mark = "is running, port ";
    EXPECT_TRUE(log_contains(mark)) << log();
    const std::string text = log();
    return static_cast<std::uint16_t>(std::atoi(text.c_str() + text.find(mark) + mark.size()));
  }
  std::unique_ptr<TestClient> member(std::uint16_t port, const std::string& name) {
    auto client = std::make_shared<handshake::ClientConfig>();
    client->credentials = pki_.member(name, {"tv"}).credentials;
    client->server_trust = pki_.trust();
    client->server_name = "ks.example";
    client->multicast = handshake::MulticastWish{"tv", "ks"};
    client->accept_keying = [](const handshake::GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
    return std::make_unique<TestClient>(port, client);
  }
  std::size_t lines() const {
    const std::string text = log();
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  pki::TestPki pki_;
  std::string folder_;
  pid_t child_ = 0;
};

TEST_F(KeyserverProcess, BadConfigurationIsExitCode78AndOneLineWithItsPlace) {
  write_file("bad.toml", "[keyserver]\nid = = 1\n");
  EXPECT_EQ(run({"--config", folder_ + "/bad.toml"}), 78);
  EXPECT_THAT(log(), HasSubstr("bad.toml:2:"));
  EXPECT_EQ(lines(), 1u) << log();
  EXPECT_EQ(run({"--config", folder_ + "/none.toml"}), 78);
  EXPECT_THAT(log(), AllOf(HasSubstr("none.toml"), HasSubstr("No such file")));
  write_file("bad.toml", toml() + "replay_window = 1000\n");
  EXPECT_EQ(run({"--config", folder_ + "/bad.toml"}), 78);
  EXPECT_THAT(log(), HasSubstr("keyserver.group[0].replay_window: expected"));
}

TEST_F(KeyserverProcess, WrongUsageIsExitCode2) {
  EXPECT_EQ(run({}), 2);
  EXPECT_EQ(run({"--no-such-option"}), 2);
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_THAT(log(), HasSubstr("sealcast-keyserver "));
}

TEST_F(KeyserverProcess, WhatIsMissingIsExitCode1AndNamed) {
  unlink((folder_ + "/server.key").c_str());
  EXPECT_EQ(run({"--config", config()}), 1);
  EXPECT_THAT(log(), HasSubstr("can't read the private key " + folder_ + "/server.key"));
}

TEST_F(KeyserverProcess, H14_APrivateKeyThatOthersMayReadIsRefused) {
  chmod((folder_ + "/server.key").c_str(), 0644);
  EXPECT_EQ(run({"--config", config()}), 1);
  EXPECT_THAT(log(), HasSubstr("chmod 600"));
}

TEST_F(KeyserverProcess, APortInUseIsExitCode1AndOneLine) {
  const std::uint16_t port = start();
  const pid_t first = std::exchange(child_, 0);
  std::string second = toml("127.0.0.1:" + std::to_string(port));
  second.replace(second.find("ks.db"), 5, "k2.db").replace(second.find("admin.sock"), 10, "other.sock");
  write_file("second.toml", second);
  EXPECT_EQ(run({"--config", folder_ + "/second.toml"}), 1);
  EXPECT_THAT(log(), HasSubstr("can't listen at 127.0.0.1:" + std::to_string(port)));
  EXPECT_EQ(lines(), 1u) << log();
  child_ = first;
}

TEST_F(KeyserverProcess, SigtermEndsItCleanlyAndMembersAreToldSo) {
  const std::uint16_t port = start();
  auto a = member(port, "studio");
  ASSERT_TRUE(a->join());
  ASSERT_EQ(kill(child_, SIGTERM), 0);
  EXPECT_TRUE(a->ended());
  EXPECT_TRUE(a->close_notified());
  a.reset();
  EXPECT_EQ(ended(), 0);
  EXPECT_THAT(log(), HasSubstr("stopped"));
}

TEST_F(KeyserverProcess, SighupTakesOverAGoodFileAndRefusesABadOneAsAWhole) {
  const std::uint16_t port = start();
  write_file("ks.toml", toml() + "epoch_lifetime = \"forever\"\n");
  ASSERT_EQ(kill(child_, SIGHUP), 0);
  EXPECT_TRUE(log_contains("reload refused: "));
  EXPECT_THAT(log(), HasSubstr("epoch_lifetime"));
  auto a = member(port, "studio");
  EXPECT_TRUE(a->join()) << "it goes on as it was";
  std::string changed = toml();
  changed.replace(changed.find("senders = \"*\""), 13, "members = [\"home\"]\nsenders = [\"home\"]");
  write_file("ks.toml", changed);
  ASSERT_EQ(kill(child_, SIGHUP), 0);
  EXPECT_TRUE(a->expect<handshake::Revoked>().has_value()) << "no longer a member";
  write_file("ks.toml", toml("127.0.0.1:1"));
  ASSERT_EQ(kill(child_, SIGHUP), 0);
  EXPECT_TRUE(log_contains("keyserver.listen can't change while the key server runs"));
}

TEST_F(KeyserverProcess, AdminSocketAnswersStatusAndRekey) {
  const std::uint16_t port = start();
  auto a = member(port, "studio");
  ASSERT_TRUE(a->join());
  const std::string socket = folder_ + "/admin.sock";
  const auto status = admin::ask(socket, R"({"command": "status"})", 5s);
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_THAT(*status, AllOf(HasSubstr(R"("daemon":"keyserver")"), HasSubstr(R"("member":"studio")")));
  const auto rekeyed = admin::ask(socket, R"({"command": "rekey", "group": "tv"})", 5s);
  ASSERT_TRUE(rekeyed.has_value());
  EXPECT_EQ(*rekeyed, R"({"ok":true})");
  EXPECT_TRUE(a->expect<handshake::GroupUpdate>().has_value());
  EXPECT_THAT(*admin::ask(socket, R"({"command": "rekey", "group": "radio"})", 5s), HasSubstr("error"));
  EXPECT_THAT(*admin::ask(socket, R"({"command": "rekey"})", 5s), HasSubstr("expected"));
}

TEST_F(KeyserverProcess, ItTellsTheServiceManagerWhenItIsReady) {
  const std::string path = folder_ + "/notify";
  const int notify = socket(AF_UNIX, SOCK_DGRAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const void* raw = &address;
  ASSERT_EQ(bind(notify, static_cast<const sockaddr*>(raw), sizeof address), 0);
  setenv("NOTIFY_SOCKET", path.c_str(), 1);
  start();
  unsetenv("NOTIFY_SOCKET");
  timeval patience{10, 0};
  setsockopt(notify, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto told = [&] {
    char text[256] = {};
    EXPECT_GT(recv(notify, text, sizeof text - 1, 0), 0);
    return std::string(text);
  };
  EXPECT_EQ(told(), "READY=1");
  // Type=notify-reload waits for the next READY=1 after this moment (sd_notify(3)).
  const auto monotonic = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
  const auto before = monotonic();
  ASSERT_EQ(kill(child_, SIGHUP), 0);
  const std::string reloading = told();
  const std::string start_of_line = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_EQ(reloading.substr(0, start_of_line.size()), start_of_line);
  const long long when = std::stoll(reloading.substr(start_of_line.size()));
  EXPECT_GE(when, before);
  EXPECT_LE(when, monotonic());
  EXPECT_EQ(told(), "READY=1");
  close(notify);
}

// The daemon is killed at random moments; the epochs and slots it handed out are compared over all its lives.
TEST_F(KeyserverProcess, H5_H9_KEY2_KillNineNeverMakesAnEpochOrASlotComeTwice) {
  std::uint64_t last_epoch = 0;
  std::set<std::pair<std::uint64_t, std::uint32_t>> slots;
  for (int life = 0; life < 4; ++life) {
    const std::uint16_t port = start();
    std::uint64_t epoch = 0;
    for (int i = 0; i < 3; ++i) {
      auto a = member(port, "studio");
      ASSERT_TRUE(a->join()) << log();
      const auto& assignment = a->keying().assignment;
      ASSERT_EQ(assignment.slot_count, 1);
      EXPECT_TRUE(slots.emplace(a->keying().epoch, assignment.first_slot).second) << "a slot came twice";
      EXPECT_GT(a->keying().epoch, last_epoch) << "an epoch of an earlier life came again";
      epoch = a->keying().epoch;
      if (i == 2) a->say(handshake::SlotRequest{"tv", epoch, 5});  // under way at the kill
    }
    last_epoch = epoch;
    ASSERT_EQ(kill(child_, SIGKILL), 0);
    EXPECT_EQ(ended(), -1);
  }
}

// The tool against the daemon, as an operator uses both.
class Operator : public KeyserverProcess {
 protected:
  struct Ran {
    int code = -1;
    std::string out;  // and its error output
  };
  Ran tool(const std::string& arguments) const {
    const std::string command =
        places::program("sealcast") + " " + arguments + " --socket " + folder_ + "/admin.sock 2>&1";
    Ran ran;
    FILE* const pipe = popen(command.c_str(), "r");
    char part[4096];
    for (std::size_t n = 0; pipe != nullptr && (n = fread(part, 1, sizeof part, pipe)) > 0;)
      ran.out.append(part, n);
    const int status = pclose(pipe);
    if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
    return ran;
  }
};

TEST_F(Operator, SeesMembersRekeysAndIsToldWhatWasWrong) {
  const std::uint16_t port = start();
  ASSERT_EQ(tool("members").out, "no members\n");
  auto a = member(port, "studio");
  ASSERT_TRUE(a->join());
  ASSERT_TRUE(log_contains("member_joined"));
  const Ran members = tool("members");
  EXPECT_EQ(members.code, 0);
  EXPECT_THAT(members.out, AllOf(HasSubstr("GROUP"), HasSubstr("studio"), HasSubstr("both"), HasSubstr("current")));
  EXPECT_EQ(tool("members --group radio").code, 1);
  EXPECT_THAT(tool("members --json").out, HasSubstr("\"member\":\"studio\""));

  const Ran rekeyed = tool("rekey tv");
  EXPECT_EQ(rekeyed.code, 0);
  EXPECT_EQ(rekeyed.out, "") << "silent success";
  const auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  EXPECT_THAT(tool("members").out, HasSubstr("behind"));
  EXPECT_THAT(tool("rekey tv").out, HasSubstr("expected no hand-over under way"));
  a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());

  const Ran unknown = tool("rekey radio");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.out, HasSubstr("expected a group of this key server, got \"radio\""));
  EXPECT_EQ(tool("rekey").code, 2);
  EXPECT_EQ(tool("revoke").code, 2);
  EXPECT_EQ(tool("revoke x --timeout nan").code, 2);
}

TEST_F(Operator, H11_RevokesAndWaitsUntilItIsComplete) {
  const std::uint16_t port = start();
  auto a = member(port, "studio");
  auto b = member(port, "home");
  ASSERT_TRUE(a->join());
  ASSERT_TRUE(b->join());
  ASSERT_TRUE(log_contains("member=\"home\" address="));
  EXPECT_EQ(tool("revocations").out, "no member is revoked\n");

  // H28: a name that no member bears is a mistake, unless it is said not to be one.
  const Ran mistyped = tool("revoke Home");
  EXPECT_EQ(mistyped.code, 5);
  EXPECT_THAT(mistyped.out, AllOf(HasSubstr("no member or user \"Home\" is known here"), HasSubstr("similar: home;")));
  EXPECT_EQ(tool("revocations").out, "no member is revoked\n");
  EXPECT_EQ(tool("revoke Mallory --force --no-wait").code, 0);
  EXPECT_THAT(tool("revocations").out, HasSubstr("Mallory"));
  EXPECT_EQ(tool("reinstate Mallory").code, 0);

  // The other sender has not switched yet.
  const Ran waiting = tool("revoke home --timeout 0.5");
  EXPECT_EQ(waiting.code, 4);
  EXPECT_THAT(waiting.out,
              AllOf(HasSubstr("waiting for the senders studio"), HasSubstr("revoked, but not complete yet")));
  const auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());
  a->say(handshake::ActivateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(log_contains("revocation_complete"));

  const Ran again = tool("revoke home");
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, HasSubstr("group tv: shut out, complete after "));
  EXPECT_THAT(tool("revocations").out, AllOf(HasSubstr("home"), HasSubstr("all"), HasSubstr("complete after")));
  EXPECT_FALSE(member(port, "home")->join());
  EXPECT_EQ(tool("reinstate home --group tv").code, 1);
  EXPECT_EQ(tool("reinstate home").code, 0);
  EXPECT_TRUE(member(port, "home")->join());
}

TEST_F(Operator, SeesTheGroupsAndWhatWasDoneByWhomAfterARestartToo) {
  const std::uint16_t port = start();
  auto a = member(port, "studio");
  ASSERT_TRUE(a->join());
  ASSERT_TRUE(log_contains("member_joined"));
  ASSERT_EQ(tool("rekey tv --json").out, "{\"ok\":true}\n");
  const Ran under_way = tool("groups");
  EXPECT_EQ(under_way.code, 0) << under_way.out;
  EXPECT_THAT(under_way.out, AllOf(HasSubstr("key server ks\n"), HasSubstr("asked for"), HasSubstr("under way"),
                                   HasSubstr("tv: behind: studio")));
  const auto update = a->expect<handshake::GroupUpdate>();
  ASSERT_TRUE(update.has_value());
  a->say(handshake::GroupUpdateAck{"tv", update->keying.epoch});
  ASSERT_TRUE(a->expect<handshake::Activate>().has_value());
  EXPECT_THAT(tool("groups --json").out, AllOf(HasSubstr("\"slowest\":\"studio\""), HasSubstr("\"active_after_ms\":"),
                                               HasSubstr("\"joined\":1"), HasSubstr("\"daemon\":\"keyserver\"")));
  EXPECT_EQ(tool("rekey radio").code, 1);
  const std::string uid = std::to_string(getuid());
  EXPECT_THAT(tool("audit --event operator_command").out,
              AllOf(HasSubstr("command rekey, uid " + uid + ", pid "), HasSubstr(", done yes"), HasSubstr("done no")));
  EXPECT_THAT(tool("audit --member studio --json").out,
              AllOf(HasSubstr("\"event\":\"member_joined\""), Not(HasSubstr("rekey_begun"))));
  EXPECT_THAT(tool("audit --since 1h --group tv").out,
              AllOf(HasSubstr("rekey_begun"), HasSubstr("epoch_active"), HasSubstr("slowest studio")));

  ASSERT_EQ(kill(child_, SIGTERM), 0);
  ASSERT_EQ(ended(), 0);
  struct stat status {};
  ASSERT_EQ(stat((folder_ + "/ks.db.audit").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  start();
  EXPECT_THAT(tool("audit").out, AllOf(HasSubstr("member_joined"), HasSubstr("stopped"), HasSubstr("started")));
}

TEST_F(Operator, WithoutATrailSaysSo) {
  std::string text = toml();
  text.insert(text.find("admin_socket"), "audit_events = 0\n");
  write_file("ks.toml", text);
  start();
  const Ran none = tool("audit");
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.out, HasSubstr("keyserver.audit_events is 0"));
  EXPECT_NE(access((folder_ + "/ks.db.audit").c_str(), F_OK), 0);
}

TEST_F(Operator, ANameThatPlaysWithTheTerminalDoesNot) {
  start();
  EXPECT_EQ(tool("revoke --force \"$(printf 'ev\\033[31mil')\"").code, 0);
  const Ran shown = tool("revocations");
  EXPECT_THAT(shown.out, HasSubstr("ev?[31mil"));
  EXPECT_THAT(shown.out, Not(HasSubstr("\033")));
}

TEST_F(Operator, WithoutADaemonItIs3) {
  for (const char* command : {"members", "revocations", "rekey tv", "revoke home", "reinstate home", "audit", "groups"})
    EXPECT_EQ(tool(command).code, 3) << command;
}

}  // namespace
}  // namespace sealcast::keyserver
