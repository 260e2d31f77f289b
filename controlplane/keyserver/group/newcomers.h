// Newcomers that were told to come again when a later epoch is there (rekey_on_join), and did not yet.
#pragma once

#include <cstdint>
#include <map>

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

class Newcomers {
 public:
  // The epoch `active` must not go to it.
  void told_to_come_again(const Principal& newcomer, std::uint64_t active, SteadyTime now);
  // Whether it was told so under an epoch before `active`: it may have that.
  bool is_expected(const Principal& newcomer, std::uint64_t active, SteadyTime now) const;
  void admitted(const Principal& newcomer) { told_.erase(newcomer); }

 private:
  struct Told {
    std::uint64_t active = 0;
    SteadyTime until;  // from then on it counts as one that comes for the first time
  };
  std::map<Principal, Told> told_;
};

}  // namespace sealcast::keyserver
