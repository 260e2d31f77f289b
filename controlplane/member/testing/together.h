// Member agents and the real key server in one process, over loopback TCP.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "controlplane/keyserver/key_server.h"
#include "controlplane/member/member_agent.h"
#include "controlplane/member/testing/fake_data_plane.h"
#include "controlplane/pki/folder.h"

namespace sealcast::member::testing {

using namespace std::chrono_literals;
using Json = nlohmann::json;

class Together : public ::testing::Test {
 protected:
  struct Member {
    explicit Member(std::uint32_t workers) : plane(workers) {}
    FakeDataPlane plane;
    std::unique_ptr<MemberAgent> agent;
    Json group() const { return Json::parse(admin::to_json(agent->status()))["groups"][0]; }
    std::uint64_t epoch() const { return group().value("epoch", std::uint64_t{0}); }
  };

  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    std::string pattern = ::testing::TempDir() + "sealcast-together-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    pki::FolderOptions options;
    options.folder = folder_;
    options.now = std::time(nullptr);
    ASSERT_TRUE(pki::init(options, "CA"));
    ASSERT_TRUE(pki::make_server(options, "ks.example"));
    for (const char* name : {"studio", "home", "attic"})
      ASSERT_TRUE(pki::make_member(options, name, {"tv"}));

    server_config_.id = "cluster-1";
    server_config_.listen = *config::ListenAddress::parse("127.0.0.1:0");
    server_config_.certificate = folder_ + "/ks.example.pem";
    server_config_.private_key = folder_ + "/ks.example.key";
    server_config_.ca = folder_ + "/ca.pem";
    server_config_.crl = folder_ + "/crl.pem";
    server_config_.state = folder_ + "/keyserver.db";
    if (carriage_ == config::Carriage::isakmp) server_config_.listen_isakmp = server_config_.listen;
    config::KeyserverGroup group;
    group.id = "tv";
    group.selectors = {{*Prefix::parse("239.1.1.0/24"), {}, {}, {}}};
    group.senders = {"studio"};
    group.activation_delay = 300ms;
    group.deactivation_delay = 200ms;
    adjust(group);
    server_config_.groups.push_back(group);
    serve();
  }
  virtual void adjust(config::KeyserverGroup&) {}
  void TearDown() override {
    for (auto& member : members_)
      member->agent.reset();
    server_.reset();
    io_.poll();
    std::filesystem::remove_all(folder_);
    spdlog::set_level(spdlog::level::info);
  }
  void serve() {
    server_ = std::make_unique<keyserver::KeyServer>(io_, server_config_);
    const auto started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
    server_config_.listen->port = server_->port();  // the same after a restart
    if (server_config_.listen_isakmp) server_config_.listen_isakmp->port = server_->port(config::Carriage::isakmp);
  }
  config::MemberGroup member_group(config::MemberRole role) const {
    config::MemberGroup group;
    group.id = "tv";
    group.role = role;
    group.carriage = carriage_;
    group.keyservers = {{host_, server_->port(carriage_)}};
    group.keyserver_name = "ks.example";
    group.keyserver_id = "cluster-1";
    group.selectors = {{*Prefix::parse("239.1.0.0/16"), {}, {}, {}}};
    return group;
  }
  MemberSettings settings_of(const std::string& name) const {
    MemberSettings settings;
    settings.member.certificate = folder_ + "/" + name + ".pem";
    settings.member.private_key = folder_ + "/" + name + ".key";
    settings.member.ca = folder_ + "/ca.pem";
    settings.member.crl = folder_ + "/crl.pem";
    settings.state_file = folder_ + "/" + name + ".state";
    settings.timing.poll = 10ms;
    settings.timing.backoff_first = 20ms;
    settings.timing.backoff_max = 200ms;
    settings.timing.status_report = report_every_;
    return settings;
  }
  Member& join(const std::string& name, config::MemberRole role, std::uint32_t workers = 1,
               const std::vector<config::MemberGroup>& more = {}) {
    auto& member = *members_.emplace_back(std::make_unique<Member>(workers));
    MemberSettings settings = settings_of(name);
    settings.member.groups = {member_group(role)};
    settings.member.groups.insert(settings.member.groups.end(), more.begin(), more.end());
    member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
    const auto started = member.agent->start();
    EXPECT_TRUE(started) << started.error().message;
    // Not after each step of the loop: the status of hundreds of groups costs more than what it looks at.
    const auto end = std::chrono::steady_clock::now() + 15s;
    while (member.group()["state"] != "joined" && std::chrono::steady_clock::now() < end)
      io_.run_for(5ms);
    EXPECT_EQ(member.group()["state"], "joined") << admin::to_json(member.agent->status());
    return member;
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
  // Every SPI the sender seals under must stand at the receiver with the same key (P5, P38): at once where the slot was
  // granted before the receiver got the epoch, else as soon as it has looked ahead.
  void expect_heard(const Member& from, const Member& to, std::uint64_t epoch) {
    const auto* out = from.plane.find(epoch);
    const auto* in = to.plane.find(epoch);
    ASSERT_NE(out, nullptr);
    ASSERT_NE(in, nullptr);
    ASSERT_FALSE(out->outbound.empty());
    for (const std::uint32_t spi : out->outbound)
      EXPECT_TRUE(until([&] { return in->inbound.count(spi) == 1; })) << spi;
    for (const OutboundSa& sent : out->value.outbound)
      for (const InboundSa& heard : in->value.inbound)
        if (heard.key.spi == sent.key.spi) {
          EXPECT_TRUE(heard.key.key.equals(sent.key.key));
          EXPECT_EQ(heard.key.salt, sent.key.salt);
        }
  }

  config::Carriage carriage_ = config::Carriage::tls;
  std::chrono::milliseconds report_every_{100};
  std::string host_ = "127.0.0.1";
  std::string folder_;
  asio::io_context io_;
  config::KeyserverConfig server_config_;
  std::unique_ptr<keyserver::KeyServer> server_;
  std::vector<std::unique_ptr<Member>> members_;
};

}  // namespace sealcast::member::testing
