// What the sessions of one key server are given once, and what they ask of it and tell it.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/group/group_state.h"
#include "handshake/endpoint.h"
#include "handshake/isakmp/cookie.h"

namespace sealcast::keyserver {

class Session;

// The other end of a connection, and what its bytes travel in.
struct Peer {
  isakmp::PeerAddress place;
  std::string host;     // "10.0.0.1"
  std::string address;  // "10.0.0.1:50000"
  config::Carriage carriage = config::Carriage::tls;
};

// The same for all sessions of one key server, and for as long as it runs.
struct SessionSettings {
  std::string standard_answer;                    // the line that a standard client gets
  std::chrono::milliseconds longest_keepalive{};  // keepalives leave at least that often
  std::size_t max_output_bytes = 0;               // that may wait for a member of one group
  std::chrono::milliseconds control_burst{};      // of a member's allowance of control messages, used at once
  ByteSpan scratch;                               // shared by all sessions, for one read at a time
};

class SessionHost {
 public:
  virtual ~SessionHost() = default;
  virtual Moment now() const = 0;
  // Before slots are issued: has this machine been resumed from a snapshot (H9)?
  virtual void notice_resume() = 0;
  virtual handshake::ClockReading clock() const { return {}; }
  // False: members' leases must not be renewed, since others may shut them out unheard (H11).
  virtual bool serving() const { return true; }
  // Whether the member under this certificate has keys of the group (H19).
  virtual bool knows(const handshake::PeerIdentity& /*member*/, const std::string& /*group_id*/) const { return false; }
  virtual GroupState* find_group_state(const std::string& group_id) = 0;
  virtual void group_changed(GroupState& group) = 0;  // its next deadline may be another
  // For a connection that begins. groups outlives the endpoint, which is called only while the host is there.
  virtual std::unique_ptr<handshake::Endpoint> make_endpoint(const Peer& peer, handshake::GroupAuthority& groups) = 0;
  virtual PasswordGate* passwords() = 0;  // nullptr: no group uses passwords
  // True: nothing can be issued in the group yet, but soon; then is called once, from the loop, when it can be or does
  // not come. False: go on.
  virtual bool wait_for_slots(const std::string& /*group_id*/, std::function<void()> /*then*/) { return false; }
  virtual void password_accepted(const std::string& /*user*/, const std::string& /*address*/) {}
  virtual void handshake_completed(handshake::Flow flow) = 0;
  // A standard client got its line; why not, if it did not.
  virtual void standard_client_answered(const std::string& address, const std::string& why) = 0;
  virtual void handshake_failed(const std::string& reason, const std::string& address, const std::string& detail) = 0;
  virtual void session_joined(Session& /*session*/) {}  // it is a member's from now on
  virtual void session_over(Session& session) = 0;      // may destroy the host's last reference
};

}  // namespace sealcast::keyserver
