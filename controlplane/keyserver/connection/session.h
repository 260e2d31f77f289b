// One TCP connection of the key server: drives a handshake endpoint, keeps its deadlines and bounds, and is the link
// through which the group reaches the member (H13: no buffer per connection but what waits to be sent).
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "controlplane/keyserver/connection/carriage.h"
#include "controlplane/keyserver/connection/handshake_turns.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/group/group_state.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {

class Session;

// What a session needs of its key server.
class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual Moment now() const = 0;
  // Before slots are issued: has this machine been resumed from a snapshot (H9)?
  virtual void notice_resume() = 0;
  // False: members' leases must not be renewed, since others may shut them out unheard (H11).
  virtual bool serving() const { return true; }
  virtual GroupState* find_group_state(const std::string& group_id) = 0;
  virtual void group_changed(GroupState& group) = 0;  // its next deadline may be another
  virtual void handshake_completed(handshake::Flow flow) = 0;
  // A standard client got its line; why not, if it did not.
  virtual void standard_client_answered(const std::string& address, const std::string& why) = 0;
  virtual void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) = 0;
  virtual void session_over(Session& session) = 0;  // may destroy the host's last reference
  virtual std::shared_ptr<const handshake::ServerConfig> server_config(config::Carriage carriage) const = 0;
  virtual CookieJar& cookies() = 0;       // called only where a session is carried in ISAKMP
  virtual PasswordGate* passwords() = 0;  // nullptr: no group uses passwords
  virtual handshake::Random& random() = 0;
  virtual HandshakeTurns& turns() = 0;
  // True: nothing can be issued in the group yet, but soon; then is called once, from the loop, when it can be or does
  // not come. False: go on.
  virtual bool wait_for_slots(const std::string& /*group_id*/, std::function<void()> /*then*/) { return false; }
  virtual ByteSpan scratch() = 0;  // shared by all sessions, for one read at a time
  virtual const std::string& standard_answer() const = 0;
  virtual std::chrono::milliseconds handshake_timeout() const = 0;
  virtual std::chrono::milliseconds longest_keepalive() const = 0;
  virtual std::size_t max_output_bytes() const = 0;
  // How much of a member's allowance of control messages may be used at once, in time.
  virtual std::chrono::milliseconds control_burst() const = 0;
};

class Session final : public std::enable_shared_from_this<Session>,
                      public MemberLink,
                      public handshake::GroupAuthority {
 public:
  Session(asio::ip::tcp::socket socket, std::string address, std::string peer_host, SessionHost& host);
  ~Session() override;

  void start(config::Carriage carriage);
  // The host goes away: says close_notify, sends what is queued, and ends on its own soon after.
  void detach();
  const std::string& address() const { return address_; }
  const std::string& host() const { return peer_host_; }  // the address without its port
  bool joined() const { return phase_ == State::joined; }

  // MemberLink
  void deliver(const handshake::ControlMessage& message) override;
  void dismiss(const std::string& why) override;
  config::Carriage carriage() const override { return carriage_; }
  // GroupAuthority, called from inside the endpoint's receive()
  std::optional<handshake::GroupFlow> find_group(const std::string& group_id) override;
  Result<handshake::GroupKeying> issue(const std::string& group_id, const handshake::PeerIdentity& member) override;
  bool may_come_again() const override { return come_again_; }

 private:
  enum class State : std::uint8_t { handshaking, joined, closing, dead };

  void wait_readable();
  bool wait_for_slots(std::function<void()> then);
  void readable();
  void read();
  void consume(ByteView bytes);
  void handle_events();
  void established(handshake::Established& event);
  void check_password(handshake::PasswordPresented& presented);
  void password_checked(const PasswordGate::Answer& answer);
  void refused(const handshake::HandshakeError& error);
  bool peer_is_gone();
  void flush();
  void write();
  void wait_for(std::chrono::milliseconds delay, void (Session::*then)());
  void handshake_overdue();
  void keepalive();
  void answer();
  bool within_budget();
  void doom();
  void overflow();
  void failed(const std::string& reason, const std::string& detail);
  void lost(const std::string& detail);
  void leave_groups();
  bool listening() const { return phase_ == State::joined && !dismissed_; }
  void linger();
  // session_groups.cc: further groups on this connection (GroupJoin)
  void take_control(const handshake::ControlMessage& message);
  void ask(const std::string& group_id);
  void go_on_joining();
  void join_next();
  void join_further(const std::string& group_id);
  void wait_for_keepalive();
  std::size_t most_output() const;
  void give_up(const std::string& why);
  void end();

  asio::ip::tcp::socket socket_;
  asio::steady_timer timer_;
  std::uint64_t timer_round_ = 0;
  std::string address_;    // "10.0.0.1:50000"
  std::string peer_host_;  // "10.0.0.1"
  SessionHost* host_;
  config::Carriage carriage_ = config::Carriage::tls;
  std::unique_ptr<handshake::Endpoint> endpoint_;
  State phase_ = State::handshaking;
  std::string refusal_;  // why issue() gave nothing, or why the password was refused; for the log
  std::shared_ptr<PasswordGate::Ticket> checking_;  // set: the password is being checked, and nothing is read meanwhile
  std::string user_;                                // whose it is
  bool come_again_ = false;                         // refusal_ does not lie in the member
  std::string stamp_;                               // of the password that was right
  std::string asked_for_;                           // the group of the ClientHello
  static constexpr std::chrono::seconds longest_wait_for_slots{3};  // of a key server among several
  SteadyTime slots_by_{};                                           // until then it waits for slots of it
  std::string group_id_;                                            // of the handshake; set by issue()
  handshake::GroupFlow flow_;                                       // likewise
  Given given_;
  std::set<std::string> groups_;            // that it is in; one at least while it is joined
  std::vector<std::string> asked_further_;  // further ones that it asked for, the oldest first
  bool joining_ = false;                    // a turn for the first of them is on its way
  bool further_groups_ = false;             // it has asked for one, ever
  bool writing_ = false;
  bool sent_eof_ = false;
  bool dismissed_ = false;  // and told so in each of its groups, before it closes in a turn of its own
  bool doomed_ = false;     // too much output waits; overflow() is on its way
  bool heard_ = false;      // any byte came from the peer
  Bytes out_;               // waits for the write under way
  Bytes in_flight_;
  std::uint64_t keepalive_heard_ = 0;  // the member's highest
  std::chrono::milliseconds keepalive_every_{};
  bool answer_due_ = false;
  bool foreign_user_ = false;  // the user is none of the certificate's names
  SteadyTime control_used_{};  // up to when its allowance of control messages is used up
};

}  // namespace sealcast::keyserver
