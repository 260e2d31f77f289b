// What one key server of a cluster keeps in a file of its own: how far it knows etcd to have come, so that it notices
// an etcd that was set back; the highest epoch number it ever saw and its SPIs, so that neither comes again; and the
// revoked members, so that a restored backup brings none of them back. Of each group it keeps a digest of what decided
// which members stand, as of when all others had been shut out: a restart under another list or CA shuts out those that
// no longer stand.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/result.h"

namespace sealcast::cluster {

struct Memory {
  std::uint64_t etcd_cluster = 0;
  std::int64_t revision = 0;  // 0: there was no file
  std::uint64_t highest_epoch = 0;
  std::uint32_t last_prefix = 0;  // its SPIs: after those there are none that a lost epoch may still have
  std::int64_t lease = 0;         // of the last session, which nobody needs any more; 0: none
  std::map<std::pair<std::string, std::string>, std::int64_t> revoked;  // by member and group: since
  std::map<std::string, std::string> standing;                          // by group: a digest

  // A missing file is an empty memory; one that is not exactly as written is an error.
  static Result<Memory> load(const std::string& path);
  // On disk when it returns.
  Result<void> save(const std::string& path) const;
};

}  // namespace sealcast::cluster
