// The highest epoch ever accepted per (server name, key_server_id, group), across restarts (H5): a JSON
// document with one line appended for each epoch since it was written, flushed before the caller goes on; so what a new
// epoch costs does not grow with the number of groups. One number never names two epochs.
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
  using Key = std::tuple<std::string, std::string, std::string>;  // server name, key_server_id, group

  // A missing file is an empty memory; a last line without its end was never remembered. Anything else in it that is
  // not exactly as written is an error that says how to go on, and what that costs.
  static Result<EpochMemory> load(const std::string& path);

  std::optional<RememberedEpoch> find(const std::string& server_name, const std::string& key_server_id,
                                      const std::string& group_id) const;

  // On disk when it returns. Refuses what would lower an epoch or give its number to another epoch_id; without change
  // nothing is written.
  Result<void> remember(const std::string& server_name, const std::string& key_server_id, const std::string& group_id,
                        const RememberedEpoch& epoch);

 private:
  Result<void> store(const Key& key, const RememberedEpoch& epoch);

  std::string path_;
  std::map<Key, RememberedEpoch> entries_;
  std::size_t size_ = 0;      // bytes of the file; 0: it must be written whole
  std::size_t appended_ = 0;  // lines since it was
};

}  // namespace sealcast::member
