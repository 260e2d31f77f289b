#include "controlplane/member/own_ends.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <string>

#include "handshake/certificate/lives.h"

namespace sealcast::member {

bool OwnEnds::due(SteadyTime now) {
  if (now < look_again_) return false;
  look_again_ = now + look_every;
  return true;
}

void OwnEnds::look(const config::MemberConfig& member, const handshake::TrustStore& trust, std::int64_t unix_now) {
  if (!member.certificate.empty() && (certificate_.changed(member.certificate) || !read_)) {
    read_ = true;
    const auto pem = config::read_pem(member.certificate, "certificate");
    if (auto lives = pem ? handshake::lives_of_chain(*pem) : tl::unexpected(pem.error()))
      own_ = std::move(*lives);
    else
      spdlog::error("{}: {}", member.certificate, lives.error().message);
  }
  of_trust_ = handshake::lives_of(trust);
  for (const Life& life : ends_.due(lives(), unix_now)) {
    const std::string text = life.ends <= unix_now
                                 ? life.what() + " has ended"
                                 : fmt::format("{}: {} % of its life are over, it ends in {} h", life.what(),
                                               life.used(unix_now), (life.ends - unix_now) / 3600);
    const char* remedy = life.kind == Life::Kind::list          ? "sign it anew: sealcast pki crl"
                         : life.kind == Life::Kind::certificate ? "make a new one: sealcast pki member"
                                                                : "make a new one, and all certificates under it";
    spdlog::log(life.used(unix_now) >= 95 ? spdlog::level::err : spdlog::level::warn, "{}; {}", text, remedy);
  }
}

std::vector<Life> OwnEnds::lives() const {
  std::vector<Life> all = own_;
  all.insert(all.end(), of_trust_.begin(), of_trust_.end());
  return all;
}

}  // namespace sealcast::member
