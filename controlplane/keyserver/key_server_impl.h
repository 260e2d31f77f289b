// KeyServer's inside. key_server.cc: start and stop, and the public face. key_server_operations.cc: what an operator, a
// reload or another key server of the cluster asks for meanwhile.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "controlplane/keyserver/clocks.h"
#include "controlplane/keyserver/connection/carriage.h"
#include "controlplane/keyserver/connection/connections.h"
#include "controlplane/keyserver/connection/standard_answer.h"
#include "controlplane/keyserver/credentials.h"
#include "controlplane/keyserver/hosted_groups.h"
#include "controlplane/keyserver/key_server.h"
#include "controlplane/keyserver/persistence.h"
#include "controlplane/keyserver/revocations.h"
#include "controlplane/keyserver/status.h"

namespace sealcast::keyserver {

class KeyServer::Impl final : public SessionHost {
 public:
  // Without empty options.
  Impl(config::KeyserverConfig config, KeyServerOptions options)
      : config_(std::move(config)),
        options_(std::move(options)),
        loop_(*options_.loop),
        clocks_({options_.boot_time, [this] { return options_.unix_now ? options_.unix_now() : loop_.unix_now(); },
                 options_.clock_difference},
                config_.clock_tolerance) {
    SessionSettings sessions{standard_answer(config_.id), options_.longest_keepalive, options_.max_output_bytes,
                             options_.control_burst, scratch_};
    connections_ = std::make_shared<Connections>(loop_, options_.door, config_, std::move(sessions), *this);
    groups_.before_deadlines([this] { notice_resume(); });
  }

  Result<void> start();
  void stop();
  std::uint16_t port(config::Carriage carriage) const { return connections_->port(carriage); }
  Result<void> rekey(const std::string& group_id);
  Result<void> revoke(const std::string& member, const std::optional<std::string>& group_id);
  Result<void> reinstate(const std::string& member, const std::optional<std::string>& group_id);
  Result<void> unlock(const std::string& user);
  std::set<std::string> known_names(const std::optional<std::string>& group_id) const;
  admin::Revocations revocations() const;
  Result<void> accept_clock();
  Result<void> reload(const config::KeyserverConfig& config);
  admin::KeyserverStatus status() const { return whole_status(status_input(), now().steady); }
  admin::KeyserverGroups groups() const { return groups_status(status_input(), now().steady); }

  // SessionHost
  Moment now() const override;
  void notice_resume() override;
  handshake::ClockReading clock() const override {
    return context_.clock ? context_.clock->read() : handshake::ClockReading{};
  }
  bool knows(const handshake::PeerIdentity& member, const std::string& group_id) const override;
  bool serving() const override { return !persistence_.seat() || persistence_.seat()->serving(); }
  GroupState* find_group_state(const std::string& group_id) override { return groups_.state(group_id); }
  void group_changed(GroupState& group) override { groups_.changed(group); }
  void password_accepted(const std::string& user, const std::string& address) override {
    connections_->password_accepted(user, address);
  }
  void handshake_completed(handshake::Flow flow) override { connections_->handshake_completed(flow); }
  void standard_client_answered(const std::string& address, const std::string& why) override {
    connections_->standard_client_answered(address, why);
  }
  void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) override {
    connections_->handshake_failed(reason, address, detail);
  }
  void session_joined(Session& session) override { connections_->joined(session); }
  void session_over(Session& session) override { connections_->over(session); }
  std::unique_ptr<handshake::Endpoint> make_endpoint(const Peer& peer, handshake::GroupAuthority& groups) override;
  PasswordGate* passwords() override { return credentials_.passwords(); }
  bool wait_for_slots(const std::string& group_id, std::function<void()> then) override {
    return persistence_.seat() && persistence_.seat()->wait_for_slots(group_id, std::move(then));
  }

 private:
  handshake::Random& random() const { return options_.random ? *options_.random : handshake::system_random(); }
  StatusInput status_input() const;
  void fill_context(std::uint8_t slot_bits);
  void look_around();
  void act_on_revocations();
  void act_on(const std::vector<store::Revocation>& fresh, HostedGroups::Hosted& group, bool looks_back);
  void note_standing();
  Result<void> check_revocation(const std::string& member, const std::optional<std::string>& group_id);
  void add_group(const config::KeyserverGroup& config);

  config::KeyserverConfig config_;
  KeyServerOptions options_;
  Loop& loop_;
  Credentials credentials_{loop_, options_.passwords, random()};
  Persistence persistence_;  // outlives groups_: their epochs give their premasters back
  GroupContext context_;
  HostedGroups groups_{loop_, context_, [this] { return now(); }};
  Revocations revocations_;
  bool looked_back_ = false;            // in a cluster: etcd was read, and what the process before left undone was done
  std::shared_ptr<CookieJar> cookies_;  // set where there is listen_isakmp
  std::shared_ptr<Connections> connections_;
  Clocks clocks_;
  std::unique_ptr<Timer> look_timer_ = loop_.timer();
  std::optional<SteadyTime> started_;  // empty: it does not run
  std::array<std::uint8_t, 16 * 1024> scratch_{};
};

}  // namespace sealcast::keyserver
