#include "controlplane/member/current_trust.h"

#include <spdlog/spdlog.h>

#include "handshake/certificate/lives.h"

namespace sealcast::member {
namespace {

Result<handshake::TrustStore> read_trust(const config::MemberConfig& member) {
  SEALCAST_TRY_ASSIGN(const auto ca, config::read_pem(member.ca, "ca"));
  std::string crl;
  if (member.crl) {
    SEALCAST_TRY_ASSIGN(crl, config::read_pem(*member.crl, "crl"));
  }
  auto trust = handshake::TrustStore::from_pem(ca, crl);
  if (!trust) return fail(member.ca + (member.crl ? ", " + *member.crl : "") + ": " + trust.error().message);
  return trust;
}

}  // namespace

Result<handshake::TrustStore> CurrentTrust::of(const config::MemberConfig& member) {
  // Both are looked at: each look is what the next one compares with.
  const bool other_ca = ca_.changed(member.ca), other_list = member.crl && crl_.changed(*member.crl);
  if (trust_ && !other_ca && !other_list) return trust_;
  auto files = read_trust(member);
  if (files)
    if (auto good = handshake::may_replace(*files, trust_); !good)
      files = fail(member.crl.value_or(member.ca) + ": " + good.error().message);
  if (files) {
    trust_ = std::move(*files);
    ++version_;
  } else if (!trust_) {
    return files;
  } else {
    spdlog::error("{}; what was read before holds", files.error().message);
  }
  return trust_;
}

void CurrentTrust::met(const std::string& name, const Bytes& chain_der) {
  if (met_.size() >= most_met) met_.clear();
  met_.emplace(name, chain_der);
}

handshake::Grace CurrentTrust::grace(const std::string& name, const Bytes& chain_der) const {
  if (!met_.contains({name, chain_der})) return {};
  return {.certificate = config::certificate_grace_limits.standard.count(),
          .list = config::crl_grace_limits.standard.count()};
}

}  // namespace sealcast::member
