// Which principals may be members of a group: what its configuration says, certificates, passwords and operators'
// revocations.
#pragma once

#include <string_view>

#include "base/result.h"
#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

// known: the member has keys of the group.
handshake::Grace grace_of(const config::KeyserverGroup& group, bool known);

class Admission {
 public:
  // Both must outlive it, and are looked at anew for each question.
  Admission(const config::KeyserverGroup& config, const GroupContext& context) : config_(config), context_(context) {}

  // Whether a member that has keys of the group may have new ones.
  Verdict judge(const handshake::PeerIdentity& member, Moment now) const;
  // The same of one that comes, whether it has some or not.
  Verdict judge_comer(const handshake::PeerIdentity& member, Moment now) const;
  // Newcomers need a clock that is not doubted (H19). An error's text is for the log.
  Result<void> clock_serves(const handshake::PeerIdentity& member, Moment now) const;
  bool may_send(const handshake::PeerIdentity& member) const { return config_.may_send(names_of(member)); }
  // What a member is told that is shut out, or has expired: one of a few fixed texts.
  std::string_view told_to(const handshake::PeerIdentity& member, Standing standing) const;

 private:
  Verdict judge(const handshake::PeerIdentity& member, Moment now, handshake::Grace grace) const;
  bool knows(const handshake::PeerIdentity& member, Moment now) const;
  Result<void> admits(const handshake::PeerIdentity& member) const;
  bool password_stands(const handshake::PeerIdentity& member) const;

  const config::KeyserverGroup& config_;
  const GroupContext& context_;
};

}  // namespace sealcast::keyserver
