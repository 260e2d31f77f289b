// The admin socket: its permissions, its answers, and its limits: no client can hang the daemon or fill its memory.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "controlplane/admin/admin_client.h"
#include "controlplane/admin/admin_server.h"

namespace sealcast::admin {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

class AdminTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-admin-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/a.sock";
  }
  void TearDown() override {
    stop_loop();
    ::unlink(path_.c_str());
    ::rmdir(folder_.c_str());
  }
  void run_loop() {
    thread_ = std::thread([this] {
      const auto work = asio::make_work_guard(io_);
      io_.run();
    });
  }
  void stop_loop() {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  Json ask_json(const std::string& request) {
    const auto answer = ask(path_, request, 3s);
    if (!answer) return Json{{"client_error", answer.error().message}};
    return Json::parse(*answer, nullptr, false);
  }
  int raw_connection() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    const timeval limit{3, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  static std::string read_until_closed(int fd) {
    std::string all;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof(buffer), 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(n));
    return all;
  }

  std::string folder_, path_;
  asio::io_context io_;
  std::thread thread_;
};

TEST_F(AdminTest, AnswersACommandWithOneLine) {
  AdminServer server(io_, path_);
  server.handle("status", [](const std::string& request) {
    return Json{{"got", Json::parse(request).at("verbose")}, {"text", "x"}}.dump(2);  // several lines on purpose
  });
  ASSERT_TRUE(server.start());
  run_loop();
  const Json answer = ask_json("{\"command\": \"status\",\n \"verbose\": true}");
  EXPECT_EQ(answer, (Json{{"got", true}, {"text", "x"}}));
  stop_loop();
}

TEST_F(AdminTest, RefusesWhatIsNoCommand) {
  AdminServer server(io_, path_);
  server.handle("status", [](const std::string&) { return std::string("{}"); });
  server.handle("groups", [](const std::string&) { return std::string("{}"); });
  ASSERT_TRUE(server.start());
  run_loop();
  for (const char* bad : {"", "[]", "{", "7", "{\"command\": 3}", "{}", "\xff\xfe"}) {
    const Json answer = ask_json(bad);
    ASSERT_TRUE(answer.contains("error")) << bad << " -> " << answer;
    EXPECT_NE(answer["error"].get<std::string>().find("expected"), std::string::npos);
  }
  EXPECT_EQ(ask_json("{\"command\": \"reboot\"}")["error"],
            "unknown command \"reboot\"; this daemon knows: groups, status");
  stop_loop();
}

TEST_F(AdminTest, TheSocketIsTheOwnersAlone) {
  AdminServer server(io_, path_);
  const mode_t before = ::umask(0);
  ASSERT_TRUE(server.start());
  ::umask(before);
  struct stat found {};
  ASSERT_EQ(::lstat(path_.c_str(), &found), 0);
  EXPECT_TRUE(S_ISSOCK(found.st_mode));
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  server.stop();
  EXPECT_NE(::lstat(path_.c_str(), &found), 0) << "the socket stays behind";
}

TEST_F(AdminTest, ReplacesADeadSocketButNeverALiveOneOrAFile) {
  {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    ::close(fd);  // left behind by kill -9
  }
  AdminServer first(io_, path_);
  ASSERT_TRUE(first.start());
  AdminServer second(io_, path_);
  const auto refused = second.start();
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("another process serves it"), std::string::npos) << refused.error().message;
  second.stop();
  struct stat found {};
  EXPECT_EQ(::lstat(path_.c_str(), &found), 0) << "a server that failed to start removed another's socket";
  first.stop();

  std::ofstream(path_) << "precious";
  AdminServer third(io_, path_);
  const auto file = third.start();
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("no socket"), std::string::npos);
  EXPECT_EQ(::lstat(path_.c_str(), &found), 0);
}

TEST_F(AdminTest, BoundsARequest) {
  AdminServer server(io_, path_);
  ASSERT_TRUE(server.start());
  run_loop();
  const int fd = raw_connection();
  const std::string flood(max_request_bytes + 1, ' ');
  EXPECT_GT(::send(fd, flood.data(), flood.size(), MSG_NOSIGNAL), 0);
  const std::string answer = read_until_closed(fd);
  ::close(fd);
  EXPECT_NE(answer.find("request longer than " + std::to_string(max_request_bytes) + " bytes"), std::string::npos)
      << answer;
  stop_loop();
}

TEST_F(AdminTest, BoundsTheClients) {
  AdminServer server(io_, path_);
  server.handle("status", [](const std::string&) { return std::string("{}"); });
  ASSERT_TRUE(server.start());
  run_loop();
  std::vector<int> silent;
  for (std::size_t i = 0; i < max_clients; ++i)
    silent.push_back(raw_connection());
  // Connections are accepted in order: once this one has its answer, all others are counted.
  const int extra = raw_connection();
  EXPECT_NE(read_until_closed(extra).find("too many clients"), std::string::npos);
  ::close(extra);
  ::close(silent.back());
  silent.pop_back();
  Json answer;
  for (int attempt = 0; attempt < 50 && answer != Json::object(); ++attempt) {
    answer = ask_json("{\"command\": \"status\"}");
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(answer, Json::object()) << "a place that became free is not given again";
  for (const int fd : silent)
    ::close(fd);
  stop_loop();
}

TEST_F(AdminTest, ASilentOrSlowClientIsClosed) {
  AdminServer server(io_, path_, 100ms);
  server.handle("big", [](const std::string&) { return Json{{"fill", std::string(8'000'000, 'x')}}.dump(); });
  ASSERT_TRUE(server.start());
  run_loop();
  const int silent = raw_connection();
  EXPECT_EQ(::send(silent, "{", 1, MSG_NOSIGNAL), 1);
  char byte = 0;
  EXPECT_EQ(::recv(silent, &byte, 1, 0), 0) << "closed after the deadline, not after the test's 3 s";
  ::close(silent);
  // Asks for much and does not read it: the answer must not stay in memory for ever.
  const int slow = raw_connection();
  const std::string request = "{\"command\": \"big\"}\n";
  EXPECT_GT(::send(slow, request.data(), request.size(), MSG_NOSIGNAL), 0);
  pollfd closed{slow, POLLRDHUP, 0};
  EXPECT_EQ(::poll(&closed, 1, 10'000), 1) << "closed although not all was read";
  EXPECT_LT(read_until_closed(slow).size(), 8'000'000u);
  ::close(slow);
  stop_loop();
}

TEST_F(AdminTest, ServesSeveralRequestsOfOneClientAndLargeAnswers) {
  AdminServer server(io_, path_);
  server.handle("big", [](const std::string&) { return Json{{"fill", std::string(2'000'000, 'x')}}.dump(); });
  server.handle("huge", [](const std::string&) { return std::string(max_response_bytes + 1, 'x'); });
  ASSERT_TRUE(server.start());
  run_loop();
  EXPECT_EQ(ask_json("{\"command\": \"big\"}")["fill"].get<std::string>().size(), 2'000'000u);
  EXPECT_TRUE(ask_json("{\"command\": \"huge\"}").contains("error"));
  const int fd = raw_connection();
  const std::string two = "{\"command\": \"a\"}\n{\"command\": \"b\"}\n";
  EXPECT_EQ(::send(fd, two.data(), two.size(), MSG_NOSIGNAL), static_cast<ssize_t>(two.size()));
  ::shutdown(fd, SHUT_WR);
  const std::string answers = read_until_closed(fd);
  ::close(fd);
  EXPECT_EQ(std::count(answers.begin(), answers.end(), '\n'), 2) << answers;
  stop_loop();
}

TEST_F(AdminTest, ClientSaysWhatIsWrong) {
  EXPECT_NE(ask_json("{}")["client_error"].get<std::string>().find("is the daemon running"), std::string::npos);
  // A daemon that accepts and then hangs.
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  const auto begin = std::chrono::steady_clock::now();
  const auto late = ask(path_, "{}", 200ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("did not answer within 200 ms"), std::string::npos) << late.error().message;
  ::close(fd);
  const auto dead = ask(path_, "{}", 200ms);
  ASSERT_FALSE(dead);
  EXPECT_NE(dead.error().message.find("has ended"), std::string::npos) << dead.error().message;
}

}  // namespace
}  // namespace sealcast::admin
