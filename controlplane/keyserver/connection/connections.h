// The way in to the key server: the listening ports (TLS, ISAKMP: P34), the connections that were accepted there, how
// many they may be (H13), and what is counted and logged of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "controlplane/config/config.h"
#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/connection_limits.h"
#include "controlplane/keyserver/connection/counters.h"
#include "controlplane/keyserver/connection/door.h"
#include "controlplane/keyserver/connection/handshake_turns.h"
#include "controlplane/keyserver/connection/session.h"

namespace sealcast::keyserver {

class Connections final : public std::enable_shared_from_this<Connections> {
 public:
  // loop, config and host must outlive it; config is looked at anew for each connection.
  Connections(Loop& loop, MakeDoor make_door, const config::KeyserverConfig& config, SessionSettings settings,
              SessionHost& host);
  ~Connections();

  // Binds the ports of the configuration; all or none. No connection is let in before accept(). Also an error where
  // this process may hardly open any connection.
  Result<void> listen();
  void accept();
  // Closes the ports and says goodbye to all.
  void stop();

  std::uint16_t port(config::Carriage carriage) const;  // 0: no such listener
  std::optional<config::ListenAddress> listening(config::Carriage carriage) const;
  std::size_t count() const { return sessions_.size(); }
  // Tells it where fewer connections fit than the configuration allows.
  void note_limit() const;
  const Counters& counters() const { return counters_; }

  // What sessions tell their host.
  void joined(Session& session);
  void over(Session& session);
  void password_accepted(const std::string& user, const std::string& address);
  void handshake_completed(handshake::Flow flow);
  void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail);
  void standard_client_answered(const std::string& address, const std::string& why);

 private:
  struct Listener;
  struct Open {
    std::shared_ptr<Session> session;
    bool joined = false;
  };

  Result<void> listen(config::Carriage carriage, const config::ListenAddress& at);
  void accept(Listener& listener);
  void accepted(Door::Came came, config::Carriage carriage);
  bool may_log(std::string_view kind, Event& event);
  void log_failure(std::string_view kind, Event event);

  Loop& loop_;
  const MakeDoor make_door_;
  const config::KeyserverConfig& config_;
  const SessionSettings settings_;
  SessionHost& host_;
  bool accepting_ = false;
  std::vector<std::unique_ptr<Listener>> listeners_;  // filled once
  std::shared_ptr<HandshakeTurns> turns_;
  std::unordered_map<Session*, Open> sessions_;
  ConnectionLimits limits_;
  std::size_t fit_ = 0;  // connections, into this process
  Counters counters_;
  LineBudget strangers_lines_;
};

}  // namespace sealcast::keyserver
