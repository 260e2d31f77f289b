#include "controlplane/member/member_passwords.h"

#include <cstring>

namespace sealcast::member {

using config::MemberGroup;
using config::PasswordSource;

Result<void> MemberPasswords::prepare(const config::MemberConfig& member, const Ask& ask) {
  for (const MemberGroup& group : member.groups) {
    if (!group.uses_password()) continue;
    if (!group.password) return fail("group \"" + group.id + "\": expected where its password comes from");
    if (group.password->kind != PasswordSource::Kind::prompt) {
      if (const auto readable = config::read_password(*group.password); !readable)
        return fail("group \"" + group.id + "\": " + readable.error().message);
      continue;
    }
    if (typed_.count({group.keyserver_id, group.user}) != 0) continue;
    const auto password = ask("Password of " + group.user + " at key server " + group.keyserver_id + ": ");
    if (!password) return fail("group \"" + group.id + "\", password_prompt: " + password.error().message);
    SEALCAST_TRY_ASSIGN(auto memory, LockedArena::create(password->size()));
    std::memcpy(memory.data(), password->data(), password->size());
    typed_[{group.keyserver_id, group.user}] = Typed{std::move(memory), password->size()};
  }
  return {};
}

Result<handshake::PasswordCredential> MemberPasswords::credential(const MemberGroup& group) const {
  handshake::PasswordCredential out;
  out.user = group.user;
  if (!group.password) return fail("no password is configured");
  if (group.password->kind != PasswordSource::Kind::prompt) {
    SEALCAST_TRY_ASSIGN(out.secret, config::read_password(*group.password));
    return out;
  }
  const auto typed = typed_.find({group.keyserver_id, group.user});
  if (typed == typed_.end()) return fail("the password was not asked for at start");
  out.secret = SecretBytes(typed->second.size);
  std::memcpy(out.secret.data(), typed->second.memory.data(), typed->second.size);
  return out;
}

std::string place_of(const PasswordSource& source) {
  switch (source.kind) {
    case PasswordSource::Kind::file:
      return "password_file " + source.place;
    case PasswordSource::Kind::credential:
      return "password_credential " + source.place;
    case PasswordSource::Kind::prompt:
      return "typed in at start";
  }
  return "?";
}

}  // namespace sealcast::member
