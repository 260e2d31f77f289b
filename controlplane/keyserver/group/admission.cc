#include "controlplane/keyserver/group/admission.h"

#include <algorithm>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {
namespace {

using handshake::PeerIdentity;

constexpr std::size_t max_member_id = 64;  // bytes (SMKE)

}  // namespace

handshake::Grace grace_of(const config::KeyserverGroup& group, bool known) {
  if (!known) return {.certificate = 0, .list = group.crl_grace_newcomers.count()};
  return {.certificate = group.certificate_grace.count(), .list = group.crl_grace.count()};
}

// What the configuration says; the handshake has verified the chain, the extension, the certificate's groups and the
// password before, and they are looked at again because this is the one place where the group secret leaves.
Result<void> Admission::admits(const PeerIdentity& member) const {
  const bool by_certificate = config_.uses_certificates();
  const std::string who = (by_certificate ? "certificate " : "user ") + escaped(member.name);
  const auto names = names_of(member);
  if (member.name.empty() || member.name.size() > max_member_id)
    return fail(who + ": expected a name of 1 to 64 bytes, got " + std::to_string(member.name.size()));
  if (by_certificate) {
    if (!member.may_decrypt) return fail(who + ": its multicast extension does not allow decryption");
    if (member.groups && std::find(member.groups->begin(), member.groups->end(), config_.id) == member.groups->end())
      return fail(who + ": does not name the group " + escaped(config_.id));
  }
  if (config_.uses_passwords() == member.user.empty())
    return fail(who + (member.user.empty() ? ": gave no password" : ": gave a password where none is wanted"));
  // Both factors belong to one principal; with a password alone the user is the name.
  if (!member.user.empty() && std::find(names.begin(), names.end(), member.user) == names.end())
    return fail(who + ": does not bear the name of user " + escaped(member.user));
  if (!config_.admits(names)) return fail(who + ": not among the members of the group " + escaped(config_.id));
  if (context_.revoked && context_.revoked(names, config_.id)) return fail(who + ": revoked by an operator");
  return {};
}

bool Admission::password_stands(const PeerIdentity& member) const {
  return context_.password_stands && context_.password_stands(member.user, stamp_of(member));
}

std::string_view Admission::told_to(const PeerIdentity& member, Standing standing) const {
  if (standing == Standing::expired) return "its certificate, or the revocation list, has ended";
  if (context_.revoked && context_.revoked(names_of(member), config_.id)) return "an operator revoked this member";
  if (!admits(member)) return "this member is not among the group's any more";
  if (config_.uses_passwords() && !password_stands(member)) return "the password is not good any more";
  return "the certificate is not good any more";
}

// Besides admits(): the certificate against the trust store of now (H8), the password against the password file of now
// (H7).
Verdict Admission::judge(const PeerIdentity& member, Moment now, handshake::Grace grace) const {
  if (auto admitted = admits(member); !admitted) return {Standing::shut_out, std::move(admitted.error().message)};
  if (config_.uses_passwords() && !password_stands(member))
    return {Standing::shut_out,
            "user " + escaped(member.user) + ": removed from the password file, or its password was changed"};
  if (!config_.uses_certificates()) return {};
  return context_.recheck(member, config_.id, now.unix_seconds, grace);
}

Verdict Admission::judge(const PeerIdentity& member, Moment now) const {
  return judge(member, now, grace_of(config_, true));
}

Verdict Admission::judge_comer(const PeerIdentity& member, Moment now) const {
  return judge(member, now, grace_of(config_, knows(member, now)));
}

Result<void> Admission::clock_serves(const PeerIdentity& member, Moment now) const {
  if (!config_.uses_certificates() || !context_.clock_agrees || context_.clock_agrees() || knows(member, now))
    return {};
  return fail("certificate " + escaped(member.name) +
              ": new to the group, and this key server's clock is doubted: set it right, or say that it is: sealcast "
              "clock accept");
}

bool Admission::knows(const PeerIdentity& member, Moment now) const {
  return context_.knows && context_.knows(member, config_.id, now.unix_seconds);
}

}  // namespace sealcast::keyserver
