// What a daemon tells of the ends of its certificates and lists (H19).
#pragma once

#include <cstdint>
#include <vector>

#include "base/life_watch.h"
#include "controlplane/admin/messages.h"

namespace sealcast::admin {

inline std::vector<Validity> validity_of(const std::vector<Life>& lives, std::int64_t unix_now) {
  std::vector<Validity> out;
  for (const Life& life : lives)
    out.push_back({.what = life.what(),
                   .ends = life.ends,
                   .left = static_cast<double>(life.ends - unix_now),
                   .used_percent = static_cast<std::uint64_t>(life.used(unix_now)),
                   .stage = static_cast<std::uint64_t>(stage_of(life, unix_now))});
  return out;
}

}  // namespace sealcast::admin
