// The one password that a connection presents (variant 3): its attempt at the gate, and what came of it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controlplane/keyserver/connection/password_gate.h"

namespace sealcast::handshake {
struct PasswordPresented;
}

namespace sealcast::keyserver {

class PasswordCheck {
 public:
  // Calls answered once, later, unless given up before. False: it is not called, since too many wait. What was
  // presented is moved out. host: the peer's address, as counted_address() takes it.
  bool begin(PasswordGate& gate, handshake::PasswordPresented& presented, const std::string& host,
             std::function<void()> answered);
  bool waiting() const { return ticket_ != nullptr; }
  void give_up() { ticket_.reset(); }

  // Once answered.
  bool accepted() const { return answer_.verdict == PasswordGate::Verdict::right; }
  const std::string& stamp() const { return answer_.stamp; }
  std::string refusal() const;  // for the log

  const std::string& user() const { return user_; }

 private:
  std::string user_;
  bool foreign_user_ = false;  // the user is none of the names of the member's certificate
  std::shared_ptr<PasswordGate::Ticket> ticket_;
  PasswordGate::Answer answer_;
};

}  // namespace sealcast::keyserver
