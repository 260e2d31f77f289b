// Passwords of variant 3 (H7, AUTH-2): attempts limited, Argon2id in a small pool of its own, one answer on the loop's
// thread. Everything but the hashing runs on that thread.
//
// A client that is refused learns nothing but that: a wrong password, an unknown user and too many attempts get the
// same answer after the same time. A limited attempt is not hashed, else the limit would protect no password; it waits
// for as long as attempts have lately taken.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/secret.h"
#include "controlplane/passwords/attempt_limiter.h"
#include "controlplane/passwords/password_file.h"

namespace sealcast::handshake {
class Random;
}

namespace sealcast::keyserver {

// Where passwords are hashed: beside the loop, since a hash takes long.
class HashWorkers {
 public:
  virtual ~HashWorkers() = default;  // waits for jobs under way; those that still wait are dropped
  // Runs job at most once, on a thread of its own or later from the loop.
  virtual void run(std::function<void()> job) = 0;
};

struct PasswordSettings {
  unsigned threads = 0;       // Argon2id at once, each with the file's memory (64 MiB); 0: one, from four cores on two
  std::size_t waiting = 128;  // attempts that wait for a thread; a further one's connection is closed unanswered
  // So is one that would wait longer than this, as far as can be told: its connection's deadline would come first.
  std::chrono::milliseconds longest_wait{8000};
  passwords::AttemptLimits limits{};
  passwords::HashPolicy policy{};
  // Makes so many workers. Empty: threads that yield to all others; they use the loop's now() and post(), so that a
  // loop without threads needs workers of its own.
  std::function<std::unique_ptr<HashWorkers>(unsigned threads)> workers = {};
};

class PasswordGate {
 public:
  enum class Verdict : std::uint8_t { right, wrong, limited, locked, failed };
  struct Answer {
    Verdict verdict = Verdict::wrong;
    std::string stamp;  // right: PasswordFile::stamp() of the password that was right
  };
  using Done = std::function<void(const Answer&)>;

  // What the asker holds while it waits. Letting go of it gives the attempt up: it is not hashed if it still waits, and
  // no call is made.
  class Ticket {
   public:
    virtual ~Ticket() = default;
  };

  PasswordGate(Loop& loop, PasswordSettings settings, handshake::Random& random);
  ~PasswordGate();  // waits for the hashes under way; those that wait are given up
  PasswordGate(const PasswordGate&) = delete;
  PasswordGate& operator=(const PasswordGate&) = delete;

  // Computes one hash, so takes as long as an attempt. The users of before stay until use() is called.
  Result<passwords::PasswordFile> load(const std::string& path) const;
  void use(passwords::PasswordFile file);
  // Whether this is still the user's password: the stamp of use()'s file is the same.
  bool stands(const std::string& user, const std::string& stamp) const;
  std::size_t users() const;
  void add_users(std::set<std::string>& names) const;
  std::size_t waiting() const;
  // Users that are locked after too many wrong passwords.
  std::vector<std::string> locked() const;
  // Forgets the user's wrong passwords. False: there were none.
  bool unlock(const std::string& user);

  // Calls done once, later, on the loop's thread. nullptr: too many wait already, and no call will be made; it counts
  // against none. An attempt that is given up before it was hashed does not count against its user.
  std::shared_ptr<Ticket> check(std::string user, SecretBytes password, const IpAddress& from, Done done);
  // For a client that may not even try: Verdict::wrong, after as long as an attempt would take. Nothing is hashed or
  // counted.
  std::shared_ptr<Ticket> refuse(Done done);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sealcast::keyserver
