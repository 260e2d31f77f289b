// One agent, a data plane that only remembers, and a key server that says what the test wants, over real TCP and the
// real handshake, with certificates as the operator's tool makes them. Everything runs on the test's own loop.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/atomic_file.h"
#include "controlplane/member/member_agent.h"
#include "controlplane/member/testing/fake_data_plane.h"
#include "controlplane/member/testing/scripted_key_server.h"
#include "controlplane/pki/certificates.h"

namespace sealcast::member::testing {

using namespace std::chrono_literals;

constexpr std::int64_t day = 86400;  // seconds

class AgentFixture : public ::testing::Test {
 protected:
  explicit AgentFixture(std::uint32_t workers = 1) : plane_(workers) {}

  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "sealcast-agent-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    write("ca.pem", ca_.certificate_pem());
    member_certificate(now_ - day, now_ + day);

    config::MemberGroup group;
    group.id = "tv";
    group.role = config::MemberRole::both;
    group.keyserver_name = "ks.example";
    group.keyserver_id = "ks.example";
    group.selectors = handshake::testing::sample_keying().policy.selectors;
    settings_.member.certificate = folder_ + "/member.pem";
    settings_.member.private_key = folder_ + "/member.key";
    settings_.member.ca = folder_ + "/ca.pem";
    settings_.member.groups.push_back(group);
    settings_.state_file = folder_ + "/state";
    settings_.timing.poll = 5ms;
    settings_.timing.backoff_first = 10ms;
    settings_.timing.backoff_max = 100ms;
    settings_.timing.keepalive = 100ms;
    settings_.timing.status_report = 50ms;

    log_ = std::make_shared<std::ostringstream>();
    previous_ = spdlog::default_logger();
    auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::ostream_sink_st>(*log_));
    logger->set_pattern("%l %v");
    spdlog::set_default_logger(logger);
  }
  void TearDown() override {
    agent_.reset();
    server_.reset();
    io_.poll();
    spdlog::set_default_logger(previous_);
    std::filesystem::remove_all(folder_);
  }

  static pki::Authority authority() {
    return std::move(*pki::Authority::create("CA", pki::KeyKind::ecdsa_p256,
                                             {std::time(nullptr) - 2 * day, std::time(nullptr) + 100 * day}));
  }
  void write(const std::string& file, const std::string& text) {
    ASSERT_TRUE(write_file_atomically(folder_ + "/" + file, as_bytes(text), 0600, IfExists::replace));
  }
  void write_identity(const pki::Identity& identity, const std::string& name) {
    write(name + ".pem", identity.certificate_pem);
    ASSERT_TRUE(
        write_file_atomically(folder_ + "/" + name + ".key", identity.private_key_pem.view(), 0600, IfExists::replace));
  }
  void member_certificate(std::int64_t from, std::int64_t to, const std::string& group = "tv") {
    write_identity(*ca_.issue(pki::MemberRequest{"studio", {group}, pki::KeyKind::ecdsa_p256, {from, to}}), "member");
  }
  handshake::ServerConfig server_config(const pki::Identity& identity) {
    handshake::ServerConfig config;
    config.credentials = *handshake::Credentials::from_pem(
        identity.certificate_pem,
        {reinterpret_cast<const char*>(identity.private_key_pem.data()), identity.private_key_pem.size()});
    config.member_trust = *handshake::TrustStore::from_pem(ca_.certificate_pem(), "");
    return config;
  }
  pki::Identity server_identity(std::int64_t from, std::int64_t to) {
    return std::move(*ca_.issue(pki::ServerRequest{"ks.example", pki::KeyKind::ecdsa_p256, {from, to}}));
  }
  // Hands out the sample keying, a new slot each time as a key server must (H9).
  void serve(std::uint16_t port = 0) { serve_with(server_config(server_identity(now_ - day, now_ + day)), port); }
  void serve_with(handshake::ServerConfig config, std::uint16_t port = 0) {
    server_ = std::make_unique<ScriptedKeyServer>(io_, std::move(config), port);
    server_->authority.keying.epoch = epoch_;
    server_->authority.tamper = [this](handshake::GroupKeying& keying) {
      keying.assignment.first_slot = next_slot_++;
      keying.policy.slots_used = next_slot_;
      if (tamper_) tamper_(keying);
    };
    settings_.member.groups[0].keyservers = {{"127.0.0.1", server_->port()}};
  }
  void start() {
    agent_ = std::make_unique<MemberAgent>(io_, settings_, plane_);
    const auto started = agent_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  template <typename Condition>
  bool until(Condition condition, std::chrono::milliseconds limit = 15s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      io_.run_one_for(10ms);
    }
    return true;
  }
  void pass(std::chrono::milliseconds time) { io_.run_for(time); }
  nlohmann::json group() const { return nlohmann::json::parse(admin::to_json(agent_->status()))["groups"][0]; }
  bool joined(int times = 1) {
    return until([&] { return group()["state"] == "joined" && group()["joins"] >= times; });
  }
  std::string why() const { return group()["why"]; }
  // Runs until a join failed; returns the reason.
  std::string refusal() {
    EXPECT_TRUE(until([&] { return group()["failures"] > 0; })) << admin::to_json(agent_->status());
    EXPECT_EQ(group()["joins"], 0);
    EXPECT_TRUE(plane_.held.empty()) << "H3: keys were installed all the same";
    EXPECT_THAT(log_->str(), ::testing::HasSubstr(why())) << "one clear line";
    return why();
  }
  // The next epoch as GroupUpdate carries it.
  handshake::GroupKeying next(std::uint64_t step = 1, handshake::EpochState state = handshake::EpochState::pending) {
    handshake::GroupKeying keying = handshake::testing::sample_keying();
    keying.epoch = epoch_ + step;
    keying.state = state;
    keying.policy.spi_prefix = 0x10000000u + static_cast<std::uint32_t>(step) * 0x10000u;
    keying.policy.deactivation_delay_ms = 200;
    keying.premaster.data()[0] = static_cast<std::uint8_t>(0x80 + step);
    return keying;
  }
  bool update(const handshake::GroupKeying& keying) {
    return server_->say(handshake::GroupUpdate{handshake::testing::clone(keying)});
  }

  const std::int64_t now_ = std::time(nullptr);
  const std::uint64_t epoch_ = 1ull << 40;
  pki::Authority ca_ = authority();
  std::string folder_;
  asio::io_context io_;
  FakeDataPlane plane_;
  MemberSettings settings_;
  std::uint16_t next_slot_ = 2;
  std::function<void(handshake::GroupKeying&)> tamper_;
  std::unique_ptr<ScriptedKeyServer> server_;
  std::unique_ptr<MemberAgent> agent_;
  std::shared_ptr<std::ostringstream> log_;
  std::shared_ptr<spdlog::logger> previous_;
};

}  // namespace sealcast::member::testing
