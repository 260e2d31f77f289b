#include "controlplane/keyserver/connection/password_check.h"

#include <algorithm>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"
#include "controlplane/keyserver/connection/peer_address.h"
#include "handshake/endpoint.h"

namespace sealcast::keyserver {

bool PasswordCheck::begin(PasswordGate& gate, handshake::PasswordPresented& presented, const std::string& host,
                          std::function<void()> answered) {
  user_ = presented.user;
  const auto& names = presented.certificate_names;
  foreign_user_ = !names.empty() && std::find(names.begin(), names.end(), user_) == names.end();
  auto done = [this, answered = std::move(answered)](const PasswordGate::Answer& answer) {
    answer_ = answer;
    ticket_.reset();
    answered();
  };
  // A member must not use up another user's attempts, or try another user's password.
  ticket_ = foreign_user_ ? gate.refuse(std::move(done))
                          : gate.check(std::move(presented.user), std::move(presented.secret), counted_address(host),
                                       std::move(done));
  return waiting();
}

std::string PasswordCheck::refusal() const {
  using Checked = PasswordGate::Verdict;
  return "user " + escaped(user_) + ": " +
         (foreign_user_                         ? "not a name of the member's certificate"
          : answer_.verdict == Checked::limited ? "too many attempts"
          : answer_.verdict == Checked::locked  ? "locked after too many wrong passwords; sealcast unlock USER"
          : answer_.verdict == Checked::failed  ? "the password could not be hashed: no memory?"
                                                : "unknown, or the password is wrong");
}

}  // namespace sealcast::keyserver
