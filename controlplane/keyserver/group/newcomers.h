// Members that come: how often they may, and which were told to come again when a later epoch is there (rekey_on_join).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

// How often members may join a group (H13, H27): each join costs a handshake, a line on disk, and for a sender a slot.
class JoinLimit {
 public:
  static constexpr std::uint32_t minutes_at_once = 3;  // joins of so many minutes may come at once

  // The error says when the member may come again. It joined only with took_place().
  Result<void> may_join(const std::string& member, std::uint32_t per_minute, SteadyTime now) const;
  void took_place(const std::string& member, std::uint32_t per_minute, SteadyTime now);

 private:
  std::map<std::string, SteadyTime> used_until_;  // of members that joined in the last minutes
  std::size_t sweep_at_ = 1024;                   // so many of them
};

class Newcomers {
 public:
  // The epoch `active` must not go to it.
  void told_to_come_again(const Principal& newcomer, std::uint64_t active, SteadyTime now);
  // Whether it was told so under an epoch before `active`: it may have that.
  bool is_expected(const Principal& newcomer, std::uint64_t active, SteadyTime now) const;
  // JoinLimit's.
  Result<void> may_join(const Principal& member, std::uint32_t per_minute, SteadyTime now) const {
    return joins_.may_join(member.first, per_minute, now);
  }
  void admitted(const Principal& member, std::uint32_t per_minute, SteadyTime now) {
    told_.erase(member);
    joins_.took_place(member.first, per_minute, now);
  }

 private:
  struct Told {
    std::uint64_t active = 0;
    SteadyTime until;  // from then on it counts as one that comes for the first time
  };
  std::map<Principal, Told> told_;
  JoinLimit joins_;
};

}  // namespace sealcast::keyserver
