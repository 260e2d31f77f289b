// The passwords of variant 3 as the member has them (H7): from a file or the service manager, read anew for every
// handshake that asks, or typed in once at start and kept in locked memory. Handed out only to a handshake that has
// verified the key server.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/secret.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

class MemberPasswords {
 public:
  using Ask = std::function<Result<SecretBytes>(const std::string& prompt)>;

  // Asks for what must be typed, once for each key server and user, and sees whether the rest can be read.
  Result<void> prepare(const config::MemberConfig& member, const Ask& ask);

  // For a group that uses a password.
  Result<handshake::PasswordCredential> credential(const config::MemberGroup& group) const;

 private:
  struct Typed {
    LockedArena memory;  // locked into RAM, out of core dumps, wiped on release (H14)
    std::size_t size = 0;
  };
  std::map<std::pair<std::string, std::string>, Typed> typed_;  // by key server's id and user
};

// Where an operator looks when the password is refused: "password_file /etc/…", "password_credential NAME", …
std::string place_of(const config::PasswordSource& source);

}  // namespace sealcast::member
