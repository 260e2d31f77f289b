// A key server on a loop of its own thread, its certificates, and members that join it over loopback TCP.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "controlplane/keyserver/key_server.h"
#include "controlplane/keyserver/testing/test_client.h"
#include "handshake/testing/test_pki.h"

namespace sealcast::keyserver::testing {

using namespace std::chrono_literals;
using handshake::ClientConfig;
using nlohmann::json;
namespace pki = handshake::testing;

class KeyServerTest : public ::testing::Test {
 protected:
  KeyServerTest() : pki_(std::time(nullptr)) {
    char folder[] = "/tmp/sealcast-ks-XXXXXX";
    folder_ = mkdtemp(folder);
    const auto server = pki_.server("ks.example");
    config_.id = "ks";
    config_.listen = *config::ListenAddress::parse("127.0.0.1:0");
    config_.certificate = write_file("server.pem", server.chain_pem);
    config_.private_key = write_file("server.key", server.key_pem);
    config_.ca = write_file("ca.pem", pki_.ca_pem());
    config_.state = folder_ + "/ks.db";
    config_.handshake_timeout = 5s;
    config::KeyserverGroup group;
    group.id = "tv";
    Selector selector;
    selector.destination = *Prefix::parse("239.1.1.0/24");
    group.selectors = {selector};
    group.senders = {"sender", "sender2"};
    group.activation_delay = 400ms;
    group.deactivation_delay = 100ms;
    group.authority_lease = 1s;
    config_.groups = {group};
  }
  ~KeyServerTest() override {
    stop();
    const std::string command = "rm -rf " + folder_;
    EXPECT_EQ(std::system(command.c_str()), 0);
  }

  std::string write_file(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
    return path;
  }

  template <typename F>
  auto on_loop(F function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    asio::post(io_, [&task] { task(); });
    return result.get();
  }

  void start() {
    server_ = std::make_unique<KeyServer>(io_, config_, options_);
    const auto started = server_->start();
    ASSERT_TRUE(started.has_value()) << started.error().message;
    io_.restart();
    work_.emplace(asio::make_work_guard(io_));
    loop_ = std::thread([this] { io_.run(); });
  }
  void stop() {
    if (!loop_.joinable()) return;
    on_loop([this] { server_->stop(); });
    work_.reset();
    loop_.join();  // goodbyes end by themselves
    server_.reset();
  }
  Result<void> rekey() {
    return on_loop([this] { return server_->rekey("tv"); });
  }
  json status() {
    return json::parse(on_loop([this] { return admin::to_json(server_->status()); }));
  }
  std::uint64_t failed(const std::string& reason) {
    const json now = status();
    const auto& failures = now["handshakes"]["failed"];
    return failures.contains(reason) ? failures[reason].get<std::uint64_t>() : 0;
  }

  std::shared_ptr<ClientConfig> member_config(const pki::TestIdentity& identity) {
    auto config = std::make_shared<ClientConfig>();
    config->credentials = identity.credentials;
    config->server_trust = pki_.trust();
    config->server_name = "ks.example";
    config->multicast = handshake::MulticastWish{"tv", "ks"};
    config->accept_keying = [](const handshake::GroupKeying&, const handshake::EpochId&) { return Result<void>{}; };
    return config;
  }
  std::shared_ptr<ClientConfig> member_config(const std::string& name) {
    return member_config(pki_.member(name, {"tv"}));
  }
  std::unique_ptr<TestClient> connect(std::shared_ptr<ClientConfig> config) {
    return std::make_unique<TestClient>(server_->port(), std::move(config));
  }
  std::unique_ptr<TestClient> join(const std::string& name) {
    auto client = connect(member_config(name));
    EXPECT_TRUE(client->join()) << name << ": " << (client->error() ? client->error()->message() : "no answer");
    return client;
  }
  // The server sees the closing Finished a little after the client is done.
  bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds time = 5s) {
    const auto deadline = in(time);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(2ms);
    }
    return true;
  }
  bool members_are(std::size_t count) {
    return eventually([&] { return status()["members"] == count; });
  }

  pki::TestPki pki_;
  std::string folder_;
  config::KeyserverConfig config_;
  KeyServerOptions options_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work_;
  std::unique_ptr<KeyServer> server_;
  std::thread loop_;
};

}  // namespace sealcast::keyserver::testing
