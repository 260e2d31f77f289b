#include "controlplane/keyserver/credentials.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"
#include "handshake/certificate/lives.h"

namespace sealcast::keyserver {

Result<LoadedCredentials> Credentials::read(const config::KeyserverConfig& config) const {
  SEALCAST_TRY_ASSIGN(auto files, load_credentials(config));
  const auto in_use = server_ && config.crl ? server_->member_trust : handshake::TrustStore();
  if (auto good = handshake::may_replace(files.server->member_trust, in_use); !good)
    return fail(config.crl.value_or(config.ca) + ": " + good.error().message);
  return files;
}

Result<Credentials::Loaded> Credentials::load(const config::KeyserverConfig& config) {
  if (config.crl) list_.changed(*config.crl);  // it is read now; what comes later is noticed
  SEALCAST_TRY_ASSIGN(auto files, read(config));
  Loaded loaded{std::move(files), std::nullopt};
  const bool passwords_needed =
      std::any_of(config.groups.begin(), config.groups.end(), [](const auto& group) { return group.uses_passwords(); });
  if (!passwords_needed) return loaded;
  if (!config.password_file) return fail("expected keyserver.password_file, since a group uses passwords");
  if (!passwords_) passwords_ = std::make_unique<PasswordGate>(loop_, password_settings_, random_);
  // Read on this thread, like all files at start and reload.
  auto users = passwords_->load(*config.password_file);
  if (!users) {
    const bool missing = ::access(config.password_file->c_str(), F_OK) != 0;
    return fail(users.error().message + (missing ? "; make it with: sealcast passwd FILE USER" : ""));
  }
  loaded.users = std::move(*users);
  return loaded;
}

bool Credentials::use(Loaded loaded) {
  users_digest_ = loaded.users ? loaded.users->digest() : "";
  const std::string before = std::exchange(trust_, loaded.files.trust + users_digest_);
  ca_ = std::move(loaded.files.ca);
  use(std::move(loaded.files.server));
  if (loaded.users) passwords_->use(std::move(*loaded.users));
  return trust_ == before;
}

// Over ISAKMP the multicast flow is all there is: a standard client has TLS, and the port for it.
void Credentials::use(std::shared_ptr<const handshake::ServerConfig> server) {
  server_ = std::move(server);
  auto multicast_only = std::make_shared<handshake::ServerConfig>(*server_);
  multicast_only->allow_standard = false;
  isakmp_server_ = std::move(multicast_only);
  lives_ = handshake::lives_of(server_->credentials);
  for (Life& life : handshake::lives_of(server_->member_trust))
    lives_.push_back(std::move(life));
}

// Only dates are no revocation (H19).
Verdict Credentials::check(const handshake::PeerIdentity& member, const std::string& group_id, std::int64_t unix_now,
                           handshake::Grace grace, bool learn) {
  using handshake::Reason;
  const auto checked = certificates_.check(member.leaf_der, server_->member_trust, group_id, unix_now, grace, learn);
  if (checked) {
    if (!checked->empty())
      audit_warning(Event("member_in_grace", {{"group", group_id}, {"member", member.name}, {"why", *checked}}));
    return {};
  }
  const Reason reason = checked.error().reason;
  const bool dates = reason == Reason::certificate_expired || reason == Reason::certificate_not_yet_valid ||
                     reason == Reason::revocation_unknown;
  return {dates ? Standing::expired : Standing::shut_out, checked.error().message()};
}

void Credentials::warn_of_ends(std::int64_t unix_now) {
  for (const Life& life : ends_.due(lives_, unix_now)) {
    Event event(life.ends <= unix_now ? "has_ended" : "ends_soon",
                {{"what", life.what()}, {"used_percent", life.used(unix_now)}, {"left_s", life.ends - unix_now}});
    life.used(unix_now) >= 95 ? audit_error(event) : audit_warning(event);
  }
}

Credentials::Look Credentials::look(const config::KeyserverConfig& config) {
  if (!config.crl || !list_.changed(*config.crl)) return {};
  auto files = with_new_list(*server_, ca_, *config.crl);
  if (files)
    if (auto good = handshake::may_replace(files->server->member_trust, server_->member_trust); !good)
      files = fail(*config.crl + ": " + good.error().message);
  if (!files) {
    audit_error(Event("crl_refused", {{"why", files.error().message}}));
    return {};
  }
  const std::string before = std::exchange(trust_, files->trust + users_digest_);
  use(std::move(files->server));
  audit(Event("crl_read", {{"file", *config.crl}}));
  return {.list_read = true, .trust_changed = trust_ != before};
}

}  // namespace sealcast::keyserver
