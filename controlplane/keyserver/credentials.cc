#include "controlplane/keyserver/credentials.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "controlplane/keyserver/audit/audit.h"

namespace sealcast::keyserver {

Result<Credentials::Loaded> Credentials::load(const config::KeyserverConfig& config) {
  if (config.crl) list_.changed(*config.crl);  // it is read now; what comes later is noticed
  SEALCAST_TRY_ASSIGN(auto files, load_credentials(config));
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
}

Credentials::Look Credentials::look(const config::KeyserverConfig& config) {
  if (!config.crl || !list_.changed(*config.crl)) return {};
  auto files = with_new_list(*server_, ca_, *config.crl);
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
