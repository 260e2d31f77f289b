// KeyServer's inside: what its two source files share. key_server.cc: start and stop, the groups' deadlines, the public
// face. key_server_operations.cc: what an operator, a reload or another key server of the cluster asks for meanwhile.
#pragma once

#include <array>
#include <asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "controlplane/keyserver/cluster_seat.h"
#include "controlplane/keyserver/connection/carriage.h"
#include "controlplane/keyserver/connection/connections.h"
#include "controlplane/keyserver/connection/standard_answer.h"
#include "controlplane/keyserver/connection/standing_certificates.h"
#include "controlplane/keyserver/file_watch.h"
#include "controlplane/keyserver/key_server.h"
#include "controlplane/keyserver/settings.h"
#include "controlplane/keyserver/status.h"

namespace sealcast::keyserver {

class KeyServer::Impl final : public SessionHost, public std::enable_shared_from_this<KeyServer::Impl> {
 public:
  Impl(asio::io_context& io, config::KeyserverConfig config, KeyServerOptions options)
      : io_(io), config_(std::move(config)), options_(std::move(options)) {
    SessionSettings sessions{standard_answer(config_.id), options_.longest_keepalive, options_.max_output_bytes,
                             options_.control_burst, scratch_};
    connections_ = std::make_shared<Connections>(io_, config_, std::move(sessions), *this);
    look_timer_.emplace(io_);
  }

  Result<void> start();
  void stop();
  std::uint16_t port(config::Carriage carriage) const { return connections_->port(carriage); }
  Result<void> rekey(const std::string& group_id);
  Result<void> revoke(const std::string& member, const std::optional<std::string>& group_id);
  Result<void> reinstate(const std::string& member, const std::optional<std::string>& group_id);
  std::string revocations_json() const;
  Result<void> reload(const config::KeyserverConfig& config);
  std::string status_json() const { return to_json(status_input(), now().steady); }
  std::string groups_json() const { return keyserver::groups_json(status_input(), now().steady); }

  // SessionHost
  Moment now() const override;
  void notice_resume() override;
  bool serving() const override { return !seat_ || seat_->serving(); }
  GroupState* find_group_state(const std::string& group_id) override;
  void group_changed(GroupState& group) override;
  void handshake_completed(handshake::Flow flow) override { connections_->handshake_completed(flow); }
  void standard_client_answered(const std::string& address, const std::string& why) override {
    connections_->standard_client_answered(address, why);
  }
  void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) override {
    connections_->handshake_failed(reason, address, detail);
  }
  void session_over(Session& session) override { connections_->over(session); }
  std::unique_ptr<handshake::Endpoint> make_endpoint(const Peer& peer, handshake::GroupAuthority& groups) override;
  PasswordGate* passwords() override { return gate_.get(); }
  bool wait_for_slots(const std::string& group_id, std::function<void()> then) override {
    return seat_ && seat_->wait_for_slots(group_id, std::move(then));
  }

 private:
  struct Group {
    GroupState state;
    std::string standing;  // standing_of() today's configuration
    asio::steady_timer timer;
    std::optional<SteadyTime> armed;  // when the timer will fire
    Group(config::KeyserverGroup config, GroupContext& context, asio::io_context& io)
        : state(std::move(config), context), timer(io) {}
  };

  handshake::Random& random() const { return options_.random ? *options_.random : handshake::system_random(); }
  StatusInput status_input() const;
  void look_around();
  void use(std::shared_ptr<const handshake::ServerConfig> config);
  Result<void> open_state();
  Result<void> open_keeper();
  void note_alive();
  Result<void> read_revocations();
  void act_on_revocations();
  void act_on(const std::vector<store::Revocation>& fresh, const std::string& id, Group& group, bool looks_back);
  void note_standing();
  bool anybody_revoked_in(const std::string& group_id) const;
  Result<void> check_revocation(const std::string& member, const std::optional<std::string>& group_id);
  Result<std::optional<passwords::PasswordFile>> load_passwords(const config::KeyserverConfig& config);
  void add_group(const config::KeyserverGroup& config);
  void remove_groups();
  void go_on_revoking(const std::string& group_id);
  std::chrono::nanoseconds clock_difference() const;

  asio::io_context& io_;
  config::KeyserverConfig config_;
  KeyServerOptions options_;
  std::shared_ptr<const handshake::ServerConfig> server_config_;
  std::shared_ptr<const handshake::ServerConfig> isakmp_config_;  // the same without the standard flow
  std::shared_ptr<CookieJar> cookies_;                            // set where there is listen_isakmp
  std::unique_ptr<store::Store> store_;                           // of a key server that stands alone
  std::unique_ptr<EpochKeeper> keeper_;                           // likewise, with a wrapping key
  std::unique_ptr<ClusterSeat> seat_;                             // of one in a cluster
  PremasterVault vault_;  // outlives groups_: their epochs give their premasters back
  GroupContext context_;
  std::map<std::string, std::unique_ptr<Group>> groups_;
  // Groups that were removed, and until when senders that were theirs may go on (H11).
  std::map<std::string, SteadyTime> removed_;
  std::vector<store::Revocation> revocations_;  // as in the store
  std::set<store::Revocation> acted_upon_;      // in a cluster: those that groups of this process know of
  bool looked_back_ = false;  // likewise: etcd was read, and what the process before may have left undone was done
  std::unique_ptr<PasswordGate> gate_;  // set where a group uses passwords
  StandingCertificates certificates_;
  std::string
      trust_;  // a digest of the files that say which members stand, as last read: CA, revocation list, passwords
  std::string users_digest_;  // the passwords' part of it
  std::shared_ptr<Connections> connections_;
  FileWatch crl_file_;
  std::optional<asio::steady_timer> look_timer_;
  SteadyTime started_{};
  SteadyTime alive_again_{};
  std::chrono::nanoseconds clocks_{};  // real-time less boot-time clock
  bool running_ = false;
  std::array<std::uint8_t, 16 * 1024> scratch_{};
};

}  // namespace sealcast::keyserver
