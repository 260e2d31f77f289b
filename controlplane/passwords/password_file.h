// The passwords of a key server's users, as Argon2id hashes in a text file (H7).
//
//   # a comment; empty lines are fine
//   anna:$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHQ…$aGFzaA…
//
// One line per user, mode 0600. All hashes of a file have the same cost, so that no answer's delay tells one user, or
// no user, from another (AUTH-2).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"
#include "base/secret.h"

namespace sealcast::passwords {

// The names that valid_user() accepts, for messages.
inline constexpr std::string_view user_form = "1 to 64 characters A-Z a-z 0-9 . _ - @";
static_assert(max_name_bytes == 64);
inline constexpr std::size_t max_users = 10'000;
inline constexpr std::size_t max_file_bytes = 4 * 1024 * 1024;

// The cost of one Argon2id (one lane, RFC 9106).
struct HashCost {
  std::uint32_t memory_kib = 64 * 1024;
  std::uint32_t passes = 3;
  std::string text() const;                              // "m=65536,t=3,p=1", as in the file
  static Result<HashCost> parse(std::string_view text);  // the same, with or without ",p=1"
  friend bool operator==(const HashCost&, const HashCost&) = default;
};

// The cost of new files, and the bounds for a file's own cost: cheap hashes can be guessed, and costly ones let an
// attacker's attempts stop the server.
struct HashPolicy {
  HashCost preferred{};
  HashCost least{19 * 1024, 2};
  HashCost most{1024 * 1024, 16};
  bool allows(const HashCost& cost) const {
    return cost.memory_kib >= least.memory_kib && cost.passes >= least.passes && cost.memory_kib <= most.memory_kib &&
           cost.passes <= most.passes;
  }
};

class PasswordFile {
 public:
  // An error is one line that begins with "NAME:LINE: ". Computes one hash (for unknown users), so that it takes as
  // long as a verification.
  static Result<PasswordFile> parse(std::string_view text, const std::string& name, const HashPolicy& policy = {});

  // Refuses a file that others may read or write, that is no regular file, or that is larger than max_file_bytes.
  static Result<PasswordFile> load(const std::string& path, const HashPolicy& policy = {});

  // True if the user exists and this is the password. Runs exactly one Argon2id of the file's cost for any user and any
  // length, and never reveals which of the two was wrong. An Error is the machine's fault (no memory), never the
  // user's; it names no user. Blocks; may be called from several threads at once.
  Result<bool> verify(std::string_view user, const SecretBytes& password) const;

  // 16 hex digits that change whenever the user's line does, and reveal nothing about the password or its hash.
  // nullopt: no such user.
  std::optional<std::string> stamp(std::string_view user) const;

  // The same of all users: 64 hex digits that change whenever any line does.
  std::string digest() const;

  // Adds the user or replaces the hash; a fresh salt each time. Other lines and comments stay as they are.
  Result<void> set(std::string_view user, const SecretBytes& password);
  // False if there is no such user.
  bool remove(std::string_view user);

  std::vector<std::string> users() const;  // in the file's order
  const HashCost& cost() const { return cost_; }
  std::string text() const;  // what save() writes

  // Whole or not at all, mode 0600.
  Result<void> save(const std::string& path) const;

 private:
  struct Line {
    std::string user;  // empty: a comment or an empty line, whole in rest
    std::string rest;  // the hash
  };
  PasswordFile() = default;
  const Line* find(std::string_view user) const;

  std::vector<Line> lines_;
  HashCost cost_;
  std::string decoy_hash_;  // of a random, discarded password, at the same cost: stands in for unknown users
};

// Reads the file (a missing one counts as empty), calls change() and writes the file back, while every other update of
// a file in the same folder waits. If change() refuses, the file stays as it is.
Result<void> update(const std::string& path, const HashPolicy& policy,
                    const std::function<Result<void>(PasswordFile&)>& change);

// What a new password must at least be; the error says what it lacks. A guesser at the port has some twenty attempts, a
// thief of the file as many as it likes (H7).
Result<void> strong_enough(std::string_view user, const SecretBytes& password);

// user_form: such a name needs no escaping in logs and in the file.
bool valid_user(std::string_view user);

}  // namespace sealcast::passwords
