#include "controlplane/cluster/departed.h"

#include <algorithm>

namespace sealcast::cluster {

void Departed::expect_lease(std::chrono::seconds lease) {
  longest_lease_ = std::max(longest_lease_, lease);
}

void Departed::found_lease(std::chrono::seconds lease) {
  // Not only where it is the longest: those that vanished before the configuration had it are waited for less.
  longest_lease_ = std::max(longest_lease_, lease);
  blind_until_ = std::max(blind_until_, blind_since_ + lease);
  for (auto& [incarnation, server] : servers_)
    server.until = std::max(server.until, server.since + lease);
}

void Departed::begin_blind(SteadyTime now) {
  blind_since_ = now;
  blind_until_ = now + longest_lease_;
  tell_sight_ = true;
}

void Departed::vanished(const std::string& incarnation, const std::string& name, SteadyTime now) {
  servers_[incarnation] = {name, now, now + longest_lease_};
}

bool Departed::expire(SteadyTime now) {
  const bool sees = tell_sight_ && !blind(now);
  if (sees) tell_sight_ = false;
  return std::erase_if(servers_, [&](const auto& entry) { return entry.second.until <= now; }) != 0 || sees;
}

}  // namespace sealcast::cluster
