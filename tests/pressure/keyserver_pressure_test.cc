// The real sealcast-keyserver where something is short. A member that has joined is rekeyed on time all the while, the
// admin socket answers, and the audit trail knows who held which epoch.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/testing/places.h"
#include "controlplane/admin/admin_client.h"
#include "controlplane/keyserver/testing/test_client.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::pressure {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using keyserver::testing::in;
using keyserver::testing::TestClient;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;
namespace pki = handshake::testing;

constexpr auto soon = 1s;  // an answer, a rekey: on a machine that does other things, too

class KeyserverUnderPressure : public ::testing::Test {
 protected:
  KeyserverUnderPressure() : pki_(std::time(nullptr)) {
    char folder[] = "/tmp/sealcast-pressure-XXXXXX";
    folder_ = mkdtemp(folder);
    const auto server = pki_.server("ks.example");
    write_file("server.pem", server.chain_pem);
    write_file("server.key", server.key_pem);
    write_file("ca.pem", pki_.ca_pem());
    state_ = folder_ + "/state";
    mkdir(state_.c_str(), 0700);
  }
  ~KeyserverUnderPressure() override {
    members_.clear();
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    if (mounted_) umount2(state_.c_str(), MNT_DETACH);
    const std::string command = "rm -rf " + folder_;
    EXPECT_EQ(std::system(command.c_str()), 0);
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

  // Starts it: in_child runs before the program, options are further lines of [keyserver], of_group of the group.
  void start(const std::string& options = "", const std::string& of_group = "",
             const std::function<void()>& in_child = {}) {
    write_file("ks.toml",
               "[keyserver]\nid = \"ks\"\nlisten = \"127.0.0.1:0\"\ncertificate = \"server.pem\"\nprivate_key = "
               "\"server.key\"\nca = \"ca.pem\"\nstate = \"state/ks.db\"\nadmin_socket = \"state/admin.sock\"\n"
               "spi_range = [\"0x10000000\", \"0x1fffffff\"]\n" +
                   options +
                   "[[keyserver.group]]\nid = \"tv\"\nselectors = [ { destination = \"239.1.1.0/24\" } ]\n"
                   "senders = [\"studio\"]\ndeactivation_delay = \"100ms\"\n" +
                   of_group);
    launch(in_child);
    ASSERT_TRUE(eventually([&] { return admin("groups").has_value(); })) << log();
    port_ = static_cast<std::uint16_t>(std::atoi(text_behind(status()["listen"], "127.0.0.1:").c_str()));
  }
  void launch(const std::function<void()>& in_child) {
    unlink((folder_ + "/log").c_str());
    // Another user may not be able to follow its path.
    const int program = open(places::program("sealcast-keyserver").c_str(), O_RDONLY | O_CLOEXEC);
    child_ = fork();
    ASSERT_GE(child_, 0);
    if (child_ == 0) {
      const int out = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(out, 1);
      dup2(out, 2);
      if (in_child) in_child();
      std::string words[] = {"sealcast-keyserver", "--config", folder_ + "/ks.toml"};
      char* const arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
      fexecve(program, arguments, environ);
      _exit(127);
    }
    close(program);
  }
  static std::string text_behind(const std::string& text, const std::string& mark) {
    const auto at = text.find(mark);
    return at == std::string::npos ? "0" : text.substr(at + mark.size());
  }
  bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds time = 10s) {
    for (const auto deadline = in(time); Clock::now() < deadline; std::this_thread::sleep_for(5ms))
      if (condition()) return true;
    return false;
  }

  // The answer to a request of further members, as JSON; nothing: none came in time.
  std::optional<json> admin(const std::string& command, const std::string& further = "") {
    const auto before = Clock::now();
    const auto answer = admin::ask(state_ + "/admin.sock", R"({"command": ")" + command + "\"" + further + "}", 5s);
    slowest_answer_ = std::max<Clock::duration>(slowest_answer_, Clock::now() - before);
    if (!answer) return std::nullopt;
    return json::parse(*answer, nullptr, false);
  }
  json status() { return admin("status").value_or(json::object()); }
  std::uint64_t refused(const std::string& why) {
    const json now = status();
    return now["refused"].is_object() ? now["refused"].value(why, std::uint64_t{0}) : 0;
  }
  std::uint64_t failed(const std::string& reason) {
    const json now = status();
    return now["handshakes"]["failed"].value(reason, std::uint64_t{0});
  }
  // Who the trail says held the epoch.
  std::vector<std::string> holders(std::uint64_t epoch) {
    std::vector<std::string> out;
    const auto answer = admin("audit", R"(, "group": "tv", "epoch": )" + std::to_string(epoch));
    if (answer && answer->contains("events"))
      for (const json& event : (*answer)["events"])
        out.push_back(event["fields"]["member"]);
    return out;
  }

  std::unique_ptr<TestClient> member(const std::string& name) {
    auto client = std::make_shared<handshake::ClientConfig>();
    auto& credentials = credentials_[name];
    if (!credentials) credentials = pki_.member(name, {"tv"}).credentials;
    client->credentials = credentials;
    client->server_trust = pki_.trust();
    client->server_name = "ks.example";
    client->multicast = handshake::MulticastWish{"tv", "ks"};
    client->accept_keying = [](const handshake::GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
    return std::make_unique<TestClient>(port_, client);
  }
  TestClient* join(const std::string& name) {
    auto client = member(name);
    if (!client->join()) return nullptr;
    return members_.emplace_back(std::move(client)).get();
  }
  // A rekey that an operator asks for, as this one member sees it, from the request on.
  std::optional<std::chrono::milliseconds> rekey(TestClient& one) {
    const auto before = Clock::now();
    const auto asked = admin("rekey", R"(, "group": "tv")");
    if (!asked || !asked->contains("ok")) return std::nullopt;
    const auto update = one.expect<handshake::GroupUpdate>(5s);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - before);
    if (!update) return std::nullopt;
    epoch_ = update->keying.epoch;
    for (const auto& client : members_)
      client->say(handshake::GroupUpdateAck{"tv", epoch_});
    if (!one.expect<handshake::Activate>(5s) || !one.expect<handshake::Retire>(5s)) return std::nullopt;
    return took;
  }
  // Ten of them, each on time.
  void rekeys_are_on_time(TestClient& one, const char* while_what) {
    std::chrono::milliseconds slowest{};
    for (int i = 0; i < 10; ++i) {
      const auto took = rekey(one);
      ASSERT_TRUE(took.has_value()) << while_what << ", rekey " << i << "\n" << log().substr(0, 4000);
      slowest = std::max(slowest, *took);
    }
    std::printf("  %s: the slowest of ten rekeys took %lld ms\n", while_what, static_cast<long long>(slowest.count()));
    EXPECT_LT(slowest, soon) << while_what;
  }
  void answers_were_on_time() const {
    std::printf("  the slowest answer at the admin socket took %lld ms\n",
                static_cast<long long>(std::chrono::duration_cast<std::chrono::milliseconds>(slowest_answer_).count()));
    EXPECT_LT(slowest_answer_, soon);
  }

  // A disk of its own for state and trail, in a namespace of this process's.
  void make_disk(const std::string& size) {
    ASSERT_EQ(unshare(CLONE_NEWNS), 0) << "needs root";
    ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", state_.c_str(), "tmpfs", 0, ("size=" + size + ",mode=0700").c_str()), 0);
    mounted_ = true;
  }
  // Until nothing more goes into it.
  void fill_disk() const {
    const int fd = open((state_ + "/full").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    for (const std::size_t size : {std::size_t{1} << 20, std::size_t{4096}}) {
      const std::string zeros(size, '\0');
      while (write(fd, zeros.data(), zeros.size()) > 0) {
      }
    }
    close(fd);
  }
  std::uint64_t free_bytes() const {
    struct statvfs disk {};
    return statvfs(state_.c_str(), &disk) == 0 ? std::uint64_t{disk.f_bavail} * disk.f_frsize : 0;
  }

  pki::TestPki pki_;
  std::string folder_, state_;
  std::map<std::string, handshake::Credentials> credentials_;
  std::vector<std::unique_ptr<TestClient>> members_;
  pid_t child_ = 0;
  std::uint16_t port_ = 0;
  std::uint64_t epoch_ = 0;
  Clock::duration slowest_answer_{};
  bool mounted_ = false;
};

// Connections that say nothing, each from an address of its own, as many as there are of them.
class Strangers {
 public:
  Strangers(std::uint16_t port, int count) {
    for (int i = 0; i < count; ++i) {
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      if (fd < 0) break;
      sockaddr_in from{}, to{};
      from.sin_family = to.sin_family = AF_INET;
      from.sin_addr.s_addr = htonl(0x7f010000u + static_cast<std::uint32_t>(i));  // 127.1.0.0/16
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      to.sin_port = htons(port);
      const void* const source = &from;
      const void* const target = &to;
      bind(fd, static_cast<const sockaddr*>(source), sizeof from);
      const int done = connect(fd, static_cast<const sockaddr*>(target), sizeof to);
      if (done == 0 || errno == EINPROGRESS) ++count_;
      fds_.push_back(fd);
    }
  }
  ~Strangers() {
    for (const int fd : fds_)
      close(fd);
  }
  Strangers(const Strangers&) = delete;
  Strangers& operator=(const Strangers&) = delete;
  int count() const { return count_; }

 private:
  std::vector<int> fds_;
  int count_ = 0;
};

void limit_files(rlim_t soft, rlim_t hard) {
  const rlimit limit{soft, hard};
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(KeyserverUnderPressure, H29_TheSoftLimitOfFilesIsRaisedAndTheHardOneKept) {
  start("max_connections = 500\n", "", [] { limit_files(128, 1024); });
  EXPECT_THAT(log(), Not(HasSubstr("connections_limited")));
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  start("", "", [] { limit_files(128, 1024); });
  EXPECT_THAT(log(), HasSubstr("connections_limited max_connections=10000 allowed=9"));
  kill(child_, SIGKILL);
  waitpid(child_, nullptr, 0);
  launch([] { limit_files(64, 64); });
  int status = 0;
  ASSERT_EQ(waitpid(child_, &status, 0), std::exchange(child_, 0));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
  EXPECT_THAT(log(), HasSubstr("open files, got 64: raise it"));
}

// The attack: a thousand idle strangers on 1,024 descriptors, and neither `groups` nor `revoke` answered.
TEST_F(KeyserverUnderPressure, H13_H29_TenThousandStrangersOn1024DescriptorsDelayNobodyThatIsJoined) {
  rlimit own{};
  getrlimit(RLIMIT_NOFILE, &own);
  if (own.rlim_max < 11'000) GTEST_SKIP() << "needs 11,000 descriptors of its own, the hard limit is " << own.rlim_max;
  const rlimit more{own.rlim_max, own.rlim_max};
  setrlimit(RLIMIT_NOFILE, &more);
  start("handshake_timeout = \"60s\"\n", "", [] { limit_files(1024, 1024); });
  TestClient* const studio = join("studio");
  TestClient* const home = join("home");
  ASSERT_TRUE(studio && home);
  const Strangers strangers(port_, 10'000);
  EXPECT_GT(strangers.count(), 9'000);
  ASSERT_TRUE(eventually([&] { return refused("half_open") > 8'000; }, 30s)) << status()["refused"].dump();
  slowest_answer_ = {};
  rekeys_are_on_time(*studio, "10,000 strangers, 1,024 descriptors");
  EXPECT_TRUE(admin("groups").has_value());
  EXPECT_THAT(holders(epoch_), UnorderedElementsAre("home", "studio"));
  members_.pop_back();
  EXPECT_TRUE(join("home")) << "a member that was here comes back";
  const auto revoked = admin("revoke", R"(, "member": "home")");
  EXPECT_TRUE(revoked && revoked->value("ok", false));
  answers_were_on_time();
}

TEST_F(KeyserverUnderPressure, H29_AReaderOfTheLogThatStallsStopsNothing) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  ASSERT_GT(fcntl(ends[1], F_SETPIPE_SZ, 4096), 0);
  start("", "", [&] { dup2(ends[1], 2); });
  close(ends[1]);
  TestClient* const studio = join("studio");
  ASSERT_TRUE(studio);
  slowest_answer_ = {};
  for (int i = 0; i < 6'000; ++i)
    ASSERT_TRUE(admin("rekey", R"(, "group": "none of these")").has_value()) << i;
  rekeys_are_on_time(*studio, "nothing reads standard error");
  answers_were_on_time();
  EXPECT_THAT(holders(epoch_), UnorderedElementsAre("studio"));
  // The reader is back: it is told what it missed.
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  std::string all;
  eventually([&] {
    char part[65536];
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;)
      all.append(part, static_cast<std::size_t>(n));
    return all.find("log_lines_lost count=") != std::string::npos;
  });
  EXPECT_THAT(all, AllOf(HasSubstr("log_lines_lost count="), HasSubstr("operator_command")));
  close(ends[0]);
}

TEST_F(KeyserverUnderPressure, H27_H29_OnAFullDiskMembersAreRekeyedAndWhoCannotBeRecordedIsGivenNothing) {
  make_disk("64m");
  start("audit_events = 5000\n");
  TestClient* const studio = join("studio");
  TestClient* const home = join("home");
  ASSERT_TRUE(studio && home);
  ASSERT_TRUE(eventually([&] { return access((state_ + "/ks.db.reserve").c_str(), F_OK) == 0; }));
  slowest_answer_ = {};
  fill_disk();
  ASSERT_LT(free_bytes(), 4096u);
  rekeys_are_on_time(*studio, "a disk that others have filled");
  EXPECT_TRUE(join("attic")) << "what was set aside is enough for a while";

  // Others take that, too: now there is nothing left, and it is told.
  for (int i = 0; i < 3; ++i) {
    fill_disk();
    std::this_thread::sleep_for(100ms);
  }
  ASSERT_TRUE(eventually([&] {
    fill_disk();
    return log().find("state_disk_full") != std::string::npos;
  }));
  // What is written in place goes on, until a write needs a block more: then nothing is given out that was not noted.
  std::vector<std::string> in_trail;
  for (int i = 0; i < 400 && failed("group_unavailable") == 0; ++i) {
    auto one = member("guest-" + std::to_string(i));
    if (one->join()) {
      in_trail.push_back("guest-" + std::to_string(i));
      members_.push_back(std::move(one));
    } else {
      EXPECT_TRUE(one->error() && one->error()->alert == handshake::Alert::internal_error) << "it may come again";
    }
    fill_disk();
  }
  EXPECT_GE(failed("group_unavailable"), 1u);
  EXPECT_TRUE(studio->say(handshake::Keepalive{77}));
  bool answered = false;
  for (const auto deadline = in(5s); !answered && Clock::now() < deadline;)
    if (const auto keepalive = studio->expect<handshake::Keepalive>(1s)) answered = keepalive->sequence == 77;
  EXPECT_TRUE(answered) << "members that are joined stay so";
  answers_were_on_time();

  unlink((state_ + "/full").c_str());
  ASSERT_TRUE(eventually([&] { return log().find("state_disk_has_room") != std::string::npos; }));
  rekeys_are_on_time(*studio, "a disk with room again");
  EXPECT_TRUE(join("late"));
  ASSERT_TRUE(eventually([&] { return holders(epoch_).size() >= 4 + in_trail.size(); }));
  const auto known = holders(epoch_);
  for (const std::string& guest : in_trail)
    EXPECT_THAT(known, Contains(guest)) << "given while the disk was full";
  const auto lost = admin("audit", R"(, "event": "audit_lost")");
  ASSERT_TRUE(lost && lost->contains("events"));
  EXPECT_TRUE((*lost)["events"].empty()) << lost->dump();
}

TEST_F(KeyserverUnderPressure, H27_H29_AStateFolderThatMayNotBeWrittenStopsNothingThatRuns) {
  constexpr uid_t nobody = 65534;
  for (const char* name : {"", "/server.pem", "/server.key", "/ca.pem", "/state"})
    ASSERT_EQ(chown((folder_ + name).c_str(), nobody, nobody), 0) << "needs root";
  start("", "", [&] {
    if (chown((folder_ + "/ks.toml").c_str(), nobody, nobody) != 0 || setgid(nobody) != 0 || setuid(nobody) != 0)
      _exit(126);
  });
  TestClient* const studio = join("studio");
  ASSERT_TRUE(studio);
  ASSERT_EQ(chmod(state_.c_str(), 0500), 0);
  slowest_answer_ = {};
  rekeys_are_on_time(*studio, "a state folder that is read-only");
  EXPECT_TRUE(join("home"));
  EXPECT_THAT(holders(epoch_), UnorderedElementsAre("home", "studio"));
  const auto revoked = admin("revoke", R"(, "member": "home")");
  EXPECT_TRUE(revoked && revoked->value("ok", false));
  answers_were_on_time();
}

// The attack: 825 joins in 14 s pushed out what the trail knew of another member.
TEST_F(KeyserverUnderPressure, H13_H27_AMemberThatJoinsAHundredTimesASecondDelaysNobodyAndHidesNobody) {
  start("audit_events = 200\n");
  TestClient* const studio = join("studio");
  TestClient* const home = join("home");
  ASSERT_TRUE(studio && home);
  const std::uint64_t first = studio->keying().epoch;
  slowest_answer_ = {};
  member("flood").reset();  // its certificate is made before
  std::atomic<bool> stop{false};
  std::atomic<int> joined{0}, told_to_come_again{0};
  std::thread flood([&] {
    for (auto next = Clock::now(); !stop; next += 10ms) {
      std::this_thread::sleep_until(next);
      auto one = member("flood");
      if (one->join())
        ++joined;
      else if (one->error() && one->error()->alert == handshake::Alert::internal_error)
        ++told_to_come_again;
    }
  });
  rekeys_are_on_time(*studio, "a member that joins 100 times a second");
  EXPECT_TRUE(eventually([&] { return joined + told_to_come_again >= 400; }, 60s));
  stop = true;
  flood.join();
  std::printf("  it joined %d times, and was told to come again %d times\n", joined.load(), told_to_come_again.load());
  EXPECT_LE(joined, 30 + 12);
  EXPECT_GE(told_to_come_again, 300);
  EXPECT_TRUE(studio && !studio->over());
  EXPECT_THAT(holders(first), AllOf(Contains("studio"), Contains("home")));
  EXPECT_THAT(holders(epoch_), AllOf(Contains("studio"), Contains("home")));
  const std::string said = log();
  EXPECT_THAT(said, HasSubstr("it joins too often"));
  EXPECT_LT(std::count(said.begin(), said.end(), '\n'), 500);
  answers_were_on_time();
}

}  // namespace
}  // namespace sealcast::pressure
