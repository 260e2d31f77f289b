// What says which key servers stand, as the files are now: read again only where they changed, and once for all groups.
#pragma once

#include "base/file_watch.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

class CurrentTrust {
 public:
  // nullptr: the files are no good just now. Good until the next call.
  const handshake::TrustStore* of(const config::MemberConfig& member);

 private:
  FileWatch ca_, crl_;
  handshake::TrustStore trust_;
};

}  // namespace sealcast::member
