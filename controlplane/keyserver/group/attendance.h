// Who is in a group, who is missing and who is behind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "controlplane/keyserver/group/parts.h"

namespace sealcast::keyserver {

struct Attendance {
  static constexpr std::size_t most_named = 32;

  bool by_list = false;  // of the configuration; else by who holds a live epoch
  std::size_t expected = 0;
  std::vector<std::string> missing;  // names, at most most_named
  std::size_t missing_count = 0;
  std::vector<std::string> behind;  // connected, and have not acknowledged the newest epoch; at most most_named
  std::size_t behind_count = 0;
};

// By `members` of the configuration where it lists names, else by who holds a live epoch (which needs nobody's list,
// and forgets members that were away for a whole epoch).
Attendance attendance_of(const config::KeyserverGroup& config, const Members& members, const Holders& holders,
                         std::uint64_t newest_epoch);

}  // namespace sealcast::keyserver
