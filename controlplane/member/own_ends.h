// When a member's own certificate, its CA and its revocation lists end; an operator is warned long before (H19).
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "base/dataplane_control.h"
#include "base/file_watch.h"
#include "base/life_watch.h"
#include "controlplane/config/config.h"
#include "handshake/endpoint.h"

namespace sealcast::member {

class OwnEnds {
 public:
  // Whether it is time to look again; true once every look_every.
  bool due(SteadyTime now);
  // Reads the certificate where it changed, and logs what has to be told.
  void look(const config::MemberConfig& member, const handshake::TrustStore& trust, std::int64_t unix_now);
  std::vector<Life> lives() const;

 private:
  static constexpr std::chrono::seconds look_every{2};

  SteadyTime look_again_{};
  FileWatch certificate_;
  std::vector<Life> own_, of_trust_;
  bool read_ = false;
  LifeWatch ends_;
};

}  // namespace sealcast::member
