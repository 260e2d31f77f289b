// The client against a gateway with the test's answers: sound ones, broken ones, huge ones, none.
#include "controlplane/etcd/client.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

#include "controlplane/etcd/json.h"

namespace sealcast::etcd {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

constexpr const char* sound = R"({"header":{"cluster_id":"7","revision":"12"},"succeeded":true,"responses":[]})";

// Answers each connection once, then closes it.
class Gateway {
 public:
  struct Answer {
    std::string body;
    int status = 200;
    std::chrono::milliseconds after{0};
    std::size_t more = 0;  // bytes of 'x' behind the body
    bool hang_up = false;  // in the midst of the answer
  };

  Gateway() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~Gateway() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  std::string address() const { return "http://127.0.0.1:" + std::to_string(port_); }
  void say(Answer answer) {
    const std::lock_guard lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  std::string requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void run() {
    while (!stopped_) {
      pollfd ready{listener_, POLLIN, 0};
      if (poll(&ready, 1, 20) <= 0) continue;
      const int peer = accept(listener_, nullptr, nullptr);
      serve(peer);
      close(peer);
    }
  }
  void serve(int peer) {
    std::string request;
    char buffer[4096];
    for (std::size_t want = 0;;) {
      pollfd ready{peer, POLLIN, 0};
      if (poll(&ready, 1, 500) <= 0) return;
      const ssize_t n = recv(peer, buffer, sizeof buffer, 0);
      if (n <= 0) return;
      request.append(buffer, static_cast<std::size_t>(n));
      const std::size_t end = request.find("\r\n\r\n");
      if (end == std::string::npos) continue;
      const std::size_t length = request.find("Content-Length: ");
      want = end + 4 + (length == std::string::npos ? 0 : std::stoul(request.substr(length + 16)));
      if (request.size() >= want) break;
    }
    Answer answer{sound};
    {
      const std::lock_guard lock(mutex_);
      requests_ = request;
      if (!answers_.empty()) {
        answer = answers_.front();
        answers_.pop_front();
      }
    }
    for (auto left = answer.after; left > 0ms && !stopped_; left -= 10ms)
      std::this_thread::sleep_for(10ms);
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) +
                       " X\r\nContent-Length: " + std::to_string(answer.body.size() + answer.more) +
                       "\r\nConnection: close\r\n\r\n" + answer.body;
    if (answer.hang_up) text.resize(text.size() / 2);
    send_all(peer, text);
    const std::string filler(65536, 'x');
    for (std::size_t sent = 0; sent < answer.more && !answer.hang_up; sent += filler.size())
      if (!send_all(peer, filler)) return;
  }
  static bool send_all(int peer, const std::string& text) {
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t n = send(peer, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<std::size_t>(n);
    }
    return true;
  }

  int listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::deque<Answer> answers_;
  std::string requests_;
  std::thread thread_;
};

class EtcdClient : public ::testing::Test {
 protected:
  Result<Reply> ask(Client& client, Transaction transaction = {}) {
    std::optional<Result<Reply>> got;
    client.transact(std::move(transaction), [&](Result<Reply> reply) { got = std::move(reply); });
    io_.restart();
    const auto end = std::chrono::steady_clock::now() + 5s;
    while (!got && std::chrono::steady_clock::now() < end)
      io_.run_for(10ms);
    return got ? std::move(*got) : fail("no answer came at all");
  }
  ClientSettings settings() {
    ClientSettings out;
    out.addresses = {gateway_.address()};
    out.timeout = 300ms;
    out.max_answer = 1 << 20;
    return out;
  }

  Gateway gateway_;
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
};

TEST_F(EtcdClient, SendsATransactionAndReadsItsAnswer) {
  Client client(io_, settings());
  gateway_.say({R"({"header":{"cluster_id":"18446744073709551615","revision":"9"},"succeeded":true,"responses":[
    {"response_put":{"header":{"revision":"9"}}},
    {"response_range":{"kvs":[{"key":"a2V5","create_revision":"3","mod_revision":"8","value":"AP8="}],"more":true}}]})"});
  Transaction transaction;
  transaction.compares = {{Compare::What::created, "key", 5}};
  transaction.success = {Put{"key", std::string("\0\xff", 2), 7}, Range{"a", "b", 4, 2}};
  transaction.failure = {Delete{"key", ""}};
  const auto reply = ask(client, transaction);
  ASSERT_TRUE(reply.has_value()) << reply.error().message;
  EXPECT_TRUE(reply->succeeded);
  EXPECT_EQ(reply->revision, 9);
  EXPECT_EQ(reply->cluster, ~std::uint64_t{0});
  ASSERT_EQ(reply->ranges.size(), 1u);
  EXPECT_TRUE(reply->ranges[0].more);
  EXPECT_EQ(reply->ranges[0].entries[0].key, "key");
  EXPECT_EQ(reply->ranges[0].entries[0].value, std::string("\0\xff", 2));
  for (const char* part : {"POST /v3/kv/txn", R"("target":"CREATE")", R"("create_revision":"5")", R"("key":"a2V5")",
                           R"("value":"AP8=")", R"("lease":"7")", R"("min_mod_revision":"4")", "request_delete_range"})
    EXPECT_THAT(gateway_.requests(), HasSubstr(part));
}

TEST_F(EtcdClient, H13_BrokenAnswersAreErrors) {
  Client client(io_, settings());
  const std::string deep = std::string(200'000, '[');
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), deep, std::string("\xff\xfe"),
        std::string(R"({"header":{"revision":"x"}})"), std::string(R"({"header":{"revision":7}})"),
        std::string(R"({"header":{"revision":"-1"}})"),
        std::string(R"({"header":{"revision":"99999999999999999999"}})"),
        std::string(R"({"header":{"revision":"1"},"succeeded":"yes"})"),
        std::string(R"({"header":{"revision":"1"},"responses":{}})"),
        std::string(R"({"header":{"revision":"1"},"responses":[7]})"),
        std::string(R"({"header":{"revision":"1"},"responses":[{"response_range":{"kvs":[{"key":"!"}]}}]})"),
        std::string(R"({"header":{"revision":"1"},"responses":[{"response_range":{"kvs":[{}]}}]})"),
        std::string(R"({"header":{"revision":"1"},"responses":[{"response_range":{"kvs":7}}]})")}) {
    gateway_.say({body});
    EXPECT_FALSE(ask(client).has_value()) << body.substr(0, 80);
  }
  gateway_.say({sound});
  EXPECT_TRUE(ask(client).has_value()) << "and the next sound one is taken";
}

TEST_F(EtcdClient, H13_HugeAnswersAreCutOff) {
  Client client(io_, settings());
  gateway_.say({sound, 200, 0ms, 64u << 20});
  const auto reply = ask(client);
  ASSERT_FALSE(reply.has_value());
  EXPECT_THAT(reply.error().message, HasSubstr("at most 1048576 bytes"));
}

TEST_F(EtcdClient, H13_SlowAnswersAreGivenUp) {
  Client client(io_, settings());
  gateway_.say({sound, 200, 3s});
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(ask(client).has_value());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
}

TEST_F(EtcdClient, ErrorsOfEtcdAreTold) {
  Client client(io_, settings());
  gateway_.say({"{\"error\":\"etcdserver: no \\u0007leader\",\"code\":14}", 503});
  const auto reply = ask(client);
  ASSERT_FALSE(reply.has_value());
  EXPECT_THAT(reply.error().message, HasSubstr("503: etcdserver: no ?leader"));
  gateway_.say({sound, 200, 0ms, 0, true});
  EXPECT_FALSE(ask(client).has_value()) << "hung up in the midst";
}

TEST_F(EtcdClient, AsksTheNextAddressWhereNobodyListens) {
  ClientSettings several = settings();
  several.addresses = {"http://127.0.0.1:1", gateway_.address()};
  Client client(io_, several);
  EXPECT_TRUE(ask(client).has_value());
}

TEST_F(EtcdClient, WaitsForAnAnswerNoLongerThanBounded) {
  Client client(io_, settings());
  gateway_.say({sound});
  EXPECT_TRUE(client.transact_now({}).has_value());
  gateway_.say({sound, 200, 5s});
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_FALSE(client.transact_now({}).has_value());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 2s);
}

TEST_F(EtcdClient, EndsWithoutItsAnswers) {
  bool called = false;
  {
    Client client(io_, settings());
    gateway_.say({sound, 200, 3s});
    client.transact({}, [&](const Result<Reply>&) { called = true; });
    client.revoke(7);
  }
  io_.run_for(50ms);
  EXPECT_FALSE(called);
}

TEST(EtcdJson, LeasesAsEtcdWritesThem) {
  EXPECT_EQ(parse_lease(R"({"ID":"5","TTL":"9"})")->ttl, 9s);
  EXPECT_EQ(parse_lease(R"({"result":{"ID":"5"}})")->ttl, 0s) << "it has ended";
  EXPECT_EQ(parse_lease(R"({"result":{"ID":"5","TTL":"4"}})")->id, 5);
  for (const char* bad : {"", "{}", R"({"ID":5})", R"({"ID":"5","TTL":"-1"})", R"({"result":7})"})
    EXPECT_FALSE(parse_lease(bad).has_value()) << bad;
  EXPECT_EQ(end_of("/a/"), "/a0");
}

}  // namespace
}  // namespace sealcast::etcd
