// What a key server makes of its configuration: the certificates it names, and what a new one may change.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"
#include "handshake/keytree/rekey_datagram.h"

namespace sealcast::keyserver {

struct LoadedCredentials {
  std::shared_ptr<const handshake::ServerConfig> server;
  std::string ca;     // PEM, as it was read
  std::string trust;  // SHA-256 over the CA's and the revocation list's files, as they were read
};

// Reads certificate, private key, CA and revocation list. The error is one line that names the file.
Result<LoadedCredentials> load_credentials(const config::KeyserverConfig& config);

// The same with the revocation list as it is now; no other file is looked at.
Result<LoadedCredentials> with_new_list(const handshake::ServerConfig& server, const std::string& ca,
                                        const std::string& crl_path);

// Of what decides which members stand in a group and which may send, to tell whether it changed: a SHA-256 over trust,
// which stands for the files, and the group's part of the configuration.
std::string standing_of(const std::string& trust, const config::KeyserverGroup& group);

// The datagram, signed with the certificate's key.
Result<Bytes> sign_datagram(const handshake::ServerConfig& server, const handshake::RekeyDatagram& datagram);

// What differs and must not while the key server runs; empty: nothing.
std::string changed_for_good(const config::KeyserverConfig& a, const config::KeyserverConfig& b);

}  // namespace sealcast::keyserver
