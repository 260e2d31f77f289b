// The highest epoch ever accepted per (server name, key_server_id, group), across restarts (H5): a small file, written
// whole, flushed before the caller goes on. One number never names two epochs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "base/result.h"
#include "handshake/group_keying.h"

namespace sealcast::member {

struct RememberedEpoch {
  std::uint64_t epoch = 0;
  handshake::EpochId epoch_id{};
  bool operator==(const RememberedEpoch&) const = default;
};

class EpochMemory {
 public:
  // A missing file is an empty memory. Anything in it that is not exactly as written is an error that says how to go
  // on, and what that costs.
  static Result<EpochMemory> load(const std::string& path);

  std::optional<RememberedEpoch> find(const std::string& server_name, const std::string& key_server_id,
                                      const std::string& group_id) const;

  // On disk when it returns. Refuses what would lower an epoch or give its number to another epoch_id; without change
  // nothing is written.
  Result<void> remember(const std::string& server_name, const std::string& key_server_id, const std::string& group_id,
                        const RememberedEpoch& epoch);

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  Result<void> store(const std::map<Key, RememberedEpoch>& entries) const;

  std::string path_;
  std::map<Key, RememberedEpoch> entries_;
};

}  // namespace sealcast::member
