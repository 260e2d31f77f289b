// One connection of the key server: drives a handshake endpoint, keeps its deadlines and bounds, and is the link
// through which groups reach the member (H13: no buffer per connection but what waits to be sent).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "controlplane/keyserver/connection/control_budget.h"
#include "controlplane/keyserver/connection/first_group.h"
#include "controlplane/keyserver/connection/handshake_turns.h"
#include "controlplane/keyserver/connection/join_queue.h"
#include "controlplane/keyserver/connection/memberships.h"
#include "controlplane/keyserver/connection/outbox.h"
#include "controlplane/keyserver/connection/password_check.h"
#include "controlplane/keyserver/connection/session_host.h"
#include "controlplane/keyserver/connection/transport.h"

namespace sealcast::keyserver {

class Session final : public std::enable_shared_from_this<Session>, public MemberLink {
 public:
  // settings, turns and host have to be there until detach(), or for as long as the session.
  Session(std::unique_ptr<Transport> transport, Peer peer, const SessionSettings& settings, HandshakeTurns& turns,
          SessionHost& host);

  // The handshake has to be over within handshake_timeout.
  void start(std::chrono::milliseconds handshake_timeout);
  // The host goes away: says close_notify, sends what is queued, and ends on its own soon after.
  void detach();
  const Peer& peer() const { return peer_; }

  // MemberLink
  void deliver(const handshake::ControlMessage& message) override;
  void dismiss(const std::string& why) override;
  config::Carriage carriage() const override { return peer_.carriage; }

 private:
  // A session passes through these in their order and may leave some out; from checking it goes back to handshaking.
  enum class State : std::uint8_t {
    fresh,        // nothing came yet
    handshaking,  // reads, each time after it has waited for its turn, and for slots of its group
    checking,     // the password is at the gate, or its answer waits for slots; nothing is read
    joined,       // in one group at least
    dismissed,    // by one of its groups, and told so by it; the others are left in a turn of its own
    overflowing,  // too much output waits; nothing is read, and the connection ends in a turn of its own
    closing,      // what is queued leaves, what comes is discarded
    dead,
  };
  using Step = void (Session::*)();

  bool is_handshaking() const { return state_ <= State::checking; }
  bool is_ending() const { return state_ >= State::closing; }
  bool may_read() const;
  std::function<void()> later(Step step);

  void wait_readable();
  void readable();
  void take_turn();
  bool wait_for_slots(Step then);
  void read();
  void consume(ByteView bytes);
  void handle_events();
  void established(handshake::Established& event);
  void check_password(handshake::PasswordPresented& presented);
  void password_checked();
  void refused(const handshake::HandshakeError& error);

  void take_control(const handshake::ControlMessage& message);
  void ask(const std::string& group_id);
  void go_on_joining();
  void join_next();

  void flush();
  void write();
  void overflow();
  void overflowed();

  void handshake_overdue();
  void wait_for_keepalive();
  void keepalive();

  void failed(const std::string& reason, const std::string& detail);
  void lost(const std::string& detail);
  void leave_groups();
  void give_up(const std::string& why);
  void leave();
  void linger();
  void end();

  std::unique_ptr<Transport> transport_;
  const Peer peer_;
  const SessionSettings& settings_;
  HandshakeTurns& turns_;
  SessionHost* host_;  // nullptr: detached, so closing or dead
  State state_ = State::fresh;
  FirstGroup first_;
  std::unique_ptr<handshake::Endpoint> endpoint_;  // asks first_
  PasswordCheck password_;
  Memberships groups_;
  JoinQueue joins_;
  Outbox outbox_;
  ControlBudget budget_;
  std::uint64_t keepalive_heard_ = 0;  // the member's highest
  std::chrono::milliseconds keepalive_every_{};
};

}  // namespace sealcast::keyserver
