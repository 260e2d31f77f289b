#include "controlplane/keyserver/connection/standing_certificates.h"

#include <openssl/evp.h>

#include <algorithm>

namespace sealcast::keyserver {

Result<void> StandingCertificates::check(const Bytes& chain_der, const handshake::TrustStore& trust,
                                         const std::string& group_id, std::int64_t unix_now) {
  if (trust.operator->() != trust_.operator->()) {
    found_.clear();
    trust_ = trust;
  }
  Key key{{}, group_id};
  const bool told_apart =
      EVP_Digest(chain_der.data(), chain_der.size(), key.first.data(), nullptr, EVP_sha256(), nullptr) == 1;
  if (told_apart) {
    const auto found = found_.find(key);
    if (found != found_.end() && found->second.from <= unix_now && unix_now <= found->second.until) return {};
  }
  const auto until = handshake::recheck_member_until(chain_der, trust, group_id, unix_now);
  if (!until) {
    if (told_apart) found_.erase(key);
    return fail(until.error().message());
  }
  if (!told_apart) return {};
  if (found_.size() >= most_) {
    found_.clear();
    forgotten_ = true;
  }
  found_[std::move(key)] = {unix_now, *until};
  first_end_ = std::min(first_end_, *until);
  return {};
}

bool StandingCertificates::any_ended(std::int64_t unix_now) {
  if (unix_now <= first_end_) return false;
  const bool forgotten = std::exchange(forgotten_, false);
  const auto erased = std::erase_if(found_, [&](const auto& entry) { return entry.second.until < unix_now; });
  first_end_ = std::numeric_limits<std::int64_t>::max();
  for (const auto& [key, good] : found_)
    first_end_ = std::min(first_end_, good.until);
  return erased != 0 || forgotten;
}

}  // namespace sealcast::keyserver
