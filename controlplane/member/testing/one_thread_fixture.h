// A key server and members in one thread whose time a test moves, and whose key server's wall clock it steps.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "controlplane/member/testing/one_thread.h"
#include "controlplane/member/testing/together.h"

namespace sealcast::member::testing {

class OneThread : public Together {
 protected:
  void SetUp() override {
    Together::SetUp();
    server_.reset();  // the one over TCP
    server_config_.listen = *config::ListenAddress::parse("10.9.0.1:7400");
    server_config_.groups[0].epoch_lifetime = 1h;
    server_config_.groups[0].activation_delay = 10s;
    server_config_.groups[0].deactivation_delay = 10s;
    server_config_.groups[0].authority_lease = 30s;
    serve_here();
  }
  void TearDown() override {
    members_.clear();
    server_.reset();
    loop_->run_for(1min);  // sessions linger, and hold themselves until then
    Together::TearDown();
  }
  void serve_here() {
    server_.reset();
    keyserver::KeyServerOptions options;
    options.loop = loop_;
    options.door = [this] { return std::make_unique<PipeDoor>(network_); };
    options.unix_now = [this] { return loop_->unix_now() + stepped_.count(); };
    options.clock_difference = [this] { return stepped_; };
    server_ = std::make_unique<keyserver::KeyServer>(io_, server_config_, options);
    const auto started = server_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  // stepped: the member's wall clock is ahead by that; it outlives the member.
  Member& join_here(const std::string& name, config::MemberRole role, const std::chrono::seconds* stepped = nullptr) {
    auto& member = *members_.emplace_back(std::make_unique<Member>(1));
    MemberSettings settings = settings_of(name);
    settings.timing = {};
    settings.timing.poll = poll_;
    settings.timing.keepalive = keepalive_;
    settings.member.groups = {member_group(role)};
    settings.member.groups[0].keyservers = {{"10.9.0.1", 7400}};
    settings.seams.loop = loop_.get();
    settings.seams.open_link = PipeLink::over(network_);
    settings.seams.clocks = [this, stepped] {
      const std::chrono::nanoseconds ahead = stepped ? *stepped : 0s;
      return std::pair(std::chrono::nanoseconds(loop_->now().time_since_epoch()), loop_->unix_time() + ahead);
    };
    member.agent = std::make_unique<MemberAgent>(io_, settings, member.plane);
    const auto started = member.agent->start();
    EXPECT_TRUE(started) << started.error().message;
    return member;
  }
  static std::string state(const Member& member) { return member.group()["state"]; }

  std::shared_ptr<sealcast::testing::ManualLoop> loop_ = std::make_shared<sealcast::testing::ManualLoop>(
      SteadyTime(std::chrono::hours(1000)), std::chrono::seconds(std::time(nullptr)));
  PipeNetwork network_{*loop_};
  std::chrono::seconds stepped_{};  // the key server's wall clock
  std::chrono::milliseconds poll_{500}, keepalive_{5000};
};

}  // namespace sealcast::member::testing
