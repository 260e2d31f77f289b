// What says which key servers stand, for all groups: CA and revocation lists as they were read last and were good, and
// the key servers that stood before.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "base/file_watch.h"
#include "base/result.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

class CurrentTrust {
 public:
  // As the files are now. They are read again only where they changed; what cannot be read, or is older, is logged once
  // and never takes the place of what was good (H19). An error: there was nothing good yet.
  Result<handshake::TrustStore> of(const config::MemberConfig& member);
  // Another number with each that took the place of one before.
  std::uint64_t version() const { return version_; }

  // The key server of this name proved this chain (PeerIdentity::leaf_der).
  void met(const std::string& name, const Bytes& chain_der);
  handshake::Grace grace(const std::string& name, const Bytes& chain_der) const;

 private:
  static constexpr std::size_t most_met = 256;

  FileWatch ca_, crl_;
  handshake::TrustStore trust_;
  std::uint64_t version_ = 0;
  std::set<std::pair<std::string, Bytes>> met_;
};

}  // namespace sealcast::member
