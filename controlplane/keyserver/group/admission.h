// Which principals may be members of a group: what its configuration says, certificates, passwords and operators'
// revocations.
#pragma once

#include <string_view>

#include "base/result.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class Admission {
 public:
  // Both must outlive it, and are looked at anew for each question.
  Admission(const config::KeyserverGroup& config, const GroupContext& context) : config_(config), context_(context) {}

  // Whether the member may have the group's epochs now. An error's text is for the log.
  Result<void> stands(const handshake::PeerIdentity& member, Moment now) const;
  bool may_send(const handshake::PeerIdentity& member) const { return config_.may_send(names_of(member)); }
  // What a member is told that does not stand: one of a few fixed texts.
  std::string_view told_to(const handshake::PeerIdentity& member) const;

 private:
  Result<void> admits(const handshake::PeerIdentity& member) const;
  bool password_stands(const handshake::PeerIdentity& member) const;

  const config::KeyserverGroup& config_;
  const GroupContext& context_;
};

}  // namespace sealcast::keyserver
