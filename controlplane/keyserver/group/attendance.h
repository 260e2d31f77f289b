// Which members of a group are present, missing or behind.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "controlplane/keyserver/group/parts.h"
#include "controlplane/keyserver/group/roster.h"

namespace sealcast::keyserver {

// Principals at other key servers of a cluster, by name: whether it is joined there, else it holds a live epoch.
using Elsewhere = std::map<std::string, bool, std::less<>>;

struct Attendance {
  static constexpr std::size_t most_named = 32;

  std::size_t joined = 0;  // at any key server
  bool by_list = false;    // expected are the names of the configuration, else the holders of live epochs
  std::size_t expected = 0;
  std::vector<std::string> missing;  // names, at most most_named
  std::size_t missing_count = 0;
  std::vector<std::string> behind;  // connected here, and have not acknowledged the newest epoch; at most most_named
  std::size_t behind_count = 0;
};

// Expected are `members` of the configuration where it lists names, else the holders of live epochs. The latter need no
// list, and forget members that were away for a whole epoch.
Attendance attendance_of(const config::KeyserverGroup& config, const Roster& roster, std::uint64_t newest_epoch,
                         const Elsewhere& elsewhere = {});

}  // namespace sealcast::keyserver
