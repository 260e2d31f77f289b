// What decides which members stand, as it was last read: the key server's certificate and CA, the revocation list, and
// the password file. Handshakes run with it; a rekey asks it again (H7, H8).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_watch.h"
#include "base/life_watch.h"
#include "controlplane/config/config.h"
#include "controlplane/keyserver/connection/password_gate.h"
#include "controlplane/keyserver/connection/standing_certificates.h"
#include "controlplane/keyserver/group/parts.h"
#include "controlplane/keyserver/settings.h"

namespace sealcast::keyserver {

class Credentials {
 public:
  // loop and random must outlive it.
  Credentials(Loop& loop, PasswordSettings passwords, handshake::Random& random)
      : loop_(loop), password_settings_(std::move(passwords)), random_(random) {}

  struct Loaded {
    LoadedCredentials files;
    std::optional<passwords::PasswordFile> users;  // where a group uses passwords
  };
  // Reads all files of the configuration, and changes nothing. An error names the file. A list that is older than the
  // one in use is one.
  Result<Loaded> load(const config::KeyserverConfig& config);
  // From now on these hold. False: the files that say which members stand are others than before.
  bool use(Loaded loaded);

  // What a look at the revocation list found.
  struct Look {
    bool list_read = false;      // it is another file, and it was taken over
    bool trust_changed = false;  // it says something else
  };
  // Reads the list where it was replaced or written anew. One that is no good, or older, is refused, and the one before
  // holds. The list alone: a certificate, key or CA that lies there meanwhile, perhaps half copied, waits for its own
  // reload.
  Look look(const config::KeyserverConfig& config);

  // Whether the member's chain stands in the group now. learn: it is known from then on, if it was not before.
  Verdict check(const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now,
                handshake::Grace grace, bool learn);
  // Whether the member's chain was found good for the group by this process.
  bool knows(const handshake::PeerIdentity& member, const std::string& group_id) const {
    return certificates_.knows(member.leaf_der, group_id);
  }
  // Of the key server's certificate, its CA and the revocation lists.
  const std::vector<Life>& lives() const { return lives_; }
  void warn_of_ends(std::int64_t unix_now);
  // Whether a certificate that was found good has ended since; true once for each.
  bool any_ended(std::int64_t unix_now) { return certificates_.any_ended(unix_now); }
  bool password_stands(const std::string& user, const std::string& stamp) const {
    return passwords_ && passwords_->stands(user, stamp);
  }
  // Of a group: tells whether anything changed that decides which members stand in it.
  std::string standing(const config::KeyserverGroup& group) const { return standing_of(trust_, group); }

  // For handshakes over this carriage.
  std::shared_ptr<const handshake::ServerConfig> server(config::Carriage carriage) const {
    return carriage == config::Carriage::tls ? server_ : isakmp_server_;
  }
  PasswordGate* passwords() { return passwords_.get(); }  // nullptr: no group uses passwords
  const PasswordGate* passwords() const { return passwords_.get(); }
  void stop() { passwords_.reset(); }  // waits for the hashes under way

 private:
  Result<LoadedCredentials> read(const config::KeyserverConfig& config) const;
  void use(std::shared_ptr<const handshake::ServerConfig> server);

  Loop& loop_;
  PasswordSettings password_settings_;
  handshake::Random& random_;
  std::shared_ptr<const handshake::ServerConfig> server_;
  std::shared_ptr<const handshake::ServerConfig> isakmp_server_;  // the same without the standard flow
  std::unique_ptr<PasswordGate> passwords_;
  StandingCertificates certificates_;
  FileWatch list_;
  std::string ca_;            // PEM, as last read
  std::string trust_;         // a digest of CA, revocation list and passwords
  std::string users_digest_;  // the passwords' part of it
  std::vector<Life> lives_;
  LifeWatch ends_;
};

}  // namespace sealcast::keyserver
