#include "controlplane/keyserver/connection/standing_certificates.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

namespace sealcast::keyserver {
namespace {

constexpr std::int64_t longest_grace = 31 * 86400;  // no configured one is longer

}  // namespace

std::optional<StandingCertificates::Key> StandingCertificates::key_of(const Bytes& chain_der,
                                                                      const std::string& group_id) {
  Key key{{}, group_id};
  if (EVP_Digest(chain_der.data(), chain_der.size(), key.first.data(), nullptr, EVP_sha256(), nullptr) != 1) return {};
  return key;
}

bool StandingCertificates::knows(const Bytes& chain_der, const std::string& group_id) const {
  const auto key = key_of(chain_der, group_id);
  return key && found_.contains(*key);
}

handshake::Outcome<std::string> StandingCertificates::check(const Bytes& chain_der, const handshake::TrustStore& trust,
                                                            const std::string& group_id, std::int64_t unix_now,
                                                            handshake::Grace grace, bool learn) {
  if (trust.operator->() != trust_.operator->()) {
    for (auto& [key, good] : found_)
      good.until = good.from - 1;
    trust_ = trust;
  }
  auto key = key_of(chain_der, group_id);
  const auto found = key ? found_.find(*key) : found_.end();
  if (found != found_.end() && found->second.from <= unix_now && unix_now <= found->second.until) return std::string();
  auto checked = handshake::recheck_member_until(chain_der, trust, group_id, unix_now, grace);
  if (!checked) {
    if (found != found_.end()) found_.erase(found);
    return tl::unexpected(std::move(checked.error()));
  }
  if (!key || (found == found_.end() && !learn)) return std::move(checked->late);
  const bool told = found != found_.end() && found->second.late == checked->late;
  if (found == found_.end() && found_.size() >= most_) {
    found_.clear();
    forgotten_ = true;
  }
  found_[std::move(*key)] = {unix_now, checked->until, checked->late};
  first_end_ = std::min(first_end_, checked->until);
  return told ? std::string() : std::move(checked->late);
}

bool StandingCertificates::any_ended(std::int64_t unix_now) {
  if (unix_now <= first_end_) return false;
  // Those that may still count by their grace stay known.
  std::erase_if(found_, [&](const auto& entry) { return entry.second.until < unix_now - longest_grace; });
  first_end_ = std::numeric_limits<std::int64_t>::max();
  for (const auto& [key, good] : found_)
    if (good.until >= unix_now) first_end_ = std::min(first_end_, good.until);
  forgotten_ = false;
  return true;
}

}  // namespace sealcast::keyserver
